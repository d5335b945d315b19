package filter

import (
	"strconv"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/route"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// A rateLimit is one local rate limit of the chain, with the configurations of routes that
// may take its place.
type rateLimit struct {
	own    *limit
	routes map[*config.LocalRateLimit]*limit
}

// A limit is one configuration.
type limit struct {
	config  *config.LocalRateLimit
	bucket  bucket
	request route.Changes
	reply   Reply
	headers route.Changes

	enabled, enforced, limited, ok *stats.Counter
}

func newRateLimit(c *config.LocalRateLimit, routes *config.RouteConfig, store *stats.Store) *rateLimit {
	r := &rateLimit{own: newLimit(c, store), routes: make(map[*config.LocalRateLimit]*limit)}
	add := func(c *config.LocalRateLimit) {
		if c != nil && r.routes[c] == nil {
			r.routes[c] = newLimit(c, store)
		}
	}
	if routes == nil {
		return r
	}
	for _, vh := range routes.VirtualHosts {
		add(vh.RateLimit)
		for _, rt := range vh.Routes {
			add(rt.RateLimit)
			if rt.Forward != nil && rt.Forward.Weighted != nil {
				for i := range rt.Forward.Weighted.Clusters {
					add(rt.Forward.Weighted.Clusters[i].RateLimit)
				}
			}
		}
	}
	return r
}

func newLimit(c *config.LocalRateLimit, store *stats.Store) *limit {
	l := &limit{
		config:  c,
		request: route.RequestChanges(c.RequestHeaders, nil),
		headers: route.ResponseChanges(c.ResponseHeaders, nil),
	}
	if b := c.Bucket; b != nil {
		l.bucket.init(b.MaxTokens, b.TokensPerFill, b.FillInterval, 0)
	}
	l.reply = Reply{Reply: forwarding.Reply{Status: c.Status, Body: "local_rate_limited", Details: "local_rate_limited",
		Flags: message.RateLimited}, headers: &l.headers}
	if c.Status < 400 { // which says nothing of a limit
		l.reply.Status = 429
	}
	if c.RateLimitedAsResourceExhausted {
		l.reply.GRPC, l.reply.HasGRPC = 8, true
	}
	scope := store.LocalRateLimit(c.StatPrefix)
	l.enabled, l.enforced = scope.Counter("enabled"), scope.Counter("enforced")
	l.limited, l.ok = scope.Counter("rate_limited"), scope.Counter("ok")
	return l
}

func (r *rateLimit) perConnection() bool {
	if r.own.config.PerConnection {
		return true
	}
	for c := range r.routes {
		if c.PerConnection {
			return true
		}
	}
	return false
}

func (r *rateLimit) request(ex *message.Exchange, s *State) *Reply {
	in := &s.in
	l := r.own
	if in.RateLimit != nil {
		if of := r.routes[in.RateLimit]; of != nil {
			l = of
		}
	}
	// The two shares are of different bits.
	if l.config.Bucket == nil || !share(l.config.Enabled, uint32(in.Random)) {
		return nil
	}
	l.enabled.Inc()
	now := in.since
	b := &l.bucket
	if l.config.PerConnection && in.Connection != nil {
		b = in.Connection.bucket(r, l, now)
	}
	s.use(used{r, l, b})
	if b.take(now) {
		l.ok.Inc()
		return nil
	}
	l.limited.Inc()
	if !share(l.config.Enforced, uint32(in.Random>>32)) {
		l.request.Apply(&ex.Request.Fields, ex)
		return nil
	}
	l.enforced.Inc()
	return &l.reply
}

func (r *rateLimit) response(ex *message.Exchange, s *State, now time.Duration) {
	u := s.used(r)
	if u == nil || !u.limit.config.RateLimitHeaders {
		return
	}
	left, seconds := u.bucket.left(now)
	ex.Response.Fields.Add("x-ratelimit-limit", strconv.FormatUint(uint64(u.limit.config.Bucket.MaxTokens), 10))
	ex.Response.Fields.Add("x-ratelimit-remaining", strconv.FormatInt(left, 10))
	ex.Response.Fields.Add("x-ratelimit-reset", strconv.FormatInt(seconds, 10))
}

// share returns whether a request is one of a share of them.
func share(f config.Fraction, random uint32) bool {
	return f.Denominator > 0 && random%f.Denominator < f.Numerator
}

// use remembers a bucket for the answer.
func (s *State) use(u used) {
	if s.n < len(s.limits) {
		s.limits[s.n] = u
		s.n++
		return
	}
	s.more = append(s.more, u)
}

// used returns what a filter has used for the request, or nil.
func (s *State) used(r *rateLimit) *used {
	for i := range s.n {
		if s.limits[i].filter == r {
			return &s.limits[i]
		}
	}
	for i := range s.more {
		if s.more[i].filter == r {
			return &s.more[i]
		}
	}
	return nil
}

// A Connection has the buckets of one connection from a client:
// local_rate_limit_per_downstream_connection. The zero value is that of a new connection.
// It is for one goroutine at a time.
type Connection struct{ buckets []connectionBucket }

type connectionBucket struct {
	filter *rateLimit
	limit  *limit
	bucket *bucket
}

// bucket returns the connection's bucket for a limit of a filter.
func (c *Connection) bucket(r *rateLimit, l *limit, now time.Duration) *bucket {
	for i := range c.buckets {
		if b := &c.buckets[i]; b.filter == r && b.limit == l {
			return b.bucket
		}
	}
	b := new(bucket)
	t := l.config.Bucket
	b.init(t.MaxTokens, t.TokensPerFill, t.FillInterval, now)
	c.buckets = append(c.buckets, connectionBucket{r, l, b})
	return b
}
