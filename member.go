package maglev

import (
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// A State is what a [Balancer] makes of a backend.
type State uint8

const (
	StateReady     State = iota // healthy: it gets its keys
	StateWarming                // healthy, in slow start: it gets some of its keys
	StateFull                   // healthy, at its bound: it gets no more at present
	StateUnhealthy              // it gets keys in panic only
	StateDraining               // it gets none
)

// String returns the state in one lower-case word.
func (s State) String() string {
	names := [...]string{"ready", "warming", "full", "unhealthy", "draining"}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// A member is what a Balancer keeps for a name, from the Update that has brought
// it to the one that leaves it out.
type member[T any] struct {
	balancer *Balancer[T]
	name     string
	value    T

	// inFlight counts leases. It is closed once nobody is to be let in.
	inFlight                 atomic.Int64
	picks, overflows, spills atomic.Uint64
	draining                 atomic.Bool // written with Balancer.mu held

	// The rest is guarded by Balancer.mu.
	backend Backend
	healthy bool
	up      time.Duration // when it became usable, from Balancer.epoch
	index   int           // in the table in place; -1 if it is not in it
}

// closed is what a member's inFlight is put to once it is empty and to be given
// to nobody. Copies of a Lease that are all released do not count down to it.
const closed = math.MinInt64

// state returns what is to be made of the member, slow start aside.
func (m *member[T]) state(panicked bool) State {
	switch {
	case m.draining.Load():
		return StateDraining
	case m.healthy || panicked:
		return StateReady
	}
	return StateUnhealthy
}

// counts returns the member as a number of usable ones and of those that stay.
func (m *member[T]) counts() (usable, staying int) {
	switch {
	case m.draining.Load():
		return 0, 0
	case m.healthy:
		return 1, 1
	}
	return 0, 1
}

// usable returns whether it is healthy and not draining.
func (m *member[T]) usable() bool { return m.healthy && !m.draining.Load() }

// An entry is how a request's attempt to enter a member ended.
type entry uint8

const (
	full    entry = iota // its slots are taken
	gone                 // it is closed
	entered              // the request is counted in
)

// enter counts a request in, unless more than slots are in flight or the member
// is closed.
func (m *member[T]) enter(slots int64) entry {
	for {
		n := m.inFlight.Load()
		switch {
		case n == closed:
			return gone
		case n > slots:
			return full
		case m.inFlight.CompareAndSwap(n, n+1):
			return entered
		}
	}
}

// close gives a draining member to nobody from now on, if nothing is in flight,
// and adds it to the empty ones. Balancer.mu is held, and the published snapshot
// passes the member over.
func (m *member[T]) close(empty []Member[T]) []Member[T] {
	if !m.draining.Load() || !m.inFlight.CompareAndSwap(0, closed) {
		return empty
	}
	b := m.balancer
	b.leaving = slices.DeleteFunc(b.leaving, func(l *member[T]) bool { return l == m })
	return append(empty, m.asGiven())
}

// asGiven returns the member as a Member.
func (m *member[T]) asGiven() Member[T] {
	return Member[T]{Backend: m.backend, Value: m.value, Draining: m.draining.Load()}
}

// remove closes the member for good, if nothing is in flight, and adds it to the
// empty ones; if it is closed already, too. Balancer.mu is held, and the published
// snapshot is without the member.
func (m *member[T]) remove(empty []Member[T]) []Member[T] {
	m.draining.Store(true)
	if m.inFlight.Load() == closed {
		return append(empty, m.asGiven())
	}
	m.balancer.leaving = append(m.balancer.leaving, m)
	return m.close(empty)
}

// reopen undoes close. Balancer.mu is held.
func (m *member[T]) reopen() { m.inFlight.CompareAndSwap(closed, 0) }

// load returns how many requests are in flight.
func (m *member[T]) load() int64 { return max(m.inFlight.Load(), 0) }
