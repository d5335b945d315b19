package manager

import (
	"errors"
	"io"
	"time"

	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// answer passes the answer of an attempt on to the client.
func (s *stream) answer(a *attempt) end {
	s.ex.Details = "via_upstream"
	s.flagRetries()
	switched := s.ex.Response.Status == 101
	s.granted = switched && s.state.Upgrade != "" && a.head.Upgrade && s.ex.Response.Fields.Has("upgrade")
	if switched && !s.granted {
		a.head.Close = true // what comes behind the head is for nobody
	}
	if s.pump == nil && !s.client.conn.Poll() {
		// As in Envoy, who has closed even half of the connection is not answered.
		s.drop(a)
		s.clientGone()
		return closeNow
	}
	framing := s.prepareAnswer(a)
	last := s.startAnswer(framing, false)
	if s.granted {
		return s.tunnel(a)
	}
	if a.head.Body != http1.NoBody {
		decoder := a.head.Decoder()
		if err := s.passBody(a, &decoder, framing == http1.InChunks && s.head.Minor == 1); err != nil {
			return s.breakOff(a, err)
		}
	}
	s.ex.Points.UpstreamRead = s.now()
	if !s.complete() {
		s.stopPump(a.conn) // what the client sends once it has the answer is no part of this
	}
	if err := s.pass(a); err != nil {
		return s.breakOff(a, err)
	}
	s.ex.Points.Sent = s.now()
	return s.endAnswer(a, last)
}

// prepareAnswer makes of the head of an upstream's answer what the client gets, and returns
// how the end of the body is told.
func (s *stream) prepareAnswer(a *attempt) http1.Body {
	took := time.Duration(-1)
	if s.complete() {
		took = s.now() - s.ex.Points.RequestRead
	}
	if s.m.rules.Answer(&s.ex, &s.state, took) {
		s.count(s.ex.Response.Status)
		s.addCookies()
		s.route.RewriteResponse(&s.ex, s.weighted)
		forwarding.CountAttempts(&s.ex, s.route.VirtualHost.Config)
	} else {
		// An Envoy answers by itself, and takes over the status and the fields.
		a.head.Body, a.head.Close = http1.NoBody, true
		answer := s.ex.Response
		s.ex.Response, s.ex.OwnStatus = message.Response{}, answer.Status
		s.route.RewriteResponse(&s.ex, s.weighted)
		s.ex.OwnStatus = 0
		answer.Fields = append(s.ex.Response.Fields, answer.Fields...)
		s.ex.Response = answer
	}
	s.filterAnswer()
	return s.m.rules.Response(&s.ex, &s.state, a.head.Body, s.wall())
}

// errCut is that the answer of an attempt was cut off; the attempt says why.
var errCut = errors.New("manager: the answer was cut off")

// passBody passes the body of an answer on. What is at hand is gathered, and written when
// there is no more.
func (s *stream) passBody(a *attempt, decoder *http1.Decoder, chunked bool) error {
	for {
		end, err := s.takeAnswer(a, decoder, chunked)
		if end || err != nil {
			return err
		}
		if err := s.pass(a); err != nil {
			return err
		}
		if left := decoder.Left(); left >= spliceFrom && s.client.conn.CanSplice(a.conn.Conn) {
			if end, err := s.splice(a, decoder, left); end || err != nil {
				return err
			}
			continue
		}
		s.fill(a)
		if a.failure == cutOff && decoder.Closed() {
			// A body whose end is that of the connection, be it a reset.
			a.failure, a.head.Close = noFailure, true
			if chunked {
				s.out = http1.AppendEnd(s.out)
			}
			return nil
		}
		if a.failure != noFailure {
			return errCut
		}
	}
}

// pass writes what there is of the answer for the client.
func (s *stream) pass(a *attempt) error {
	if len(s.out) == 0 {
		return nil
	}
	s.firstSent()
	err := s.write(a, s.client.conn, s.out)
	s.ex.WireBytesSent += uint64(len(s.out))
	s.out = s.out[:0]
	switch err {
	case nil:
		s.touch()
	case errCut:
	default:
		s.clientGone()
	}
	return err
}

// takeAnswer takes what there is of an answer's body, and returns whether that is its end. In chunks,
// it becomes one, as in Envoy.
func (s *stream) takeAnswer(a *attempt, decoder *http1.Decoder, chunked bool) (end bool, err error) {
	left := 0 // of the chunk
	for {
		buffered := a.conn.Buffered()
		if len(buffered) == 0 {
			return false, nil
		}
		data, n, end, err := decoder.Next(buffered)
		if err != nil {
			a.failure, a.err = badAnswer, err
			s.cluster.Stats.ProtocolError.Inc()
			return false, errCut
		}
		if len(data) > 0 {
			s.ex.BytesSent += uint64(len(data))
			if chunked && left == 0 {
				left = len(data) + decoder.Available(buffered[n:])
				s.out = http1.AppendChunkSize(s.out, left)
			}
			s.out = append(s.out, data...)
			if left -= len(data); chunked && left == 0 {
				s.out = append(s.out, "\r\n"...)
			}
		}
		a.conn.Take(n)
		if end {
			if chunked {
				s.out = http1.AppendEnd(s.out)
			}
			return true, nil
		}
	}
}

// splice leaves the rest of a long body to the kernel, and returns whether that was all of
// it.
func (s *stream) splice(a *attempt, decoder *http1.Decoder, left int64) (end bool, err error) {
	moved, err := s.client.conn.Splice(a.conn.Conn, left, func(moved int64) error {
		if moved > 0 {
			s.touch()
		} else if s.lookAtClient(a); a.failure != noFailure {
			return errCut
		}
		if until, why := s.deadline(a); why != never && !time.Now().Before(until) {
			a.failure, a.cause = timedOut, why
			return errCut
		}
		return nil
	})
	s.ex.BytesSent += uint64(moved)
	s.ex.WireBytesSent += uint64(moved)
	s.received(int(moved))
	end = decoder.Skip(moved)
	switch {
	case err == io.EOF:
		a.failure, a.err = cutOff, err
		return false, errCut
	case err == http1.ErrNoPipe:
		if s.fill(a); a.failure != noFailure {
			return false, errCut
		}
		return false, nil
	case err == http1.ErrKicked: // by a pump that is done
		if s.lookAtClient(a); a.failure != noFailure {
			return false, errCut
		}
		return end, nil
	case err != nil && err != errCut:
		// Which of the two has failed is not known.
		if !s.client.conn.HungUp() {
			a.failure, a.err = cutOff, err
			return false, errCut
		}
		s.clientGone()
	}
	return end, err
}

// breakOff ends an exchange amid its answer: all that can be done is to close the client's
// connection.
func (s *stream) breakOff(a *attempt, err error) end {
	if err == errCut {
		_, _ = s.client.conn.TryWrite(s.out) // what came before that
		s.out = s.out[:0]
		s.ex.Details = "upstream_reset_after_response_started{protocol_error}"
		switch a.failure {
		case clientGone:
			s.clientGone()
			s.drop(a)
			return closeNow
		case timedOut:
			s.countTimeout(a)
			reply := s.timeout(a.cause)
			s.ex.Details = reply.Details
			s.ex.Flags |= reply.Flags
		case badRequest:
			s.ex.Details = "http1.codec_error"
			s.ex.Flags |= message.DownstreamProtocolError
		case cutOff:
			s.cluster.Stats.ProtocolError.Inc()
			fallthrough
		default:
			s.ex.Flags |= message.UpstreamProtocolError
		}
		s.m.counts.OwnReset.Inc()
		s.m.counts.ClientReset.Inc()
	}
	s.drop(a)
	if s.head.Minor == 0 {
		// For HTTP/1.0 an orderly end could be that of the body.
		if c, ok := s.client.conn.Conn.(interface{ SetLinger(int) error }); ok {
			_ = c.SetLinger(0)
		}
	}
	return closeNow
}

// endAnswer is for when an answer has been passed on whole.
func (s *stream) endAnswer(a *attempt, last bool) end {
	if s.pump != nil {
		s.pump.wait() // it has read all there is, and is about to end
	}
	whole := s.stopPump(a.conn) && s.complete()
	conn := a.conn
	if len(conn.Buffered()) > 0 {
		s.cluster.Stats.ProtocolError.Inc()
	}
	s.release(a)
	conn.Done(a.head.SaysClose)
	switch {
	case a.head.Close || !whole || len(conn.Buffered()) > 0: // what the host has to say beyond its answer is for nobody
		conn.Close()
	default:
		conn.Put()
	}
	if last {
		return closeGently
	}
	return keepAlive
}

// discardAnswer gives up an answer that another attempt takes the place of.
func (s *stream) discardAnswer(a *attempt) {
	if a.conn == nil {
		return
	}
	s.cluster.Stats.RetriedAnswers.Inc(s.ex.Response.Status)
	if a.head.Body == http1.NoBody && s.complete() && s.pump == nil {
		s.endAnswer(a, false)
		return
	}
	s.drop(a)
}

// addCookies sets the cookies that the hash policies have made.
func (s *stream) addCookies() {
	for _, c := range s.cookies {
		s.ex.Response.Fields.Add("set-cookie", c)
	}
}
