package filter

import (
	"math"
	"sync/atomic"
	"time"
)

// A bucket holds tokens, which come back one by one as time passes: tokens_per_fill in each
// fill_interval, and not all of them at its end. It is full at first.
//
// What it keeps is the time at which it would have been empty, if it had been filled since. So a
// token is taken by one atomic change of one number, and no two goroutines take the same.
type bucket struct {
	most  float64       // tokens
	each  float64       // nanoseconds that a token takes
	empty atomic.Uint64 // the time, as bits of a float64 in nanoseconds
}

// slack is by how much of a token sums of fractions may be wrong.
const slack = 1e-6

func (b *bucket) init(most, perFill uint32, interval time.Duration, now time.Duration) {
	b.most = float64(most)
	b.each = float64(interval) / float64(max(1, perFill))
	b.empty.Store(math.Float64bits(float64(now) - b.most*b.each))
}

// take takes a token. It returns false if there is none.
func (b *bucket) take(now time.Duration) bool {
	for {
		old := b.empty.Load()
		empty := max(math.Float64frombits(old), float64(now)-b.most*b.each)
		if (float64(now)-empty)/b.each < 1-slack {
			return false
		}
		if b.empty.CompareAndSwap(old, math.Float64bits(empty+b.each)) {
			return true
		}
	}
}

// left returns how many tokens there are, and if there are none in how many seconds there is one.
func (b *bucket) left(now time.Duration) (tokens, seconds int64) {
	passed := float64(now) - math.Float64frombits(b.empty.Load())
	n := min(b.most, math.Floor(passed/b.each+slack))
	if n >= 1 {
		return int64(n), 0
	}
	return 0, int64(math.Ceil((b.each - passed) / float64(time.Second)))
}
