package manager

import "time"

// limits are the timeouts of an exchange, as its route and its connection manager have
// them; 0 is none.
type limits struct {
	total    time.Duration // of the answer, from the end of the request on
	perTry   time.Duration // of an attempt's, from its beginning or the end of the request on
	tryIdle  time.Duration // of an attempt, without anything moving
	upstream time.Duration // of an attempt, with all of its answer
	idle     time.Duration // of the exchange, without anything moving
	request  time.Duration // until the request has been received
	stream   time.Duration // until the exchange is over
	atOnce   bool          // stream is 0 and has passed
}

// A cause is the timeout that is the next to pass.
type cause uint8

const (
	never cause = iota
	totalTimeout
	perTryTimeout
	tryIdleTimeout
	upstreamTimeout
	idleTimeout
	headTimeout
	requestTimeout
	streamTimeout
)

// touch notes that something of the exchange has moved, which its idle timeout counts
// from.
func (s *stream) touch() { s.active.Store(int64(time.Since(s.ex.Start))) }

// now returns how long the exchange has lasted: at least a moment, as 0 stands for what has
// not happened.
func (s *stream) now() time.Duration { return max(time.Since(s.ex.Start), 1) }

// deadline returns the timeout that is the next to pass, and when. Between attempts, a is
// nil.
func (s *stream) deadline(a *attempt) (time.Time, cause) {
	l := &s.limits
	var at time.Duration // since the exchange began
	why := never
	next := func(from, d time.Duration, c cause) {
		if d > 0 && (why == never || from+d < at) {
			at, why = from+d, c
		}
	}
	complete := s.complete()
	if complete || s.state.Upgrade != "" {
		next(s.ex.Points.RequestRead, l.total, totalTimeout)
	} else {
		next(0, l.request, requestTimeout)
	}
	active := time.Duration(s.active.Load())
	if a != nil {
		if complete && !a.answered {
			next(max(a.began, s.ex.Points.RequestRead), l.perTry, perTryTimeout)
		}
		next(active, l.tryIdle, tryIdleTimeout)
		next(a.began, l.upstream, upstreamTimeout)
	}
	next(active, l.idle, idleTimeout)
	next(0, l.stream, streamTimeout)
	if l.atOnce {
		at, why = 0, streamTimeout
	}
	return s.ex.Start.Add(at), why
}
