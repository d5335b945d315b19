package manager

import (
	"os"
	"time"
)

// receive reads the head of a request. It returns false if there is none to be served; then the
// client has been answered, or has gone.
func (s *stream) receive() (end, bool) {
	conn := s.client.conn
	conn.Parser.Limits, conn.Parser.NoHTTP10 = s.m.limits, !s.m.config.AcceptHTTP10
	until, why := s.headDeadline()
	for {
		buffered := conn.Buffered()
		n, head, err := conn.Parser.Request(buffered, &s.ex.Request)
		switch {
		case err != nil:
			s.headSize = uint64(len(buffered))
			s.ex.WireBytesReceived, s.ex.HeaderBytesReceived = s.headSize, uint64(head.FieldBytes)
			return s.refuseCodec(err), false
		case n > 0:
			s.ex.HeaderBytesReceived, s.ex.WireBytesReceived = uint64(head.FieldBytes), uint64(len(buffered))
			s.headSize, s.bodyAtHand = uint64(n), uint64(len(buffered)-n)
			conn.Take(n)
			s.head = head
			if head.Minor == 0 {
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
			s.ex.WireBytesReceived = uint64(len(buffered))
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
