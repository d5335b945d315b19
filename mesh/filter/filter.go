// Package filter holds the HTTP filters before the router: the local rate limit
// (envoy.filters.http.local_ratelimit) and the health check that answers by itself
// (envoy.filters.http.health_check without pass-through). They are pure functions of an
// exchange, of random bits and of the time.
//
// A request goes through [Chain.Request]; its answer, the proxy's own included, through
// [Chain.Response], after the mutations of the route.
package filter

import (
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/route"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// Options are what filters need to know beside the HTTP connection manager.
type Options struct {
	// NodeCluster is node.cluster, which health checks tell. Default: "".
	NodeCluster string
	// Hosts returns how many hosts a cluster has, and how many of them are healthy or degraded,
	// and whether there is such a cluster. Default: there is none.
	Hosts func(cluster string) (healthy, total int, ok bool)
	// Stats is where is counted what the filters do. Default: one of their own.
	Stats *stats.Store
	// Start is a time before the first request; later ones are counted from it. Default: now.
	Start time.Time
}

// A Chain is the filters of an HTTP connection manager, in their order. It may be used by
// any number of goroutines. Use [New] to make one.
type Chain struct {
	filters []filter
	start   time.Time
	perConn bool // there may be one with buckets of a connection
}

// A filter looks at a request, and at its answer.
type filter interface {
	request(ex *message.Exchange, s *State) *Reply
	response(ex *message.Exchange, s *State, now time.Duration)
}

// A Reply is what a filter answers in place of the backend.
type Reply struct {
	forwarding.Reply
	// AfterBody says that it is to be sent when the request's body has been read, so that
	// the connection goes on.
	AfterBody bool

	headers *route.Changes
}

// AddHeaders adds the fields to the answer that the filter is configured to add, after the
// mutations of the route.
func (r *Reply) AddHeaders(ex *message.Exchange) {
	if r.headers != nil {
		r.headers.Apply(&ex.Response.Fields, ex)
	}
}

// Input is what a filter looks at beside the exchange.
type Input struct {
	// RateLimit is that of the route, which replaces the filter's own. nil: the filter's own.
	RateLimit *config.LocalRateLimit
	// Connection has the buckets of the client's connection. It may be nil if [Chain.PerConnection]
	// returns false.
	Connection *Connection
	// Random decides about filters that are for a share of requests. Its bits should be of no
	// other use.
	Random uint64
	// Now is the time of the request.
	Now time.Time

	since time.Duration // the same, from the chain's start
}

// A State is what filters remember of a request until its answer. The zero State is that of a new
// request.
type State struct {
	limits  [2]used // the first ones, which are all there are of most chains
	more    []used
	n       int
	checked bool // a health check has answered
	in      Input
}

type used struct {
	filter *rateLimit // as which filter
	limit  *limit
	bucket *bucket
}

// New returns the filters of an HTTP connection manager.
func New(h *config.HTTP, o Options) *Chain {
	if o.Stats == nil {
		o.Stats = stats.NewStore()
	}
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	if o.Hosts == nil {
		o.Hosts = func(string) (int, int, bool) { return 0, 0, false }
	}
	c := &Chain{start: o.Start}
	for _, f := range h.Filters {
		switch f := f.(type) {
		case *config.LocalRateLimit:
			r := newRateLimit(f, h.Routes, o.Stats)
			c.perConn = c.perConn || r.perConnection()
			c.filters = append(c.filters, r)
		case *config.HealthCheckFilter:
			c.filters = append(c.filters, newHealthCheck(f, h.StatPrefix, &o))
		}
	}
	return c
}

// PerConnection returns whether connections need a [Connection].
func (c *Chain) PerConnection() bool { return c.perConn }

// Request takes a request through the filters. It returns nil if the request goes on, and else the
// answer.
func (c *Chain) Request(ex *message.Exchange, s *State, in Input) *Reply {
	if len(c.filters) == 0 {
		return nil
	}
	s.in = in
	s.in.since = in.Now.Sub(c.start)
	for _, f := range c.filters {
		if reply := f.request(ex, s); reply != nil {
			return reply
		}
	}
	return nil
}

// Response takes the answer through the filters that have seen the request, in the opposite order.
func (c *Chain) Response(ex *message.Exchange, s *State, now time.Time) {
	for i := len(c.filters) - 1; i >= 0; i-- {
		c.filters[i].response(ex, s, now.Sub(c.start))
	}
}
