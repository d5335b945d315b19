package grpcbalancer

import (
	"math"
	"math/rand/v2"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/maglev-lb/maglev"
)

// A set is the endpoints that the resolver has returned last: a table, and by its
// indexes the children. Their states change, nothing else does.
type set struct {
	table    *maglev.Table
	children []*child
	standing []atomic.Pointer[standing] // of the children: what picks need of them
	states   states
	hasher   hasher
	factor   int // of the bound, 0 for none
	metrics  *metrics

	usable atomic.Int64 // the weights of those not in TRANSIENT_FAILURE
	bound  *bound       // what the policy counts
}

// states are those of a set's children, side by side: a search that follows a pointer for
// each is slow when many are failing. They may differ from the standings for a moment, so
// whoever finds one looks at that.
type states []atomic.Int32

func (s states) of(i int) connectivity.State         { return connectivity.State(s[i].Load()) }
func (s states) put(i int, state connectivity.State) { s[i].Store(int32(state)) }

// A picker is what the ClientConn has until the next change of a child's state. All
// pickers of a set see the children's states of the moment, which may be newer than the
// state of the whole that came with the picker. Nothing may fail on the ground of
// those alone: whoever is above the policy may have another one in store that it
// turns to once it hears of the failure, as xDS has for priorities. Such a call waits
// for the next picker, which is about to come.
type picker struct {
	set    *set
	counts counts      // when it was made
	asked  atomic.Bool // somebody to connect, for a call without a key
}

// failing returns whether all children were failing when the picker was made.
func (p *picker) failing() bool {
	return p.counts[connectivity.TransientFailure] == len(p.set.children)
}

// Pick implements [balancer.Picker].
func (p *picker) Pick(info balancer.PickInfo) (balancer.PickResult, error) {
	s := p.set
	hash, found := s.hasher.hash(info.Ctx)
	switch {
	case found && s.factor > 0:
		return p.untilRoom(info, hash, (*picker).bounded)
	case found:
	case s.hasher.header == "":
		return balancer.PickResult{}, errNoHash()
	default:
		s.metrics.withoutHash()
		return p.untilRoom(info, rand.Uint64(), (*picker).random)
	}
	first := s.standing[s.table.Lookup(hash)].Load()
	if first.ConnectivityState == connectivity.TransientFailure && !p.failing() {
		if first = s.next(hash); first == nil {
			return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
		}
		s.metrics.passedOver()
	}
	return first.pick(info)
}

// next returns how the first candidate stands that is not in TRANSIENT_FAILURE, nil if
// there is none.
func (s *set) next(hash uint64) *standing {
	for i := range s.table.Candidates(hash) {
		if s.states.of(i) == connectivity.TransientFailure {
			continue
		}
		if c := s.standing[i].Load(); c.ConnectivityState != connectivity.TransientFailure {
			return c
		}
	}
	return nil
}

// random picks for a call without a key: the first candidate that is READY, and has room
// if calls are bounded. If nobody is about to connect, one on the way is asked to (gRFC
// A76).
func (p *picker) random(info balancer.PickInfo, hash uint64) (balancer.PickResult, error) {
	s, loads := p.set, p.set.loads()
	likely := s.table.Lookup(hash)
	if c := s.standing[likely].Load(); c.ConnectivityState == connectivity.Ready && loads.of(likely) <= 1 {
		return s.enter(info, likely, c)
	}
	requested := p.counts[connectivity.Connecting] > 0
	if p.counts[connectivity.Ready] == 0 && requested {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	full, least := -1, math.Inf(1) // the least loaded READY one without room
	for i := range s.table.Candidates(hash) {
		switch s.states.of(i) {
		case connectivity.Ready:
			c := s.standing[i].Load()
			switch load := loads.of(i); {
			case c.ConnectivityState != connectivity.Ready:
				requested = true // it has just been lost: the next picker knows more
			case load <= 1:
				return s.enter(info, i, c)
			case load < least:
				full, least = i, load
			}
		case connectivity.Connecting:
			requested = true
		case connectivity.Idle:
			if !requested && !p.asked.Swap(true) {
				s.children[i].connect()
			}
			requested = true
		}
	}
	switch {
	case full >= 0 && requested:
		return balancer.PickResult{}, errFull
	case full >= 0:
		return s.enter(info, full, s.standing[full].Load())
	case requested || !p.failing():
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	return s.standing[likely].Load().pick(info)
}

// unavailable returns a status error. That ends a call even if it waits for ready, so it
// is for what waiting does not mend.
func unavailable(format string, args ...any) error {
	return status.Errorf(codes.Unavailable, "maglev: "+format, args...)
}
