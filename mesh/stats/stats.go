// Package stats counts what the mesh does, under Envoy's names.
//
// A [Store] holds counters, gauges and histograms. Whoever counts asks a [Scope] of it once,
// when it is made, and keeps what it gets: to count is an atomic addition. The statistics of a
// cluster or of a listener are many and always the same, so they are a struct that [Group]
// fills in: one block of memory without a name in it.
//
//	type clusterStats struct {
//		Connections stats.Counter      `stat:"upstream_cx_total"`
//		Active      stats.Gauge        `stat:"upstream_cx_active"`
//		Time        stats.Histogram    `stat:"upstream_rq_time"`
//		Answers     stats.CodeCounters `stat:"upstream_rq"`
//	}
//	s := stats.Group[clusterStats](store.Cluster("orders"))
//	s.Connections.Inc() // cluster.orders.upstream_cx_total
//
// What is counted together should stand together in the struct: then a request moves few cache
// lines between processors, which padding would make more of.
//
// [Store.WriteText], [Store.WriteJSON] and [Store.WritePrometheus] print all of it as Envoy's
// /stats and /stats/prometheus do.
package stats

import "sync/atomic"

// A Counter only grows. The zero value is ready to use, and is counted by nobody's Store.
// It must not be copied; any number of goroutines may use it.
type Counter struct{ n atomic.Uint64 }

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Value returns the count.
func (c *Counter) Value() uint64 { return c.n.Load() }

// A Gauge goes up and down. The zero value is ready to use. It must not be copied; any number
// of goroutines may use it.
type Gauge struct {
	n    atomic.Int64
	used atomic.Bool // it was written, whatever it is now
}

// Inc adds one.
func (g *Gauge) Inc() { g.Add(1) }

// Dec takes one away.
func (g *Gauge) Dec() { g.Add(-1) }

// Add adds n, which may be negative.
func (g *Gauge) Add(n int64) {
	g.n.Add(n)
	g.use()
}

// Set sets it.
func (g *Gauge) Set(n int64) {
	g.n.Store(n)
	g.use()
}

func (g *Gauge) use() {
	if !g.used.Load() {
		g.used.Store(true)
	}
}

// Value returns how much it is.
func (g *Gauge) Value() int64 { return g.n.Load() }
