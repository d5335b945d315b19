package maglev

import "math"

// turns says whose turn it is to claim a slot: the order of the backends and
// what their weights make of it. A backend is named by its rank, its place in
// the dialect's order.
type turns interface {
	// next returns the ranks of the backends that have the next turns: one at
	// least, limit or a batch at most. They are valid until the next call.
	next(limit int) []uint32
}

// A batch is room for the ranks that next returns.
type batch [256]uint32

// roundRobin gives every backend a turn in every round: what all dialects do
// with equal weights.
type roundRobin struct {
	n, at uint32
	ranks batch
	whole []uint32 // whole rounds, if one fits into a batch: written only once
}

func (t *roundRobin) reset(n int) {
	t.n, t.at, t.whole = uint32(n), 0, nil
	if rounds := len(t.ranks) / n; rounds > 0 {
		t.whole = t.ranks[:rounds*n]
		for i := range t.whole {
			t.whole[i] = uint32(i % n)
		}
	}
}

func (t *roundRobin) next(limit int) []uint32 {
	if t.whole != nil {
		ranks := t.whole[t.at:min(int(t.at)+limit, len(t.whole))]
		t.at = (t.at + uint32(len(ranks))) % uint32(len(t.whole))
		return ranks
	}
	ranks := t.ranks[:min(limit, len(t.ranks))]
	for rest := ranks; len(rest) > 0; {
		run := rest[:min(len(rest), int(t.n-t.at))]
		for i := range run {
			run[i] = t.at + uint32(i)
		}
		rest = rest[len(run):]
		if t.at += uint32(len(run)); t.at == t.n {
			t.at = 0
		}
	}
	return ranks
}

// A quota is what decides about a weighted backend's next turn.
type quota[T float64 | uint64] struct {
	weight, target T
}

// proportional gives a backend a turn in a round once round*weight has reached
// its target, which then grows by the largest weight. The heaviest backend has
// a turn in every round, one of a third of its weight in every third.
//
// It is Envoy's rule, over float64 shares and targets that start at 0. It is
// also Katran's V2, over integers and targets that start at the largest
// weight: there each pass adds the weight to a sum and takes the largest
// weight off it once it is reached, so before the claim of pass p, after k
// claims, the sum is p*weight - k*largest.
//
// Comparing, adding and multiplying happen in the order of the originals, for
// another order of the same float arithmetic gives other tables.
type proportional[T float64 | uint64] struct {
	quotas []quota[T] // by rank; an infinite target is never reached
	step   T          // the largest weight
	round  uint32     // counted from 1
	rank   int        // the rank to be asked next in this round

	// wake[g] is a round before which no backend of group g, ranks g*64 and
	// the 63 that follow, has a turn. Without it, a thousand light backends
	// would be asked in vain in every round of one heavy one.
	wake []uint32

	ranks batch
}

const groupSize = 64

// reset makes room for n backends; quotas and step are the caller's to fill.
func (t *proportional[T]) reset(n int) {
	t.quotas = resize(t.quotas, n)
	t.wake = resize(t.wake, (n+groupSize-1)/groupSize)
	clear(t.wake)
	t.step, t.round, t.rank = 0, 1, 0
}

func (t *proportional[T]) next(limit int) []uint32 {
	ranks := t.ranks[:min(limit, len(t.ranks))]
	for n := 0; n < len(ranks); {
		if t.rank == len(t.quotas) {
			t.rank = 0
			t.round++
		}
		first := t.rank
		group := first / groupSize
		end := min((group+1)*groupSize, len(t.quotas))
		if t.wake[group] > t.round {
			t.rank = end
			continue
		}
		t.rank = min(end, first+len(ranks)-n)
		claims := t.ask(ranks[n:], first, t.rank)
		if claims == 0 && first%groupSize == 0 && t.rank == end {
			t.wake[group] = t.nextRound(t.quotas[first:end])
		}
		n += claims
	}
	return ranks
}

// ask writes those ranks in [first, end) that have a turn in this round and
// returns how many they are. It does not branch on the answer, which is no
// more predictable than the weights.
func (t *proportional[T]) ask(ranks []uint32, first, end int) int {
	n := 0
	round, step := T(t.round), t.step
	for i := range t.quotas[first:end] {
		q := &t.quotas[first+i]
		ranks[n] = uint32(first + i)
		due := 0
		if round*q.weight >= q.target {
			due = 1
		}
		q.target += T(due) * step
		n += due
	}
	return n
}

// nextRound returns a round after the current one before which none of the
// quotas is reached. The quotient is one less than it seems to be, as it may
// have been rounded up.
func (t *proportional[T]) nextRound(quotas []quota[T]) uint32 {
	const never uint32 = 1<<32 - 1
	earliest := T(never)
	for _, q := range quotas {
		if q.weight > 0 {
			earliest = min(earliest, q.target/q.weight)
		}
	}
	return max(t.round+1, uint32(earliest)-1)
}

// ciliumTurns is Cilium's rule (pkg/maglev, computeLookupTable): turn n begins
// with backend n mod N and goes to the first one from there, cyclically, for
// which (n+1)*weight has reached its counter, which then grows by the sum of
// the weights.
//
// There is always one: the N counters add up to n sums and an Nth, the N left
// sides to n+1 sums.
type ciliumTurns struct {
	quotas []quota[float64] // the target is Cilium's counter
	sum    float64
	turn   uint64
	wake   []uint32 // as for proportional, in turns
	ranks  batch
}

// reset makes room for n backends; quotas and sum are the caller's to fill.
func (t *ciliumTurns) reset(n int) {
	t.quotas = resize(t.quotas, n)
	t.wake = resize(t.wake, (n+groupSize-1)/groupSize)
	clear(t.wake)
	t.turn = 0
}

func (t *ciliumTurns) next(limit int) []uint32 {
	ranks := t.ranks[:min(limit, len(t.ranks))]
	for i := range ranks {
		rank := t.from(int(t.turn % uint64(len(t.quotas))))
		t.quotas[rank].target += t.sum
		ranks[i] = uint32(rank)
		t.turn++
	}
	return ranks
}

// from returns the first rank, cyclically, that may have this turn.
func (t *ciliumTurns) from(rank int) int {
	for {
		first, group := rank, rank/groupSize
		end := min((group+1)*groupSize, len(t.quotas))
		if uint64(t.wake[group]) <= t.turn {
			for ; rank < end; rank++ {
				if q := &t.quotas[rank]; (t.turn+1)*uint64(q.weight) >= uint64(q.target) {
					return rank
				}
			}
			if first%groupSize == 0 {
				t.wake[group] = nextTurn(t.quotas[first:end])
			}
		}
		if rank = end; rank == len(t.quotas) {
			rank = 0
		}
	}
}

// nextTurn returns the first turn for which one of the quotas is reached, none
// of which is yet.
func nextTurn(quotas []quota[float64]) uint32 {
	earliest := uint64(math.MaxUint32)
	for _, q := range quotas {
		weight, target := uint64(q.weight), uint64(q.target)
		earliest = min(earliest, (target+weight-1)/weight-1)
	}
	return uint32(earliest)
}

// resize returns a slice of n elements in the memory of s if that suffices.
// What the elements hold is undefined.
func resize[E any](s []E, n int) []E {
	if cap(s) < n {
		return make([]E, n)
	}
	return s[:n]
}
