// Package stats counts what the mesh does, under Envoy's names.
//
// A [Store] holds counters, gauges and histograms. Whoever counts asks a [Scope] of it for
// them once, when it is made, and keeps the pointers: to count is an atomic addition.
package stats

import (
	"sync"
	"sync/atomic"
)

// A Counter only grows. The zero value is ready to use, and is counted by nobody's Store.
type Counter struct{ n atomic.Uint64 }

// Inc adds one.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) { c.n.Add(n) }

// Value returns the count.
func (c *Counter) Value() uint64 { return c.n.Load() }

// A Gauge goes up and down.
type Gauge struct{ n atomic.Int64 }

// Inc adds one.
func (g *Gauge) Inc() { g.n.Add(1) }

// Dec takes one away.
func (g *Gauge) Dec() { g.n.Add(-1) }

// Set sets it.
func (g *Gauge) Set(n int64) { g.n.Store(n) }

// Value returns how much it is.
func (g *Gauge) Value() int64 { return g.n.Load() }

// A Histogram counts durations in milliseconds.
type Histogram struct {
	// buckets below Envoy's upper bounds, and one above
	buckets [len(bounds) + 1]atomic.Uint64
	sum     atomic.Uint64
}

// bounds are Envoy's buckets, in milliseconds.
var bounds = [...]uint64{1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}

// Record counts a duration in milliseconds.
func (h *Histogram) Record(ms uint64) {
	i := 0
	for i < len(bounds) && ms > bounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(ms)
}

// A Store holds all that is counted.
type Store struct {
	mu  sync.Mutex
	all map[string]any // *Counter, *Gauge or *Histogram, by full name
}

// NewStore returns a Store of nothing.
func NewStore() *Store { return &Store{all: make(map[string]any)} }

// Scope returns the scope of a prefix: "cluster.NAME", "http.PREFIX", "listener.ADDRESS",
// or "" for the root.
func (s *Store) Scope(prefix string) Scope { return Scope{s, prefix} }

// A Scope is the part of a Store below a prefix.
type Scope struct {
	store  *Store
	prefix string
}

// Scope returns a scope below this one.
func (s Scope) Scope(prefix string) Scope { return Scope{s.store, s.full(prefix)} }

func (s Scope) full(name string) string {
	if s.prefix == "" {
		return name
	}
	return s.prefix + "." + name
}

// Counter returns the counter of a name: the same one each time.
func (s Scope) Counter(name string) *Counter { return get[Counter](s, name) }

// Gauge returns the gauge of a name: the same one each time.
func (s Scope) Gauge(name string) *Gauge { return get[Gauge](s, name) }

// Histogram returns the histogram of a name: the same one each time.
func (s Scope) Histogram(name string) *Histogram { return get[Histogram](s, name) }

func get[T any](s Scope, name string) *T {
	name = s.full(name)
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if v, ok := s.store.all[name].(*T); ok {
		return v
	}
	v := new(T)
	s.store.all[name] = v
	return v
}
