package maglev

import "time"

// A snapshot is what a Balancer picks from: a table, and by its indexes the
// values and states of the backends. It is immutable.
type snapshot[T any] struct {
	table   *Table
	values  []T
	members []*member[T]

	states   []State   // StateReady for all that are used, in panic too
	weight   uint64    // the sum of those that are used
	shares   []float64 // of that, where loads are bounded and localities have weights too
	calm     bool      // all are StateReady
	panicked bool
	ups      []time.Duration // when each became usable; nil if nobody is warming
	oldest   time.Duration   // the first of them

	// past is kept while somebody is warming: the tables before this one, the
	// newest first.
	past []pastTable
}

// A pastTable is a table that was in place, and what has become of its indexes: -1
// for a backend that is in the table no more.
type pastTable struct {
	table  *Table
	became []int
}

// maxPast is how many tables are remembered. Who changes the set more often
// within one window of slow start moves some keys that are not taken over yet.
const maxPast = 8

// used says whether backend i gets keys.
func (s *snapshot[T]) used(i int) bool {
	return s.states[i] == StateReady || s.states[i] == StateWarming
}

// weightOf returns the weight of backend i if it is used, 0 if it is not.
func (s *snapshot[T]) weightOf(i int) uint64 {
	if !s.used(i) {
		return 0
	}
	return uint64(s.table.backends[i].Weight)
}

// share returns the share of backend i of the weights of those that are used.
func (s *snapshot[T]) share(i int) float64 {
	if s.shares != nil {
		return s.shares[i]
	}
	return float64(s.weightOf(i)) / float64(max(s.weight, 1))
}

// candidates yields the candidates for a hash, some of them twice: if the first is
// warming, the next is the backend that had the key before, so that a key which is
// not taken over yet stays where it was.
func (s *snapshot[T]) candidates(hash uint64, yield func(i int) bool) {
	if s.past != nil {
		i := s.table.Lookup(hash)
		for _, past := range s.past {
			if i < 0 || s.states[i] != StateWarming {
				break
			}
			if !yield(i) {
				return
			}
			if i = past.table.Lookup(hash); i >= 0 {
				i = past.became[i]
			}
		}
		if i >= 0 && !yield(i) {
			return
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
	return place < b.opts.SlowStart.share(now-s.ups[i], now-s.oldest)
}

// warmed publishes that somebody is warm, if nobody else is busy with it.
func (b *Balancer[T]) warmed(s *snapshot[T]) {
	if b.mu.TryLock() {
		if b.current.Load() == s {
			b.publish(*s, nil)
		}
		b.mu.Unlock()
	}
}

// markWarming finds out which of the ready ones are in slow start. Balancer.mu is
// held.
func (b *Balancer[T]) markWarming(s *snapshot[T]) {
	s.ups = nil
	window := b.opts.SlowStart.Window
	if window > 0 && !s.panicked {
		now := time.Since(b.epoch)
		s.oldest = now
		for i, m := range s.members {
			if s.states[i] == StateReady {
				s.oldest = min(s.oldest, m.up)
			}
		}
		for i, m := range s.members {
			if s.states[i] == StateReady && m.up > s.oldest && now-m.up < window {
				if s.ups == nil {
					s.ups = make([]time.Duration, len(s.members))
				}
				s.states[i], s.ups[i] = StateWarming, m.up
			}
		}
	}
	if s.ups == nil { // nobody is warming
		s.past = nil
	}
}

// handDown returns the past of the snapshot that comes after this one, whose
// indexes are those of the members by now.
func (s *snapshot[T]) handDown(rebuilt bool) []pastTable {
	var past []pastTable
	if rebuilt {
		became := make([]int, len(s.members))
		for i, m := range s.members {
			became[i] = m.index
		}
		past = append(past, pastTable{s.table, became})
	}
	for _, p := range s.past[:min(len(s.past), maxPast-len(past))] {
		became := make([]int, len(p.became))
		for i, j := range p.became {
			if became[i] = j; j >= 0 {
				became[i] = s.members[j].index
			}
		}
		past = append(past, pastTable{p.table, became})
	}
	return past
}
