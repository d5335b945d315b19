package manager

import (
	"time"

	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// forwardRequest sends the request to a host of a cluster, as often as its retry policy
// allows for, and passes the answer on.
func (s *stream) forwardRequest() end {
	if refusal := s.checkCluster(); refusal != nil {
		return s.reply(refusal)
	}
	if refusal := s.plan(); refusal != nil {
		return s.reply(refusal)
	}
	a := &s.attempt
	for {
		*a = attempt{}
		s.ex.UpstreamConn, s.ex.UpstreamLocal, s.ex.UpstreamProto = 0, message.Address{}, ""
		s.ex.TransportFailure = ""
		s.try(a)
		s.report(a)
		if s.judge(a) != again {
			break
		}
		s.discardAnswer(a)
		if !s.rest(a) {
			break
		}
		s.anew()
	}
	s.retries.end()
	if a.failure != noFailure {
		return s.fail(a)
	}
	return s.answer(a)
}

// chooseCluster finds the cluster that the route sends the request to. Filters may want to know
// of it.
func (s *stream) chooseCluster() {
	s.forward = s.route.Config.Forward
	if s.forward == nil {
		return
	}
	var name string
	name, s.weighted = s.route.Cluster(&s.ex, s.random)
	s.cluster = s.m.clusters.Cluster(name)
	if s.cluster != nil {
		s.ex.Cluster, s.ex.ClusterAlt = s.cluster.Config.Name, s.cluster.Config.AltStatName
	}
}

// checkCluster refuses a request that there is no cluster for.
func (s *stream) checkCluster() *forwarding.Reply {
	c := s.cluster
	if c == nil {
		s.m.counts.NoCluster.Inc()
		return &forwarding.Reply{Status: s.forward.NotFoundStatus, Details: "cluster_not_found", Flags: message.NoCluster}
	}
	s.answerLimits = answerLimits(c)
	return nil
}

// answerLimits returns what bounds the heads of a cluster's answers.
func answerLimits(c *cluster.Cluster) http1.Limits {
	return http1.Limits{Bytes: int(c.Config.MaxResponseHeadersKB) << 10, Fields: int(c.Config.MaxResponseHeaders)}
}

// plan makes of the request what is sent, and finds out how.
func (s *stream) plan() *forwarding.Reply {
	policy := s.route.Retry
	s.ex.Attempts = 1
	var refusal *forwarding.Reply
	s.planned, refusal = s.m.rules.Plan(&s.ex, &s.state, s.route.VirtualHost.Config, s.forward, policy)
	if refusal != nil {
		return refusal
	}
	s.route.RewriteRequest(&s.ex, s.weighted, s.m.tellOriginals)
	s.retries.start(policy, s.m.rules.Retries(&s.ex, &s.state, policy), &s.cluster.Breakers(s.forward.Priority).Retries)
	if s.cluster.Config.Policy == config.MaglevPolicy { // no other looks at it, or makes cookies
		s.need.Hash, s.need.HasHash, s.cookies = s.route.Hash(&s.ex)
	}
	s.need.Random = mixed(s.random)
	s.setLimits()
	s.setBody()
	return nil
}

// mixed makes other random bits of random bits, so that two choices do not depend on each other.
func mixed(random uint64) uint64 {
	random ^= random >> 32
	return random * 0x9E3779B97F4A7C15
}

// setLimits takes over the timeouts.
func (s *stream) setLimits() {
	p, l := &s.planned, &s.limits
	l.total, l.perTry, l.tryIdle = p.Timeout, p.PerTry, p.PerTryIdle
	if s.forward.IdleTimeout != nil {
		l.idle = *s.forward.IdleTimeout
	}
	if p.HasMaxDuration {
		l.stream, l.atOnce = p.MaxDuration, p.MaxDuration == 0
	}
	if p.HasUpstreamDuration {
		l.upstream = p.UpstreamDuration
	}
}

// setBody finds out how the body goes upstream, and whether it has to be kept.
func (s *stream) setBody() {
	b := &s.body
	switch {
	case s.state.Upgrade != "":
		// What comes behind the head is held back until the upstream has agreed.
		b.framing = http1.UntilClose
	case b.framing > 0 && !s.ex.Request.Fields.Has("content-length"):
		b.framing = http1.InChunks // Connection has named it
	}
	if s.retries.asked.On == 0 && len(s.route.Mirrors) == 0 {
		return
	}
	limit := uint64(s.m.bufferLimit)
	if own := s.route.RequestBodyBufferLimit; own != nil {
		limit = *own
	}
	b.keep(limit)
}

// rest waits before another attempt. It returns false if there is none in the end; the
// attempt then says why.
func (s *stream) rest(a *attempt) bool {
	now := time.Now()
	wake := now.Add(s.retries.delay(&s.ex.Response, s.cluster.Stats, now))
	for now.Before(wake) {
		until, why := s.deadline(nil)
		if why != never && !now.Before(until) {
			a.failure, a.cause = timedOut, why
			return false
		}
		pause := min(wake.Sub(now), glance)
		if why != never {
			pause = min(pause, until.Sub(now))
		}
		time.Sleep(pause)
		if !s.client.conn.Poll() {
			a.failure = clientGone
			return false
		}
		now = time.Now()
	}
	return true
}

// anew makes the request ready for another attempt.
func (s *stream) anew() {
	s.ex.Attempts++
	elapsed := time.Duration(0)
	if s.complete() {
		elapsed = s.now() - s.ex.Points.RequestRead
	}
	s.m.rules.Again(&s.ex, &s.state, s.route.VirtualHost.Config, s.forward, &s.planned, s.ex.Attempts, elapsed)
	s.ex.Response.Status = 0
	s.ex.Response.Fields = s.ex.Response.Fields[:0]
}
