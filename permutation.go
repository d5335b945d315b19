package maglev

import "math/bits"

// A divisor reduces modulo a table size without a division.
type divisor struct {
	m          uint64 // the table size
	reciprocal uint64 // floor((2^64-1) / m)
}

func newDivisor(m int) divisor {
	return divisor{m: uint64(m), reciprocal: ^uint64(0) / uint64(m)}
}

// near returns x mod m, or m more than that if x mod m is less than spill:
// with x = reciprocal*m*x/2^64 + spill*x/2^64, what the estimated quotient
// leaves is less than m + spill.
func (d *divisor) near(x uint64) uint64 {
	q, _ := bits.Mul64(x, d.reciprocal)
	return x - q*d.m
}

// spill returns 2^64 - reciprocal*m: between 1, for 65537, and m.
func (d *divisor) spill() int { return int(-d.reciprocal * d.m) }

// mod returns x mod m, exactly, for every x.
func (d *divisor) mod(x uint64) uint64 {
	r := d.near(x)
	if r >= d.m {
		r -= d.m
	}
	return r
}

// mod32 returns x mod m, exactly, for every x (Lemire, Kaser, Kurz: Faster
// remainder by direct computation, 2019).
func (d *divisor) mod32(x uint32) uint32 {
	r, _ := bits.Mul64((d.reciprocal+1)*uint64(x), d.m)
	return uint32(r)
}

// fraction returns x/m in units of 2^-32, rounded down, for x < m.
func (d *divisor) fraction(x uint32) uint32 {
	return uint32((d.reciprocal + 1) * uint64(x) >> 32)
}

// inverse returns 1/x modulo the table size, which is a prime, for
// 0 < x < m, by Euclid's algorithm.
func (d *divisor) inverse(x uint32) uint32 {
	m := uint32(d.m)
	a, b := m, x
	s, t := int32(0), int32(1) // s*x = a and t*x = b modulo m; never beyond ±m
	for b != 0 {
		q := a / b
		a, b = b, a-q*b
		s, t = t, s-int32(q)*t
	}
	if s < 0 {
		s += int32(m)
	}
	return uint32(s)
}

// preference is where a backend goes: its permutation of the slots, which is
// (offset + j*skip) mod M for j = 0, 1, 2, … (NSDI'16, section 3.4). As M is
// prime and 0 < skip < M, every slot comes up once in M steps.
type preference struct {
	offset, skip uint32
}

// preferenceOf derives a permutation from two hashes of a backend in the way
// that all dialects share.
func (d *divisor) preferenceOf(h1, h2 uint64) preference {
	return preference{
		offset: uint32(d.mod(h1)),
		skip:   uint32(h2%(d.m-1) + 1),
	}
}
