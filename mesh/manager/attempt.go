package manager

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/upstream"
)

// A failure is why an attempt has brought no answer.
type failure uint8

const (
	noFailure failure = iota
	noHost
	overflow
	connectFailed
	connectTimeout
	cutOff     // the connection ended before anything of an answer had come
	badAnswer  // the answer is not HTTP, or ends before its time
	timedOut   // the cause says which timeout
	clientGone // the client has hung up
	badRequest // what the client sends as a body is none
)

// An attempt is a request as it was sent to a host, and what came of it.
type attempt struct {
	host     *cluster.Host
	conn     *upstream.Conn
	began    time.Duration // since the exchange began
	head     http1.Head    // the answer's
	sent     bool          // something of the request was written
	answered bool          // the head of the answer is there
	informed bool          // a 1xx was

	failure failure
	cause   cause // of timedOut
	err     error
}

// try sends the request to a host and waits for the head of its answer. If that has come,
// the attempt still has the connection.
func (s *stream) try(a *attempt) {
	a.began = s.now()
	s.touch()
	if a.host = s.pick(); a.host == nil {
		a.failure = noHost
		return
	}
	address := a.host.Address()
	s.ex.Upstream, s.ex.UpstreamHost = address, a.host.Hostname
	s.route.RewriteHost(&s.ex, a.host.Hostname, s.m.tellOriginals)
	s.mirror()
	if !s.compose(a) || !s.connect(a) {
		return
	}
	s.send(a)
	if a.failure == noFailure {
		s.awaitHead(a)
	}
	if a.failure != noFailure {
		s.drop(a)
	}
}

// pick picks a host of the cluster.
func (s *stream) pick() *cluster.Host {
	n := &s.need
	if p := s.retries.policy; p != nil && s.ex.Attempts > 1 {
		n.Attempts, n.OmitCanaries = p.HostAttempts, p.OmitCanary
		if p.PreviousHosts {
			n.Tried = s.retries.tried
		}
	}
	h := s.cluster.Pick(n)
	if h == nil {
		s.cluster.Stats.NoneHealthy.Inc()
		return nil
	}
	if p := s.retries.policy; p != nil && p.PreviousHosts {
		s.retries.tried = append(s.retries.tried, h)
	}
	return h
}

// compose writes the request down, with what there is of its body, in s.up.
func (s *stream) compose(a *attempt) bool {
	s.up = http1.AppendRequest(s.up[:0], &s.ex.Request, s.body.framing)
	s.upHead = len(s.up)
	s.up = s.body.appendKept(s.up)
	if !s.body.ended && s.state.Upgrade == "" {
		s.up, a.err = s.body.take(s.client.conn, s.up)
		if a.err != nil {
			a.failure = badRequest
			return false
		}
		s.ex.BytesReceived = s.body.received
		if s.body.ended {
			s.requestComplete()
		}
	}
	return true
}

// requestComplete notes that the request has been read to its end.
func (s *stream) requestComplete() {
	if s.ex.Points.RequestRead == 0 {
		s.ex.Points.RequestRead = s.now()
	}
}

// connect gets a connection to the attempt's host.
func (s *stream) connect(a *attempt) bool {
	until, why := s.deadline(a)
	if why == never {
		until = time.Time{}
	}
	conn, err := s.pool(a.host).Get(until, s.client.gone)
	switch {
	case err == nil:
		if !s.admit(a, conn) {
			return false
		}
		a.conn = conn
		s.ex.UpstreamConn, s.ex.UpstreamLocal, s.ex.UpstreamProto = conn.ID, conn.Local, "HTTP/1.1"
		return true
	case err == upstream.ErrOverflow:
		a.failure = overflow
		s.ex.Upstream, s.ex.UpstreamHost = message.Address{}, "" // it has not come that far
		s.cluster.Stats.PendingOverflow.Inc()
	case err == upstream.ErrGone:
		a.failure = clientGone
		s.cluster.Stats.Cancelled.Inc()
	case err == os.ErrDeadlineExceeded:
		a.failure, a.cause = timedOut, why
	case upstream.IsTimeout(err):
		a.failure = connectTimeout
	default:
		a.failure = connectFailed
		s.ex.TransportFailure = transportFailure(err)
	}
	if a.failure == connectTimeout || a.failure == connectFailed {
		s.cluster.Stats.PendingFailure.Inc()
	}
	a.err = err
	return false
}

// admit counts the request in at the host and its cluster, unless that has too many.
func (s *stream) admit(a *attempt, conn *upstream.Conn) bool {
	c := s.cluster
	if !c.Breakers(s.forward.Priority).Requests.TryAcquire() {
		conn.Put()
		a.failure = overflow
		c.Stats.ActiveOverflow.Inc()
		return false
	}
	c.Stats.Requests.Inc()
	c.Stats.ActiveRequests.Inc()
	a.host.Stats.Requests.Inc()
	a.host.Stats.ActiveRequests.Inc()
	if s.routeCounts != nil {
		s.routeCounts.Requests.Inc()
	}
	return true
}

// release counts the request out.
func (s *stream) release(a *attempt) {
	s.cluster.Breakers(s.forward.Priority).Requests.Release()
	s.cluster.Stats.ActiveRequests.Dec()
	a.host.Stats.ActiveRequests.Dec()
	a.conn = nil
}

// send sends what compose has written. If there is more to come of the body, a pump does that.
func (s *stream) send(a *attempt) {
	a.sent = true
	if s.ex.Points.UpstreamFirstSent == 0 {
		s.ex.Points.UpstreamFirstSent = s.now()
	}
	if s.write(a, a.conn.Conn, s.up); a.failure != noFailure {
		return
	}
	s.ex.UpstreamHeaderBytesSent += headerBytes(s.up[:s.upHead])
	s.ex.UpstreamBytesSent += uint64(len(s.up))
	s.cluster.Stats.Sent.Add(uint64(len(s.up)))
	s.ex.Points.UpstreamSent = s.now()
	if !s.body.ended && s.state.Upgrade == "" {
		s.startPump(a.conn)
	}
}

// glance is how often a stream that waits looks whether its client is still there.
const glance = 500 * time.Millisecond

// write writes to either side of an attempt, while it keeps an eye on timeouts, on the client and on
// the pump. It returns an error of the connection's, which for a host's is the attempt's failure too.
func (s *stream) write(a *attempt, conn *http1.Conn, b []byte) error {
	n, err := conn.TryWrite(b)
	for err == nil && n < len(b) {
		now := time.Now()
		until, why := s.deadline(a)
		if why != never && !now.Before(until) {
			a.failure, a.cause = timedOut, why
			return errCut
		}
		wake := now.Add(glance)
		if why != never && until.Before(wake) {
			wake = until
		}
		var k int
		if k, err = conn.WriteBefore(b[n:], wake); k > 0 {
			n += k
			s.touch()
		}
		if err == os.ErrDeadlineExceeded {
			if s.lookAtClient(a); a.failure != noFailure {
				return errCut
			}
			err = nil
		}
	}
	if err != nil && a.conn != nil && conn == a.conn.Conn {
		a.failure, a.err = cutOff, err
	}
	return err
}

// awaitHead waits for the head of the answer.
func (s *stream) awaitHead(a *attempt) {
	conn := a.conn
	conn.Parser.Limits = s.answerLimits
	for {
		buffered := conn.Buffered()
		n, head, err := conn.Parser.Response(buffered, s.ex.Request.Method, &s.ex.Response)
		s.ex.UpstreamHeaderBytesReceived += uint64(head.FieldBytes)
		if err != nil {
			a.failure, a.err = badAnswer, err
			s.cluster.Stats.ProtocolError.Inc()
			return
		}
		if n > 0 {
			conn.Take(n)
			if s.ex.Response.Status < 200 && s.ex.Response.Status != 101 {
				if !a.informed {
					s.countStatus(s.ex.Response.Status)
				}
				a.informed = true
				continue // RFC 9110, section 15.2: of no concern to a client that has not asked
			}
			a.head, a.answered = head, true
			if head.SaysClose {
				s.cluster.Stats.CloseNotify.Inc()
			}
			return
		}
		partial := len(buffered) > 0
		s.fill(a)
		if a.failure == cutOff && partial {
			a.failure = badAnswer
			s.cluster.Stats.ProtocolError.Inc()
		}
		if a.failure != noFailure {
			return
		}
	}
}

// received counts bytes of answers.
func (s *stream) received(n int) {
	s.ex.UpstreamBytesReceived += uint64(n)
	s.cluster.Stats.Received.Add(uint64(n))
}

// fill waits for more bytes from the upstream, while it keeps an eye on timeouts, on the
// client and on the pump.
func (s *stream) fill(a *attempt) {
	for {
		now := time.Now()
		until, why := s.deadline(a)
		if why != never && !now.Before(until) {
			a.failure, a.cause = timedOut, why
			return
		}
		wake := now.Add(glance)
		if why != never && until.Before(wake) {
			wake = until
		}
		before := len(a.conn.Buffered())
		switch err := a.conn.Fill(wake); {
		case err == nil:
			s.received(len(a.conn.Buffered()) - before)
			s.touch()
			if s.ex.Points.UpstreamFirstRead == 0 {
				s.ex.Points.UpstreamFirstRead = s.now()
			}
			return
		case err == http1.ErrKicked || err == os.ErrDeadlineExceeded:
			if s.lookAtClient(a); a.failure != noFailure {
				return
			}
		default:
			a.failure, a.err = cutOff, err
			return
		}
	}
}

// lookAtClient looks whether the client is still there, and what has come of the pump.
func (s *stream) lookAtClient(a *attempt) {
	if s.pumping() {
		// The pump reads from it, unless the host does not take any more.
		if s.client.conn.HungUp() {
			a.failure, a.err = clientGone, io.EOF
		}
		return
	}
	p := s.joinPump()
	if p == nil {
		if !s.client.conn.Poll() {
			a.failure, a.err = clientGone, io.EOF
		}
		return
	}
	var bad *http1.Error
	switch {
	case p.err == nil:
	case errors.As(p.err, &bad):
		a.failure, a.err = badRequest, p.err
	default:
		a.failure, a.err = clientGone, p.err
	}
}

// drop gives up the attempt's connection: what may still come on it is of no use.
func (s *stream) drop(a *attempt) {
	if a.conn == nil {
		return
	}
	s.stopPump(a.conn)
	a.conn.Close()
	s.release(a)
}
