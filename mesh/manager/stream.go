package manager

import (
	"cmp"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/filter"
	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/route"
)

// A stream is a request on its way through the proxy, from its first byte to the line in the
// access log. It is used again, with its buffers, for requests of whichever connection.
type stream struct {
	m        *Manager
	client   *client
	ex       message.Exchange
	state    forwarding.State
	filters  filter.State
	filtered *filter.Reply // the answer that a filter gives; nil: none does
	head     http1.Head    // the request's
	body     requestBody
	pump     *pump
	random   uint64

	route       *route.Route // nil: none has been chosen
	routeCounts *routeCounts // nil: it has none
	forward     *config.Forward
	weighted    *route.Weighted
	cluster     *cluster.Cluster // nil: none has been chosen
	planned     forwarding.Plan
	need        cluster.Need
	attempt     attempt // the last one
	retries     retries
	cookies     []string // that the answer sets
	shadows     []*shadow
	granted     bool // an upgrade
	counted     bool // among the active requests
	ownTimeout  bool // it is the connection manager's, of which a route's cluster knows nothing
	early       bool // what is answered was found out before the body was read

	headSize, bodyAtHand uint64 // bytes of the head, and of what was there behind it, read as one

	limits       limits
	active       atomic.Int64 // when something has last moved, since ex.Start
	bodyRead     atomic.Int64 // when the pump has read the last of the body; 0: not yet
	answerLimits http1.Limits // of answers' heads

	upHead int    // how much of up is the head
	out    []byte // on its way to the client
	up     []byte // on its way upstream
}

var streams = sync.Pool{New: func() any { return new(stream) }}

// maxKeptBuffer is how large a buffer may be for a stream to keep it.
const maxKeptBuffer = 64 << 10

// clear makes the stream ready for another request: it keeps nothing but memory.
func (s *stream) clear() {
	request, response := s.ex.Request.Fields, s.ex.Response.Fields
	clear(request[:cap(request)])
	clear(response[:cap(response)])
	out, up, kept := s.out, s.up, s.body.kept
	if cap(out) > maxKeptBuffer {
		out = nil
	}
	if cap(up) > maxKeptBuffer {
		up = nil
	}
	if cap(kept) > maxKeptBuffer {
		kept = nil
	}
	state := s.state
	state.Reset()
	clear(s.retries.tried)
	tried := s.retries.tried[:0]
	*s = stream{state: state, out: out[:0], up: up[:0]}
	s.ex.Request.Fields, s.ex.Response.Fields = request[:0], response[:0]
	s.body.kept, s.retries.tried = kept[:0], tried
}

// serve serves a request, whose first bytes are there.
func (s *stream) serve(c *client) end {
	m := c.m
	s.m, s.client = m, c
	s.ex.Start = time.Now()
	s.ex.Downstream = &c.info
	s.ex.Remote = c.info.Remote
	s.ex.Protocol = "HTTP/1.1"
	s.random = rand.Uint64()
	s.limits.idle, s.limits.request = m.config.StreamIdleTimeout, m.config.RequestTimeout
	s.limits.stream = m.config.MaxStreamDuration
	c.requests++
	m.counts.Requests.Inc()
	m.counts.HTTP1Requests.Inc()
	m.counts.ActiveRequests.Inc()
	s.counted = true
	end := s.handle()
	if end != keepAlive && s.ex.Flags&message.DownstreamConnectionTermination != 0 {
		end = hungUp
	}
	s.finish(end)
	return end
}

// handle takes a request from its head to the end of its answer.
func (s *stream) handle() end {
	if end, ok := s.receive(); !ok {
		return end
	}
	m := s.m
	refusal := m.rules.Check(&s.ex, s.head, &s.state)
	if s.head.Continue && (refusal == nil || refusal.Flags == 0) && !s.sayContinue() {
		return closeNow
	}
	if refusal != nil {
		if refusal == forwarding.RefusedPath {
			m.counts.NonRelativePath.Inc()
		}
		return s.reply(refusal)
	}
	if end, ok := s.normalizePath(); !ok {
		return end
	}
	m.rules.Request(&s.ex, &s.state, [2]uint64{rand.Uint64(), rand.Uint64()})
	if s.state.Upgrade != "" || s.ex.Request.Method == "CONNECT" {
		s.ex.Points.RequestRead = 0 // its end is that of the connection
	}
	if forwarding.Routable(&s.ex) {
		var host *route.VirtualHost
		host, s.route = m.routes.Match(&s.ex, s.random)
		if host != nil {
			s.ex.VirtualHost = host.Config.Name
		}
	}
	if s.route != nil {
		s.ex.Route = s.route.Config.Name
		if len(m.routeCounts) > 0 {
			s.routeCounts = m.routeCounts[s.route.Config]
		}
		s.chooseCluster()
	}
	if s.route != nil && !m.rules.UpgradeAllowed(&s.state, cmp.Or(s.forward, noForward)) {
		m.counts.UpgradesRefused.Inc()
		if s.forward == nil {
			s.route = nil // whose mutations are for what it answers itself
		}
		return s.reply(forwarding.RefusedUpgrade)
	}
	if s.state.Upgrade != "" && s.route != nil {
		m.counts.Upgrades.Inc()
	}
	if m.filters != nil {
		if end, ok := s.filter(); !ok {
			return end
		}
	}
	m.counts.Routed.Inc()
	switch r := s.route; {
	case r == nil:
		m.counts.NoRoute.Inc()
		return s.reply(noRoute)
	case r.Config.Redirect != nil:
		return s.redirect()
	case r.Config.Direct != nil:
		return s.direct()
	}
	return s.forwardRequest()
}

// noForward is in place of the action of a route that does not forward, which allows for no
// upgrade of its own.
var noForward = new(config.Forward)

// normalizePath applies the rules for paths.
func (s *stream) normalizePath() (end, bool) {
	path, verdict := s.m.paths.Apply(s.ex.Request.Path)
	s.ex.Request.Path = path
	switch verdict {
	case route.Reject:
		s.m.counts.BadPath.Inc()
		return s.reply(badPath), false
	case route.RedirectTo:
		s.m.counts.RedirectedPath.Inc()
		return s.redirectTo(path, 307, "path_normalization_failed"), false
	}
	return keepAlive, true
}

// filter takes the request through the filters. It returns false if one of them has answered.
func (s *stream) filter() (end, bool) {
	var own *config.LocalRateLimit
	if s.route != nil {
		own = s.route.RateLimit(s.weighted)
	}
	reply := s.m.filters.Request(&s.ex, &s.filters, filter.Input{
		RateLimit: own, Connection: &s.client.buckets, Random: rand.Uint64(), Now: s.ex.Start,
	})
	if reply == nil {
		return keepAlive, true
	}
	if reply.AfterBody {
		s.route = nil // it comes before the choice of one
		if end, ok := s.discardBody(); !ok {
			return end, false
		}
	}
	s.filtered = reply
	return s.reply(&reply.Reply), false
}

// discardBody reads the body of a request that nobody wants. It returns false if that does not come to
// its end; then the client has been answered, or has gone.
func (s *stream) discardBody() (end, bool) {
	for {
		var err error
		if s.up, err = s.body.take(s.client.conn, s.up[:0]); err != nil {
			return s.refuseCodec(err), false
		}
		s.ex.BytesReceived = s.body.received
		if s.body.ended {
			s.requestComplete()
			return keepAlive, true
		}
		s.touch()
		until, why := s.deadline(nil)
		if why == never {
			until = time.Time{}
		}
		switch err := s.client.conn.Fill(until); {
		case err == nil:
		case err == os.ErrDeadlineExceeded:
			return s.reply(s.timeout(why)), false
		default:
			s.clientGone()
			return closeNow, false
		}
	}
}

// finish counts the exchange, and logs it.
func (s *stream) finish(end end) {
	m := s.m
	s.ex.Points.End = s.now()
	m.counts.ActiveRequests.Dec()
	s.counted = false
	if end == closeGently && !s.complete() {
		m.counts.ClientReset.Inc() // the rest of the request is not for anybody
	}
	if s.filtered != nil && s.filtered.AfterBody {
		m.counts.HealthChecks.Inc()
	} else if status := s.ex.Response.Status; status != 0 && status != 100 { // which has been counted
		m.counts.Classes.Inc(status)
		m.listenerCounts.Classes.Inc(status)
	}
	m.counts.Time.Record(uint64(s.ex.Points.End.Milliseconds()))
	if s.body.wire > s.bodyAtHand {
		s.ex.WireBytesReceived += s.body.wire - s.bodyAtHand
	}
	m.counts.Received.Add(s.headSize + s.body.wire)
	m.counts.Sent.Add(s.ex.WireBytesSent)
	m.log.Log(&s.ex)
	s.sendShadows()
}
