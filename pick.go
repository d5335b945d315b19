package maglev

import "time"

// A snapshot is what a Balancer picks from: a table, and by its indexes the
// values and states of the backends. It is immutable.
type snapshot[T any] struct {
	table   *Table
	values  []T
	members []*member[T]
	shares  []float64 // of the weights; nil if no load is bounded

	states   []State // StateReady for all that are used, in panic too
	panicked bool
	ups      []time.Duration // when each became usable; nil if nobody is warming
	oldest   time.Duration   // the first of them

	// While somebody is warming, the table before the one that brought it, and
	// what became of that one's indexes: -1 if the backend has gone.
	before *Table
	became []int
}

// candidates yields the candidates for a hash, the first of them twice: if that is
// warming, so that a key which it does not take yet stays where it was, the next
// is the backend that had the key before.
func (s *snapshot[T]) candidates(hash uint64, yield func(i int) bool) {
	if s.before != nil {
		first, was := s.table.Lookup(hash), s.before.Lookup(hash)
		if first >= 0 && was >= 0 && s.states[first] == StateWarming && s.became[was] >= 0 {
			if !yield(first) || !yield(s.became[was]) {
				return
			}
		}
	}
	s.table.candidates(hash, yield)
}

// next returns the first candidate that may be picked, -1 if there is none.
func (b *Balancer[T]) next(s *snapshot[T], hash uint64) int {
	picked, cold := -1, -1
	s.candidates(hash, func(i int) bool {
		switch s.states[i] {
		case StateReady:
			picked = i
		case StateWarming:
			if b.warm(s, i, hash) {
				picked = i
			} else if cold < 0 {
				cold = i
			}
		}
		return picked < 0
	})
	if picked < 0 {
		picked = cold
	}
	if first := s.table.Lookup(hash); first >= 0 && picked != first {
		s.members[first].spills.Add(1)
	}
	return picked
}

// warm returns whether a warming backend takes this key already. Each key has a
// place in the order in which they are taken, the same for all backends: what one
// warming backend does not take yet, another does not get.
func (b *Balancer[T]) warm(s *snapshot[T], i int, hash uint64) bool {
	now := time.Since(b.epoch)
	if now-s.ups[i] >= b.opts.SlowStart.Window {
		b.warmed(s)
		return true
	}
	place := float64(mix(^hash+golden)>>11) / (1 << 53)
	slow := &b.opts.SlowStart
	return place*slow.share(now-s.oldest) < slow.share(now-s.ups[i])
}

// warmed publishes that somebody is warm, if nobody else is busy with it.
func (b *Balancer[T]) warmed(s *snapshot[T]) {
	if b.mu.TryLock() {
		if b.current.Load() == s {
			b.publish(nil)
		}
		b.mu.Unlock()
	}
}
