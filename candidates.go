package maglev

import "iter"

// golden is 2^64 divided by the golden ratio: SplitMix64's increment.
const golden = 0x9E3779B97F4A7C15

// mix is SplitMix64's finaliser (Steele, Lea, Flood: Fast splittable
// pseudorandom number generators, OOPSLA 2014; constants of Stafford's variant
// 13).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// Candidates returns every backend once, in the order in which a request with
// this hash prefers them, [Table.Lookup] of the hash first. Take the next one
// when a backend is down: its keys then spread over the others by their shares,
// and no other key moves. All members of a fleet have the same order, whatever order
// their input had. The first eight backends cost no allocation.
//
// The rule, for those who have to follow it:
//
//  1. Lookup(hash).
//  2. For a = 1, 2, 3, …, 4*Len+64: the backend of slot
//     mix(hash + a*0x9E3779B97F4A7C15) mod Size, all modulo 2^64, where mix is
//     SplitMix64's finaliser. A backend that has been given is passed over.
//  3. The backends that hold a slot and have not come up, in the order of a
//     permutation of their own: over the backends in the dialect's order, with
//     P the smallest prime that is at least Len, offset mix(hash) mod P and
//     skip mix(not hash) mod (P-1) + 1, and steps beyond the last backend
//     passed over.
//  4. The backends that hold no slot, by the same permutation.
func (t *Table) Candidates(hash uint64) iter.Seq[int] {
	return func(yield func(int) bool) { t.candidates(hash, yield) }
}

func (t *Table) candidates(hash uint64, yield func(int) bool) {
	var given set
	if i := t.Lookup(hash); i >= 0 {
		given.add(i, t.Len())
		if !yield(i) {
			return
		}
		for a := range uint64(4*t.Len() + 64) {
			if given.n == t.holders {
				break
			}
			i := t.Lookup(mix(hash + (a+1)*golden))
			if given.add(i, t.Len()) && !yield(i) {
				return
			}
		}
	}
	_ = t.rest(hash, &given, true, yield) && t.rest(hash, &given, false, yield)
}

// rest yields the backends that have not been given and hold a slot, or hold
// none. It returns whether to go on.
func (t *Table) rest(hash uint64, given *set, holders bool, yield func(int) bool) bool {
	if given.n == t.Len() {
		return false
	}
	p := uint64(primeFrom(t.Len()))
	rank, skip := mix(hash)%p, mix(^hash)%(p-1)+1
	for range p {
		if rank < uint64(t.Len()) {
			i := int(t.order[rank])
			if (t.held[i] > 0) == holders && given.add(i, t.Len()) && !yield(i) {
				return false
			}
		}
		rank = (rank + skip) % p
	}
	return true
}

// A set of backends. It allocates from its ninth on.
type set struct {
	n     int
	first [8]int
	bits  []uint64 // all of them, from the ninth on
}

// add puts backend i of total into the set, and returns false if it is there.
func (s *set) add(i, total int) bool {
	if s.bits == nil {
		for _, j := range s.first[:s.n] {
			if i == j {
				return false
			}
		}
		if s.n < len(s.first) {
			s.first[s.n] = i
			s.n++
			return true
		}
		s.bits = make([]uint64, (total+63)/64)
		for _, j := range s.first {
			s.bits[j/64] |= 1 << (j % 64)
		}
	}
	if s.bits[i/64]>>(i%64)&1 != 0 {
		return false
	}
	s.bits[i/64] |= 1 << (i % 64)
	s.n++
	return true
}
