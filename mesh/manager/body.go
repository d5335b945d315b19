package manager

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/upstream"
)

// A requestBody is the body of a request on its way from the client: how much of it has
// been read, and what has been kept of it in case it is needed again. It is the
// stream's, or that of a pump while there is one.
type requestBody struct {
	decoder  http1.Decoder
	framing  http1.Body // as it goes upstream: in chunks, with a length, or not at all
	ended    bool       // it has been read whole
	received uint64     // bytes of it so far
	wire     uint64     // the same with what frames them

	kept    []byte
	keeping bool // for a retry or a mirror
	lost    bool // it was to be kept, but is too large
	limit   uint64
}

func (b *requestBody) begin(head http1.Head) {
	b.decoder, b.framing, b.ended = head.Decoder(), head.Body, head.Body == http1.NoBody
}

// keep has all of the body kept, up to a limit.
func (b *requestBody) keep(limit uint64) { b.keeping, b.limit = true, limit }

// repeatable returns whether all that has been read of the body can be sent again.
func (b *requestBody) repeatable() bool { return b.received == 0 || b.keeping }

// take takes off the client's buffer what there is of the body, and appends it to out as
// it goes upstream. An error is an [*http1.Error].
func (b *requestBody) take(conn *http1.Conn, out []byte) ([]byte, error) {
	left := 0 // of a chunk: all that there is becomes one, as in Envoy
	for !b.ended {
		buffered := conn.Buffered()
		if len(buffered) == 0 {
			break
		}
		data, n, end, err := b.decoder.Next(buffered)
		if err != nil {
			return out, err
		}
		if len(data) > 0 {
			if b.framing == http1.InChunks && left == 0 {
				left = len(data) + b.decoder.Available(buffered[n:])
				out = http1.AppendChunkSize(out, left)
			}
			out = append(out, data...)
			if left -= len(data); b.framing == http1.InChunks && left == 0 {
				out = append(out, "\r\n"...)
			}
			b.received += uint64(len(data))
			b.remember(data)
		}
		conn.Take(n)
		b.wire += uint64(n)
		if end {
			b.ended = true
			out = b.appendEnd(out)
		}
	}
	return out, nil
}

func (b *requestBody) appendFramed(out, data []byte) []byte {
	if b.framing == http1.InChunks {
		return http1.AppendChunk(out, data)
	}
	return append(out, data...)
}

func (b *requestBody) appendEnd(out []byte) []byte {
	if b.framing == http1.InChunks {
		return http1.AppendEnd(out)
	}
	return out
}

// remember keeps a part of the body. One that is larger than the limit cannot be sent
// again.
func (b *requestBody) remember(data []byte) {
	switch {
	case !b.keeping:
	case uint64(len(b.kept)+len(data)) > b.limit:
		b.keeping, b.lost, b.kept = false, true, nil
	default:
		b.kept = append(b.kept, data...)
	}
}

// appendKept appends what has been read of the body before, as it goes upstream.
func (b *requestBody) appendKept(out []byte) []byte {
	if len(b.kept) > 0 {
		out = b.appendFramed(out, b.kept)
	}
	if b.ended && b.keeping { // be it that it is empty
		out = b.appendEnd(out)
	}
	return out
}

// A pump is a goroutine that sends the rest of a request's body while the stream waits for
// the answer, which may come first. When it is done it interrupts the stream.
type pump struct {
	idle atomic.Bool   // it has done all that it is there for
	done chan struct{} // it is not there any more

	body sync.Mutex // is held while the stream's body is looked at, or changed
	held bool       // nothing more is to be taken of the body

	// What follows is the pump's until it is done.
	err    error         // of the client: its connection's, or what it sends is no body
	failed bool          // the upstream does not take any more
	wrote  int           // bytes
	last   time.Duration // when the last of them were written
}

// startPump sends the rest of the body.
func (s *stream) startPump(up *upstream.Conn) {
	p := &pump{done: make(chan struct{})}
	s.pump = p
	go func() {
		defer func() {
			p.idle.Store(true)
			up.Kick() // a connection that is used again must not be interrupted any more: done comes after
			close(p.done)
		}()
		defer s.m.guard(func() { p.err = errMistake })
		p.run(s, up)
	}()
}

func (p *pump) run(s *stream, up *upstream.Conn) {
	conn, b := s.client.conn, &s.body
	var out []byte
	for held := false; ; {
		// There may be some from before: who looks whether a client is there reads what it sends.
		out, held = p.take(s, out[:0])
		if b.ended {
			// Before the last of it is sent, so that no answer to it can come sooner.
			s.bodyRead.Store(int64(s.now()))
		}
		if len(out) > 0 && up.WriteUntil(out, 0) != nil {
			p.failed = true
			return
		}
		p.note(s, len(out))
		if b.ended || held || p.err != nil {
			return
		}
		if n := b.spliceable(conn, up.Conn); n > 0 {
			if !p.splice(s, up, n) {
				return
			}
		}
		if err := conn.Fill(time.Time{}); err != nil {
			p.err = err
			return
		}
		s.touch()
	}
}

// take takes what there is of the body, unless that is held.
func (p *pump) take(s *stream, out []byte) (_ []byte, held bool) {
	p.body.Lock()
	defer p.body.Unlock()
	if !p.held {
		out, p.err = s.body.take(s.client.conn, out)
	}
	return out, p.held
}

// note notes that something has been sent.
func (p *pump) note(s *stream, n int) {
	if n > 0 {
		s.touch()
		p.wrote += n
		p.last = s.now()
	}
}

// spliceFrom is how long what is left of a body has to be for the kernel to move it.
const spliceFrom = 64 << 10

// spliceable returns how much of the body can be left to the kernel.
func (b *requestBody) spliceable(from, to *http1.Conn) int64 {
	left := b.decoder.Left() - 1 // the last byte goes by hand, see pump.run
	if left < spliceFrom || b.keeping || b.framing == http1.InChunks || !to.CanSplice(from) {
		return 0
	}
	return left
}

// splice leaves the rest of a long body to the kernel, and returns whether all is well.
func (p *pump) splice(s *stream, up *upstream.Conn, n int64) bool {
	b := &s.body
	moved, err := up.Splice(s.client.conn, n, func(moved int64) error {
		p.note(s, int(moved))
		return nil
	})
	p.body.Lock()
	b.received += uint64(moved)
	b.wire += uint64(moved)
	b.decoder.Skip(moved)
	p.body.Unlock()
	switch {
	case err == nil || err == http1.ErrNoPipe:
		return true
	case err == io.EOF || err == http1.ErrKicked || s.client.conn.HungUp():
		p.err = err
	default:
		p.failed = true
	}
	return false
}

// wait waits a moment for the end of a pump that has read all there is.
func (p *pump) wait() {
	select {
	case <-p.done:
	case <-time.After(lastWrite):
	}
}

// lastWrite is how long a host that has answered may take for the last bytes of a request's
// body.
const lastWrite = 50 * time.Millisecond

// pumping returns whether a pump is at work.
func (s *stream) pumping() bool {
	return s.pump != nil && !s.pump.idle.Load()
}

// repeatable returns whether all that has been read of the body can be sent again. If hold is
// true, and it can, nothing more is read by a pump, so that this remains so.
func (s *stream) repeatable(hold bool) bool {
	p := s.pump
	if p == nil {
		return s.body.repeatable()
	}
	p.body.Lock()
	defer p.body.Unlock()
	if !s.body.repeatable() {
		return false
	}
	p.held = hold
	return true
}

// joinPump takes over what a pump that is done has to tell. It returns nil if there is none.
func (s *stream) joinPump() *pump {
	p := s.pump
	if p == nil {
		return nil
	}
	<-p.done
	s.pump = nil
	s.attempt.conn.Unkick() // what it was to be told of by that is known
	s.ex.BytesReceived = s.body.received
	s.ex.UpstreamBytesSent += uint64(p.wrote)
	s.ex.Points.UpstreamSent = max(s.ex.Points.UpstreamSent, p.last)
	s.cluster.Stats.Sent.Add(uint64(p.wrote))
	return p
}

// stopPump ends the pump, if there is one. The connection to the upstream is of no more use
// if the pump has not come to its end by itself, which it returns.
func (s *stream) stopPump(up *upstream.Conn) (whole bool) {
	if s.pump == nil {
		return true
	}
	if s.pumping() {
		up.Abort()
		s.client.conn.Kick()
	}
	p := s.joinPump()
	s.client.conn.Unkick()
	return p.err == nil && !p.failed
}
