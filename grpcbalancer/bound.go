package grpcbalancer

import (
	"errors"
	"math"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
)

// minInFlight is how many calls in flight are never too many: as in
// maglev.BalancerOptions.
const minInFlight = 8

// A bound is what a policy counts if its calls are bounded.
type bound struct {
	inFlight atomic.Int64 // calls, at all endpoints
	full     atomic.Bool  // some calls wait for room, which the end of another may make
	wake     func()       // has them try again
}

// errFull says that no connected endpoint has room. The call waits for one that is about
// to be connected, or for the end of another call.
var errFull = errors.New("no room")

// untilRoom picks as search does, but has the call wait if there is no room for it.
func (p *picker) untilRoom(info balancer.PickInfo, hash uint64,
	search func(*picker, balancer.PickInfo, uint64) (balancer.PickResult, error)) (balancer.PickResult, error) {
	result, err := search(p, info, hash)
	if err != errFull {
		return result, err
	}
	p.set.bound.full.Store(true)
	// A call that has ended before that has woken nobody.
	if result, err = search(p, info, hash); err == errFull {
		err = balancer.ErrNoSubConnAvailable
	}
	return result, err
}

// bounded picks the first candidate that is not failing, as long as it has room. After that,
// connected ones come before those that are not, which would have the call wait, maybe for
// one that hangs. The first of those is asked to connect, so that it has such calls
// from then on. If nobody has room, the least loaded by its share has the call.
func (p *picker) bounded(info balancer.PickInfo, hash uint64) (balancer.PickResult, error) {
	s, loads := p.set, p.set.loads()
	home, next, chosen := -1, -1, -1 // next is the first with room that is not connected
	full, least := -1, math.Inf(1)   // the least loaded one without
	for i := range s.table.Candidates(hash) {
		state := s.states.of(i)
		if state == connectivity.TransientFailure {
			continue
		}
		first := home < 0
		if first {
			home = i
		}
		switch load := loads.of(i); {
		case load > 1:
			if load < least {
				full, least = i, load
			}
			continue
		case !first && state != connectivity.Ready:
			if next < 0 {
				next = i
			}
			continue
		}
		chosen = i
		break
	}
	if next >= 0 {
		if c := s.standing[next].Load(); c.ConnectivityState == connectivity.Idle {
			_, _ = c.pick(info) // which connects it, and picks nobody
		}
	}
	first := s.table.Lookup(hash)
	switch {
	case chosen >= 0:
	case next >= 0:
		return balancer.PickResult{}, errFull
	case full >= 0:
		chosen = full
	default: // all are failing
		chosen = first
	}
	c := s.standing[chosen].Load()
	if c.ConnectivityState == connectivity.TransientFailure && !p.failing() {
		return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
	}
	result, err := s.enter(info, chosen, c)
	switch {
	case err != nil || chosen == first:
	case chosen == home:
		s.metrics.passedOver()
	default:
		s.metrics.overflowed()
	}
	return result, err
}

// loads tell how much endpoints have to do, with the calls in flight when they were made
// and the one that is to be picked for.
type loads struct {
	set    *set
	total  float64 // calls that all may have
	usable float64 // the weights of those who share them
}

func (s *set) loads() loads {
	if s.factor == 0 {
		return loads{}
	}
	requests := uint64(s.bound.inFlight.Load()) + 1
	return loads{s, float64((requests*uint64(s.factor) + 99) / 100), float64(s.usable.Load())}
}

// of returns the calls in flight at an endpoint as a share of what it may have. It is above
// 1 if it may not have another one, and always 0 if there is no bound.
func (l loads) of(i int) float64 {
	if l.set == nil {
		return 0
	}
	slots := max(math.Ceil(l.total*float64(l.set.table.Backend(i).Weight)/l.usable), minInFlight)
	return float64(l.set.children[i].inFlight.Load()) / slots
}

// enter picks a child, and counts the call in flight there if calls are bounded.
func (s *set) enter(info balancer.PickInfo, i int, by *standing) (balancer.PickResult, error) {
	result, err := by.pick(info)
	if err != nil || s.factor == 0 {
		return result, err
	}
	c, b := s.children[i], s.bound
	b.inFlight.Add(1)
	c.inFlight.Add(1)
	done := result.Done
	result.Done = func(info balancer.DoneInfo) {
		c.inFlight.Add(-1)
		b.inFlight.Add(-1)
		if b.full.Load() && b.full.Swap(false) {
			b.wake()
		}
		if done != nil {
			done(info)
		}
	}
	return result, nil
}
