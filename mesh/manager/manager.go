// Package manager is the HTTP connection manager: it serves the connections of a listener, and
// takes each request from its head to the end of its answer.
//
// One goroutine serves a client's connection, and it drives the upstream's connection too, which it
// takes from a pool. A second one is there only while two directions have to move at once: a
// request's body that is still being sent when the answer may come, and a connection
// that has been upgraded.
//
//	client.go      a connection, request after request
//	stream.go      a request, from its head to the access log
//	receive.go     its head
//	reply.go       answers of the proxy's own
//	forward.go     ... or to a cluster: the plan, and attempts
//	failure.go     ... and what the client is told if that came to nothing
//	attempt.go     one attempt: a host, a connection, the head of the answer
//	retry.go       whether there is another one
//	body.go        the request's body on its way
//	answer.go      the answer on its way
//	upgrade.go     what is no longer HTTP
//	proxyprotocol.go  connections that are one client's
//	mirror.go      copies of requests
//	deadlines.go   timeouts
//	pools.go       connections to hosts
//	panics.go      mistakes of the program's own
//	report.go      outlier detection and statistics
package manager

import (
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/mesh/accesslog"
	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/filter"
	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/route"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// Options are what a Manager works with. All but the logs are required.
type Options struct {
	Listener *config.Listener // whose chain has HTTP
	Address  string           // that it listens at, for statistics
	Clusters *cluster.Set
	Stats    *stats.Store
	Log      accesslog.Log // the zero Log is none
	Logger   *slog.Logger  // is told of mistakes of the program's own; nil: nobody is
	Clock    *forwarding.Clock
	// NodeID, NodeCluster and LocalAddress are those of forwarding.Options.
	NodeID, NodeCluster, LocalAddress string
}

// A Manager serves the connections of a listener. It is safe for use by any number of goroutines.
type Manager struct {
	config   *config.HTTP
	routes   *route.Table
	paths    route.PathRules
	rules    *forwarding.Rules
	filters  *filter.Chain // nil: none
	clusters *cluster.Set
	log      accesslog.Log
	logger   *slog.Logger

	routeCounts    map[*config.Route]*routeCounts // of those that have some
	counts         *counts
	listenerCounts *listenerCounts

	limits        http1.Limits // of requests' heads
	bufferLimit   uint32
	tellOriginals bool
	localAddress  string
	draining      atomic.Bool
}

// New returns a Manager.
func New(o Options) *Manager {
	h := o.Listener.Chain.HTTP
	scope := o.Stats.HTTP(h.StatPrefix)
	m := &Manager{
		config:         h,
		routes:         route.New(h.Routes),
		paths:          route.NewPathRules(h),
		clusters:       o.Clusters,
		log:            o.Log,
		logger:         o.Logger,
		routeCounts:    countRoutes(o.Stats, h.Routes),
		counts:         stats.Group[counts](scope),
		listenerCounts: stats.Group[listenerCounts](o.Stats.Listener(o.Address).HTTP(h.StatPrefix)),
		limits:         http1.Limits{Bytes: int(h.MaxRequestHeadersKB) << 10, Fields: int(h.MaxHeaders)},
		bufferLimit:    o.Listener.ConnectionBufferLimit,
		localAddress:   o.LocalAddress,
		tellOriginals:  !h.Router.SuppressEnvoyHeaders,
	}
	m.rules = forwarding.New(h, forwarding.Options{
		NodeID: o.NodeID, NodeCluster: o.NodeCluster, LocalAddress: o.LocalAddress, Clock: o.Clock,
	})
	if len(h.Filters) > 0 {
		m.filters = filter.New(h, filter.Options{
			NodeCluster: o.NodeCluster, Stats: o.Stats,
			Hosts: func(name string) (healthy, total int, ok bool) {
				c := o.Clusters.Cluster(name)
				if c == nil {
					return 0, 0, false
				}
				healthy, degraded, total := c.Healthy()
				return healthy + degraded, total, true
			},
		})
	}
	return m
}

// Serve serves a connection until it is closed. It is to be called by a goroutine of its own.
func (m *Manager) Serve(c net.Conn, info message.Connection) {
	k := &client{m: m, conn: http1.NewConn(c), info: info, opened: time.Now()}
	k.gone = func() bool { return !k.conn.Poll() }
	m.counts.Connections.Inc()
	m.counts.HTTP1Connections.Inc()
	m.counts.ActiveConnections.Inc()
	m.counts.ActiveHTTP1.Inc()
	k.serve()
	k.closeOwn()
	m.counts.ActiveConnections.Dec()
	m.counts.ActiveHTTP1.Dec()
	m.counts.Destroyed.Inc()
	m.counts.ConnectionLength.Record(uint64(time.Since(k.opened).Milliseconds()))
}

// Drain has connections end after the request that they are serving.
func (m *Manager) Drain() { m.draining.Store(true) }

// Active returns how many requests are under way.
func (m *Manager) Active() int64 { return m.counts.ActiveRequests.Value() }
