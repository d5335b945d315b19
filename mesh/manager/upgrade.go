package manager

import (
	"io"
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
	counts.Upgrades.Inc()
	counts.ActiveUpgrades.Inc()
	defer counts.ActiveUpgrades.Dec()
	t := &tunnel{s: s}
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
	s.received(int(s.ex.BytesSent))
	switch ender(t.ended.Load()) {
	case byClient:
		s.clientGone()
	case byUpstream:
		s.ex.Flags |= message.UpstreamConnectionTermination
		s.ex.Details = "upstream_reset_after_response_started{connection_termination}"
	case byIdleness:
		s.m.counts.IdleTimeout.Inc()
		s.ex.Flags |= message.StreamIdleTimeout
		s.ex.Details = "stream_idle_timeout"
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
)

// A tunnel is a connection through both of a client and of an upstream.
type tunnel struct {
	s              *stream
	received, sent atomic.Int64
	ended          atomic.Int32 // an ender
}

// copy passes on what comes from one side, until that ends or the tunnel has been idle for
// too long.
func (t *tunnel) copy(to, from *http1.Conn, count *atomic.Int64, side ender) {
	idle := t.s.limits.idle
	for {
		if b := from.Buffered(); len(b) > 0 {
			if to.WriteUntil(b, idle) != nil {
				t.end(byClient + byUpstream - side)
				return
			}
			count.Add(int64(len(b)))
			from.Take(len(b))
			t.s.touch()
		}
		var until time.Time
		if idle > 0 {
			until = t.s.ex.Start.Add(time.Duration(t.s.active.Load()) + idle)
		}
		switch err := from.Fill(until); {
		case err == nil:
		case err == os.ErrDeadlineExceeded:
			if time.Since(t.s.ex.Start) >= time.Duration(t.s.active.Load())+idle {
				t.end(byIdleness)
				return
			}
		case err == io.EOF || err != http1.ErrKicked:
			t.end(side)
			return
		default:
			return
		}
	}
}

// end notes who has ended the tunnel, unless somebody has before.
func (t *tunnel) end(by ender) { t.ended.CompareAndSwap(int32(nobody), int32(by)) }
