package maglev

import (
	"math"
	"slices"
	"sync/atomic"
)

// A Lease is a request in flight at a backend, from [Balancer.Acquire] to
// Release. The zero Lease is of no backend. It must not be copied: each copy would
// be released on its own.
type Lease[T any] struct {
	Name  string
	Value T

	member   *member[T]
	released atomic.Bool
}

// Release says that the request is done. The second time, and from several
// goroutines at once, it does nothing more.
func (l *Lease[T]) Release() {
	if l == nil || l.member == nil || l.released.Swap(true) {
		return
	}
	m := l.member
	b := m.balancer
	last := m.inFlight.Add(-1) == 0
	if b.opts.BalanceFactor > 0 {
		b.inFlight.Add(-1)
	}
	if last && m.draining.Load() {
		b.mu.Lock()
		empty := m.close(nil)
		b.mu.Unlock()
		b.tellDrained(empty)
	}
}

// Acquire picks a backend as [Balancer.Pick] does, and counts the request as in
// flight there until the [Lease] is released. With a BalanceFactor, backends that
// are at their bound are passed over too; where all are, the least loaded by its
// share gets the request. It takes no lock and does not allocate for the first
// eight candidates. With a BalanceFactor all requests meet at one counter, so two
// cores do not make more of them than one.
//
// Backends whose names have been tried are passed over as long as there are
// others: a retry gives the names of the attempts before it, and goes to the next
// candidate. Acquire returns false if there is no backend to pick.
func (b *Balancer[T]) Acquire(hash uint64, tried ...string) (lease Lease[T], ok bool) {
	bounded := b.opts.BalanceFactor > 0
	if bounded {
		b.inFlight.Add(1)
	}
	m := b.acquire(hash, tried)
	if m == nil {
		if bounded {
			b.inFlight.Add(-1)
		}
		return
	}
	m.picks.Add(1)
	lease.Name, lease.Value, lease.member = m.name, m.value, m
	ok = true
	return
}

// acquire returns the member that the request has entered, nil if there is none.
func (b *Balancer[T]) acquire(hash uint64, tried []string) *member[T] {
	for {
		s := b.current.Load()
		first := s.table.Lookup(hash)
		if first >= 0 && len(tried) == 0 && s.states[first] == StateReady {
			if m := s.members[first]; m.enter(b.slots(s, first, 0)) == entered {
				return m
			}
		}
		i, last := b.search(s, hash, tried, 0, (*member[T]).enter)
		if last == gone {
			continue // to the snapshot that passes it over, which is there by now
		}
		if i < 0 {
			return nil
		}
		if i != first && first >= 0 {
			s.members[first].lost(s.states[first], tried)
		}
		return s.members[i]
	}
}

// lost counts a request for which the member was first in line, but which went
// elsewhere.
func (m *member[T]) lost(state State, tried []string) {
	switch {
	case slices.Contains(tried, m.name):
	case state == StateReady:
		m.overflows.Add(1)
	default:
		m.spills.Add(1)
	}
}

// search goes through the candidates and returns the first that lets the request
// enter, -1 if there is nobody to pick. It ends early if one is gone. Waiting is
// how many requests are not in Balancer.inFlight yet, but are to be reckoned with.
func (b *Balancer[T]) search(s *snapshot[T], hash uint64, tried []string, waiting int64, enter func(m *member[T], slots int64) entry) (picked int, last entry) {
	picked = -1
	// Whom to take if every candidate has something against it: the first that
	// does not take this key yet, the least loaded of those at their bound, the
	// first that has been tried.
	cold, least, again := -1, -1, -1
	load := math.Inf(1)
	s.candidates(hash, func(i int) bool {
		m := s.members[i]
		switch {
		case !s.used(i):
		case len(tried) > 0 && slices.Contains(tried, m.name):
			if again < 0 {
				again = i
			}
		case s.states[i] == StateWarming && !b.warm(s, i, hash):
			if cold < 0 {
				cold = i
			}
		default:
			slots := b.slots(s, i, waiting)
			if last = enter(m, slots); last == entered {
				picked = i
			} else if l := float64(m.load()) / float64(slots); l < load {
				least, load = i, l
			}
		}
		return picked < 0 && last != gone
	})
	for _, resort := range [...]struct {
		i       int
		bounded bool
	}{{cold, true}, {least, false}, {cold, false}, {again, false}} {
		if picked >= 0 || last == gone {
			break
		}
		if resort.i < 0 {
			continue
		}
		slots := int64(noBound)
		if resort.bounded {
			slots = b.slots(s, resort.i, waiting)
		}
		if last = enter(s.members[resort.i], slots); last == entered {
			picked = resort.i
		}
	}
	return picked, last
}

const noBound = math.MaxInt64

// slots returns how many requests in flight do not yet keep the next one from
// backend i. So it may have one more than that: Envoy compares what is there
// before the request.
func (b *Balancer[T]) slots(s *snapshot[T], i int, waiting int64) int64 {
	factor := uint64(b.opts.BalanceFactor)
	if factor == 0 {
		return noBound
	}
	requests := uint64(max(b.inFlight.Load()+waiting, 1)) // Envoy's active + 1
	total := (requests*factor + 99) / 100
	slots := math.Ceil(float64(total) * s.share(i))
	return max(int64(slots), int64(b.opts.MinInFlight))
}
