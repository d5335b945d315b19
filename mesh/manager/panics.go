package manager

import (
	"errors"
	"runtime/debug"
)

// A mistake in the program that a request brings to light ends that request and its connection, not
// the process with all the others.

// errMistake is what a goroutine ends with that has panicked.
var errMistake = errors.New("manager: a mistake of the program's own")

// exchange serves a request.
func (c *client) exchange() (what end) {
	s := streams.Get().(*stream)
	defer func() {
		if p := recover(); p != nil { // the stream is not used again: who knows what state it is in
			c.m.tell(p)
			c.m.counts.OwnReset.Inc()
			s.abandon()
			what = closeNow
		}
	}()
	what = s.serve(c)
	s.clear()
	streams.Put(s)
	return what
}

// abandon gives back what the stream has, and counts it out.
func (s *stream) abandon() {
	defer func() {
		if p := recover(); p != nil {
			s.m.tell(p)
		}
	}()
	if s.counted {
		s.m.counts.ActiveRequests.Dec()
	}
	s.retries.end()
	s.drop(&s.attempt)
}

// tell says that there was a panic.
func (m *Manager) tell(p any) {
	if m.logger != nil {
		m.logger.Error("a request has ended with a panic", "panic", p, "stack", string(debug.Stack()))
	}
}

// guard is deferred by the other goroutines of a request. If one of them panics, it calls end.
func (m *Manager) guard(end func()) {
	if p := recover(); p != nil {
		m.tell(p)
		end()
	}
}
