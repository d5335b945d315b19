package manager

import (
	"os"
	"time"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// receive reads the head of a request. It returns false if there is none to be served; then the
// client has been answered, or has gone.
func (s *stream) receive() (end, bool) {
	conn := s.client.conn
	conn.Parser.Limits = s.m.limits
	cfg := s.m.config
	until, why := s.headDeadline()
	for {
		buffered := conn.Buffered()
		n, head, err := conn.Parser.Request(buffered, &s.ex.Request)
		switch {
		case err != nil:
			s.ex.WireBytesReceived = uint64(len(buffered))
			return s.refuseCodec(err), false
		case n > 0:
			if len(s.m.log) > 0 {
				s.ex.HeaderBytesReceived = requestBytes(&s.ex.Request)
			}
			s.ex.WireBytesReceived = uint64(n)
			conn.Take(n)
			s.head = head
			if head.Minor == 0 {
				if !cfg.AcceptHTTP10 {
					s.ex.Request = message.Request{Fields: s.ex.Request.Fields[:0]} // which nobody has read
					return s.refuseCodec(http1.ErrVersion), false
				}
				s.ex.Protocol = "HTTP/1.0"
			}
			s.body.begin(head)
			if s.body.ended {
				s.requestComplete()
			}
			return keepAlive, true
		}
		switch err := conn.Fill(until); {
		case err == nil:
		case err == os.ErrDeadlineExceeded:
			return s.reply(s.timeout(why)), false
		default: // io.EOF, or worse
			s.ex.WireBytesReceived = uint64(len(buffered))
			s.clientGone()
			return closeNow, false
		}
	}
}

// headDeadline returns until when a head has to be there.
func (s *stream) headDeadline() (time.Time, cause) {
	cfg := s.m.config
	var until time.Time
	why := never
	for _, t := range [...]struct {
		d time.Duration
		c cause
	}{
		{cfg.RequestHeadersTimeout, headTimeout},
		{cfg.RequestTimeout, requestTimeout},
		{cfg.StreamIdleTimeout, idleTimeout},
		{cfg.MaxStreamDuration, streamTimeout},
	} {
		if at := s.ex.Start.Add(t.d); t.d > 0 && (why == never || at.Before(until)) {
			until, why = at, t.c
		}
	}
	return until, why
}

// requestBytes returns how much of a request's head its fields are, as Envoy counts them:
// without the first line, the blanks around values and one byte of each end of a line.
func requestBytes(r *message.Request) uint64 {
	n := len("host: ") + len(r.Authority) + 1
	for i := range r.Fields {
		n += len(r.Fields[i].Name) + len(": ") + len(r.Fields[i].Value) + 1
	}
	return uint64(n)
}
