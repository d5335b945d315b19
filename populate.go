package maglev

import (
	"errors"
	"math"
	"math/bits"
)

// A slot of a table holds a backend's index in 1, 2 or 4 bytes.
type slot interface{ uint8 | uint16 | uint32 }

// board is the state of one run of populate: 16 bytes a backend and a bit a
// slot. Every dialect uses it; what they choose is the turns and each
// backend's permutation.
type board struct {
	divisor
	free    []uint64 // bit c is set while slot c is free
	cursors []cursor // by rank
	last    []uint32 // the slots that are left for finish

	// wrapped holds, by rank, where the next window begins before it is
	// reduced modulo M, for dialects whose positions wrap at 2^32; else nil. Its
	// memory is kept in wrapping.
	wrapped, wrapping []uint32
}

// A cursor is a backend's place in its permutation. It looks ahead through a
// window of up to 64 steps that ends before the position end: bit b of free
// says that the slot b+1 steps before end was free when it looked.
//
// A position is kept as a fraction of the table in units of 2^-32, so that the
// overflow reduces it modulo M. What is rounded down, a position and each of
// up to 64 steps from it, is less than a unit each. With slack on top a
// position is never too small, and too large by 129 units at most, which is
// less than a slot, as M is below 2^24: times M, rounded down, it is the slot,
// exactly.
type cursor struct {
	free      uint64
	end, step uint32
}

// position returns where the first free slot of the window is, and without one
// where the next window begins.
func (w *cursor) position() uint32 {
	return w.end - uint32(bits.Len64(w.free))*w.step
}

const slack = 65

// errUnreachable says that a backend has a turn and none of the free slots in
// its permutation, which happens only if positions wrap at 2^32.
var errUnreachable = errors.New("the permutation has no free slot left")

// reset prepares for n backends; their cursors are the caller's to start.
func (b *board) reset(d divisor, n int, wraps bool) {
	b.divisor = d
	b.cursors = resize(b.cursors, n)
	b.wrapped = nil
	if wraps {
		b.wrapping = resize(b.wrapping, n)
		b.wrapped = b.wrapping
	}
	words := int(d.m+63) / 64
	b.free = resize(b.free, words)
	for i := range b.free {
		b.free[i] = math.MaxUint64
	}
	if rest := d.m % 64; rest != 0 {
		b.free[words-1] = 1<<rest - 1
	}
}

// start puts a cursor before the first step of a permutation.
func (b *board) start(rank int, p preference) {
	b.cursors[rank] = cursor{end: b.fraction(p.offset) + slack, step: b.fraction(p.skip)}
	if b.wrapped != nil {
		b.wrapped[rank] = p.offset
	}
}

// slot returns the slot at a position.
func (b *board) slot(position uint32) uint32 {
	return uint32(uint64(position) * b.m >> 32)
}

// skip returns the skip of the permutation that a cursor steps through.
func (b *board) skip(w *cursor) uint32 { return b.slot(w.step + 1) }

// populate fills the slots: Algorithm 1 of the paper ("Optimized Populate"),
// which is the POPULATE of NSDI'16 with the taken slots in a set. Turn by
// turn, a backend claims the first slot of its permutation that is free.
//
// The algorithm as printed returns when n > M. That is a defect: when n = M
// every slot is taken, and the backend whose turn it is looks for a free one
// for ever. As in NSDI'16 the end is n = M, tested after each claim; here left
// counts M - n down to 0.
//
// The worked example of NSDI'16, section 3.4, with M = 7 and (offset, skip) of
// (3, 4), (0, 2) and (3, 1) for B0, B1 and B2; * is what a backend claims:
//
//	permutations:   B0  3* 0  4  1* 5  2  6*    slots:  0  1  2  3  4  5  6
//	                B1  0* 2* 4  6  1  3  5             B1 B0 B1 B0 B2 B2 B0
//	                B2  3  4* 5* 6  0  1  2
//
// Nearly all of the time goes into looking: M*ln(M) probes, half of them for
// the last sqrt(M) slots. Two things make them cheap and leave the result as
// it is:
//
//   - A backend probes several steps ahead at once and remembers what was free.
//     Those probes neither branch nor wait for each other. A slot that was
//     taken then is taken for good, and one that was free then is looked at
//     again when its turn has come.
//   - For the last slots the question is turned round, see finish.
func populate[S slot](slots []S, order []uint32, b *board, t turns) error {
	var claimed batch
	end := b.finishAt()
	for left := len(slots); left > end; {
		ranks := t.next(left - end)
		ahead := b.ahead(left)
		for i := b.claim(claimed[:], ranks); i < len(ranks); i += b.claim(claimed[i:], ranks[i:]) {
			if !b.look(ranks[i], ahead) {
				return errUnreachable
			}
		}
		for i, rank := range ranks {
			slots[claimed[i]] = S(order[rank])
		}
		left -= len(ranks)
	}
	finish(slots, order, b, t)
	return nil
}

// ahead returns how many steps to look ahead: enough to find a few free slots,
// and more if the backends are so few that what is found stays free until
// their turns.
func (b *board) ahead(left int) int {
	m := int(b.m)
	return min(max(16, 4*m/left, m/(4*len(b.cursors))), 64) &^ 1
}

// claim takes, turn by turn, the first free slot of a permutation from the set
// of free ones. It stops at a backend that has to look ahead first, and returns
// how many turns were taken.
func (b *board) claim(claimed, ranks []uint32) int {
	free, cursors, m := b.free, b.cursors, b.m
	claimed = claimed[:len(ranks)]
	for i, rank := range ranks {
		w := &cursors[rank]
		window, end := w.free, w.end
		for {
			if window == 0 {
				w.free = 0
				return i
			}
			n := bits.Len64(window)
			window &^= 1 << ((n - 1) & 63)
			c := uint32(uint64(end-uint32(n)*w.step) * m >> 32)
			if word := free[c/64]; word>>(c%64)&1 != 0 {
				free[c/64] = word &^ (1 << (c % 64))
				claimed[i] = c
				break
			}
		}
		w.free = window
	}
	return len(ranks)
}

// look moves an empty window on, by an even number of steps at a time, until
// there is a free slot in it. It fails if the permutation has none.
func (b *board) look(rank uint32, ahead int) bool {
	if b.wrapped != nil {
		return b.lookWrapped(rank, ahead)
	}
	w := &b.cursors[rank]
	for {
		begin := w.end
		w.end = b.fraction(b.slot(begin+uint32(ahead)*w.step)) + slack
		if w.free = probe(b.free, b.m, begin, w.step, ahead); w.free != 0 {
			return true
		}
	}
}

// lookWrapped is look for positions that wrap at 2^32. Up to there a window is
// like any other. The positions repeat after 2^32 steps, or 2^31 if skip is
// even, and so on.
func (b *board) lookWrapped(rank uint32, ahead int) bool {
	w := &b.cursors[rank]
	skip := b.skip(w)
	period := uint64(1) << (32 - bits.TrailingZeros32(skip))
	for seen := uint64(0); seen < period; {
		wrapped := b.wrapped[rank]
		// In 64 bits, for up to 2^32 steps of 1 are left.
		steps := uint32(min(uint64(ahead), uint64(math.MaxUint32-wrapped)/uint64(skip)+1))
		begin := b.fraction(b.mod32(wrapped)) + slack
		w.end = begin + steps*w.step
		w.free = probe(b.free, b.m, begin, w.step, ahead) >> (uint32(ahead) - steps)
		b.wrapped[rank] += steps * skip
		if seen += uint64(steps); w.free != 0 {
			return true
		}
	}
	return false
}

// probe returns which of n slots at position, position+step, … are free, the
// last one in the lowest bit.
func probe(free []uint64, m uint64, position, step uint32, n int) uint64 {
	found := uint64(0)
	for i := 0; i < n; i += 2 {
		c := uint64(position) * m >> 32
		position += step
		d := uint64(position) * m >> 32
		position += step
		found = (found*2+free[c/64]>>(c%64)&1)*2 + free[d/64]>>(d%64)&1
	}
	return found
}

// finishAt returns how many slots are left for finish: where the probes that a
// claim takes cost as much as asking every free slot.
func (b *board) finishAt() int {
	if b.wrapped != nil {
		return 0 // not a permutation, so not to be inverted
	}
	return int(math.Sqrt(float64(b.m)) / 2)
}

// finish claims the last slots. A permutation would take M/left probes to meet
// one of them; it is cheaper to ask each of them at which step the permutation
// reaches it, (c - pos) / skip mod M, and to take the first.
func finish[S slot](slots []S, order []uint32, b *board, t turns) {
	last := b.last[:0]
	for i, word := range b.free {
		for ; word != 0; word &= word - 1 {
			last = append(last, uint32(i*64+bits.TrailingZeros64(word)))
		}
	}
	b.last = last
	for len(last) > 0 {
		for _, rank := range t.next(len(last)) {
			at := b.first(&b.cursors[rank], last)
			slots[last[at]] = S(order[rank])
			last[at] = last[len(last)-1]
			last = last[:len(last)-1]
		}
	}
}

// first returns which of the free slots comes first in a permutation.
func (b *board) first(w *cursor, last []uint32) int {
	pos := b.slot(w.position())

	// x/skip mod M without a division: the quotient is estimated with a
	// reciprocal that belongs to the factor, and is at most one too small
	// (Shoup), as x < 2M < 2^32.
	factor := uint64(b.inverse(b.skip(w)))
	reciprocal := factor << 32 / b.m

	soonest, at := b.m, 0
	for i, c := range last {
		x := uint64(c) + b.m - uint64(pos)
		steps := x*factor - (x*reciprocal>>32)*b.m
		if steps >= b.m {
			steps -= b.m
		}
		if steps < soonest {
			soonest, at = steps, i
		}
	}
	return at
}
