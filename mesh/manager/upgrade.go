package manager

import (
	"os"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// tunnel passes bytes both ways after the upstream has switched protocols, until either
// side ends.
func (s *stream) tunnel(a *attempt) end {
	if err := s.flush(); err != nil {
		return s.breakOff(a, err)
	}
	counts := s.m.counts
	counts.ActiveUpgrades.Inc()
	defer counts.ActiveUpgrades.Dec()
	held := len(a.conn.Buffered()) // which have been counted
	t := &tunnel{s: s}
	t.bound(a)
	done := make(chan struct{})
	go func() {
		defer func() {
			a.conn.Kick()
			close(done)
		}()
		defer s.m.guard(func() { t.end(byClient) })
		t.copy(a.conn.Conn, s.client.conn, &t.received, byClient)
		if ender(t.ended.Load()) == byClient {
			s.client.conn.Abort() // it may not take what the upstream still says
		}
	}()
	t.copy(s.client.conn, a.conn.Conn, &t.sent, byUpstream)
	s.client.conn.Kick()
	a.conn.Abort()
	<-done
	s.client.conn.Unkick()
	s.ex.BytesReceived = uint64(t.received.Load())
	s.ex.BytesSent = uint64(t.sent.Load())
	s.ex.WireBytesSent += s.ex.BytesSent
	s.ex.UpstreamBytesSent += s.ex.BytesReceived
	s.received(int(s.ex.BytesSent) - held)
	switch ender(t.ended.Load()) {
	case byClient:
		s.clientGone()
	case byUpstream:
		s.m.counts.OwnReset.Inc()
		s.m.counts.EarlyAnswers.Inc()
		s.ex.Flags |= message.UpstreamConnectionTermination
		s.ex.Details = "upstream_reset_after_response_started{connection_termination}"
	case byIdleness:
		s.m.counts.IdleTimeout.Inc()
		s.ex.Flags |= message.StreamIdleTimeout
		s.ex.Details = "stream_idle_timeout"
	case byDuration:
		reply := s.timeout(t.why)
		s.ex.Flags |= reply.Flags
		s.ex.Details = reply.Details
	}
	a.conn.Close()
	s.release(a)
	return closeGently
}

// An ender is who has ended a tunnel.
type ender int32

const (
	nobody ender = iota
	byClient
	byUpstream
	byIdleness
	byDuration
)

// A tunnel is a connection through both of a client and of an upstream.
type tunnel struct {
	s              *stream
	until          time.Time // the zero Time is never
	why            cause     // of until
	received, sent atomic.Int64
	ended          atomic.Int32 // an ender
}

// copy passes on what comes from one side, until that ends or the tunnel has been idle for
// too long.
func (t *tunnel) copy(to, from *http1.Conn, count *atomic.Int64, side ender) {
	for {
		until := t.deadline()
		var err error
		if b := from.Buffered(); len(b) > 0 {
			var n int
			if n, err = to.WriteBefore(b, until); n > 0 {
				count.Add(int64(n))
				from.Take(n)
				t.s.touch()
			}
			if err != nil && err != os.ErrDeadlineExceeded {
				t.end(byClient + byUpstream - side)
				return
			}
		} else {
			err = from.Fill(until)
		}
		switch {
		case err == nil:
		case err == os.ErrDeadlineExceeded:
			if now := time.Now(); now.Before(t.deadline()) {
				continue // the other direction has moved
			} else if !t.until.IsZero() && !now.Before(t.until) {
				t.end(byDuration)
			} else {
				t.end(byIdleness)
			}
			return
		case err == http1.ErrKicked:
			return
		default:
			t.end(side)
			return
		}
	}
}

// deadline returns when the tunnel is to end if nothing moves; the zero Time is never.
func (t *tunnel) deadline() time.Time {
	s := t.s
	if s.limits.idle == 0 {
		return t.until
	}
	idle := s.ex.Start.Add(time.Duration(s.active.Load()) + s.limits.idle)
	if !t.until.IsZero() && t.until.Before(idle) {
		return t.until
	}
	return idle
}

// bound sets how long the tunnel may last whatever moves, as far as that is bounded.
func (t *tunnel) bound(a *attempt) {
	l := &t.s.limits
	if l.stream > 0 {
		t.until, t.why = t.s.ex.Start.Add(l.stream), streamTimeout
	}
	if end := t.s.ex.Start.Add(a.began + l.upstream); l.upstream > 0 && (t.until.IsZero() || end.Before(t.until)) {
		t.until, t.why = end, upstreamTimeout
	}
}

// end notes who has ended the tunnel, unless somebody has before.
func (t *tunnel) end(by ender) { t.ended.CompareAndSwap(int32(nobody), int32(by)) }
