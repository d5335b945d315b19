package retry_test

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/retry"
)

// begin begins as many retries as the budget allows and returns their number.
func begin(b *retry.Budget) (n int) {
	for b.BeginRetry() {
		n++
	}
	return n
}

func TestBudgetIsTheLargerOfMinAndPercent(t *testing.T) {
	for _, c := range []struct {
		percent  float64
		min      int
		requests int
		want     int
	}{
		{0, 0, 0, 3}, // the defaults, 20 % and 3
		{0, 0, 1, 3},
		{0, 0, 19, 3},
		{0, 0, 20, 4},
		{0, 0, 24, 4}, // 4.8, rounded down
		{0, 0, 25, 5},
		{0, 0, 1000, 200},
		{20, 3, 1000, 200},
		{29, 0, 100, 29}, // 0.29 * 100 is 28.999999999999996
		{12.5, 1, 16, 2},
		{100, 1, 7, 7},
		{0.1, 1, 999, 1},
		{50, retry.None, 1, 0},
		{50, retry.None, 2, 1},
		{retry.None, 0, 1000, 3},
		{retry.None, 5, 1000, 5},
		{retry.None, retry.None, 1000, 0},
	} {
		b := retry.Budget{Percent: c.percent, Min: c.min}
		require.NoError(t, b.Validate())
		for range c.requests {
			b.Begin()
		}
		require.Equal(t, c.want, begin(&b), "%v %%, Min %d, %d requests", c.percent, c.min, c.requests)
		requests, retries := b.InFlight()
		require.Equal(t, c.requests, requests)
		require.Equal(t, c.want, retries)
	}
}

func TestBudgetHasRoomAgainWhenARetryEnds(t *testing.T) {
	var b retry.Budget
	require.Equal(t, 3, begin(&b))
	b.EndRetry()
	require.True(t, b.BeginRetry())
	require.False(t, b.BeginRetry())
}

// Retries that have begun go on when the requests that justified them end; new
// ones wait until there is room.
func TestBudgetThatHasShrunkLetsNoneBegin(t *testing.T) {
	var b retry.Budget
	for range 50 {
		b.Begin()
	}
	require.Equal(t, 10, begin(&b))
	for range 50 {
		b.End()
	}
	for range 7 {
		b.EndRetry()
		require.False(t, b.BeginRetry())
	}
	b.EndRetry()
	require.True(t, b.BeginRetry())
}

func TestBudgetIgnoresOneEndTooMany(t *testing.T) {
	var b retry.Budget
	b.End()
	b.EndRetry()
	b.Begin()
	b.EndRetry()
	requests, retries := b.InFlight()
	require.Equal(t, 1, requests)
	require.Zero(t, retries)
	require.True(t, b.BeginRetry())
	b.End()
	b.End()
	requests, retries = b.InFlight()
	require.Zero(t, requests)
	require.Equal(t, 1, retries)
}

// 20 requests stay, and 20 goroutines make one each again and again and fight for
// retries. So there are never more than 40 requests, nor, with 10 % and no minimum,
// more than 4 retries.
func TestBudgetIsNeverExceededByConcurrentRetries(t *testing.T) {
	b := retry.Budget{Percent: 10, Min: retry.None}
	for range 20 {
		b.Begin()
	}
	var wg sync.WaitGroup
	var running, most, begun, refused atomic.Int64
	for range 20 {
		wg.Go(func() {
			for range 5000 {
				b.Begin()
				if b.BeginRetry() {
					begun.Add(1)
					n := running.Add(1)
					for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
					}
					runtime.Gosched() // the others' turn, with the retry in flight
					running.Add(-1)
					b.EndRetry()
				} else {
					refused.Add(1)
				}
				b.End()
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, most.Load(), int64(4))
	require.Positive(t, begun.Load())
	require.Positive(t, refused.Load())
	requests, retries := b.InFlight()
	require.Equal(t, 20, requests)
	require.Zero(t, retries)
}

func TestBudgetDoesNotAllocate(t *testing.T) {
	var b retry.Budget
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		b.Begin()
		if b.BeginRetry() {
			b.EndRetry()
		}
		b.End()
	}))
}

func TestBudgetRefusesWhatIsOutOfRange(t *testing.T) {
	for text, b := range map[string]*retry.Budget{
		"retry: Budget.Percent 120: option out of range: it must be up to 100, or 0 for 20, or None":        {Percent: 120},
		"retry: Budget.Percent -2: option out of range: it must be up to 100, or 0 for 20, or None":         {Percent: -2},
		"retry: Budget.Percent -0.5: option out of range: it must be up to 100, or 0 for 20, or None":       {Percent: -0.5},
		"retry: Budget.Percent NaN: option out of range: it must be up to 100, or 0 for 20, or None":        {Percent: math.NaN()},
		"retry: Budget.Percent +Inf: option out of range: it must be up to 100, or 0 for 20, or None":       {Percent: math.Inf(1)},
		"retry: Budget.Min -2: option out of range: it must be up to 2147483647, or 0 for 3, or None":       {Min: -2},
		"retry: Budget.Min -1000000: option out of range: it must be up to 2147483647, or 0 for 3, or None": {Min: -1000000},
	} {
		err := b.Validate()
		require.EqualError(t, err, text)
		require.ErrorIs(t, err, retry.ErrOption)
	}
}

// Who does not ask for errors gets no panic and no endless retries.
func TestBudgetOutOfRangeCountsAsTheNearest(t *testing.T) {
	for want, b := range map[int]*retry.Budget{
		10: {Percent: 1000, Min: retry.None},
		0:  {Percent: math.NaN(), Min: -7},
	} {
		for range 10 {
			b.Begin()
		}
		require.Equal(t, want, begin(b))
	}
}

func BenchmarkBudget(b *testing.B) {
	var budget retry.Budget
	b.ReportAllocs()
	for b.Loop() {
		budget.Begin()
		budget.End()
	}
}
