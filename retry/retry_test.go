package retry_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/retry"
)

// The bound of retry n: (2^n - 1) * Base, at most Max.
func TestDelayIsSpreadEvenlyBelowItsBound(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		backoff retry.Backoff
		n       int
		bound   time.Duration
	}{
		{retry.Backoff{}, 1, 25 * ms},
		{retry.Backoff{}, 2, 75 * ms},
		{retry.Backoff{}, 3, 175 * ms},
		{retry.Backoff{}, 4, 250 * ms}, // 375, but for Max
		{retry.Backoff{}, 5, 250 * ms},
		{retry.Backoff{}, 62, 250 * ms},
		{retry.Backoff{}, 63, 250 * ms},
		{retry.Backoff{}, 64, 250 * ms},
		{retry.Backoff{}, math.MaxInt, 250 * ms},
		{retry.Backoff{Base: 100 * ms}, 1, 100 * ms},
		{retry.Backoff{Base: 100 * ms}, 9, 1000 * ms},
		{retry.Backoff{Max: 30 * ms}, 1, 25 * ms},
		{retry.Backoff{Max: 30 * ms}, 2, 30 * ms},
		{retry.Backoff{Base: ms, Max: ms}, 7, ms},
		{retry.Backoff{Base: 1, Max: math.MaxInt64}, 63, math.MaxInt64},
		{retry.Backoff{Base: 1, Max: math.MaxInt64}, 62, math.MaxInt64 / 2},
		{retry.Backoff{Base: 3, Max: math.MaxInt64}, 62, math.MaxInt64},
		{retry.Backoff{Base: math.MaxInt64 / 2}, 1, math.MaxInt64 / 2},
		{retry.Backoff{Base: math.MaxInt64 / 2}, 2, math.MaxInt64},
	} {
		require.NoError(t, c.backoff.Validate())
		// Of 4000 draws all miss an eighth of the range with a probability of
		// (7/8)^4000 < 1e-231, and their mean, of standard deviation
		// 1/sqrt(12*4000) = 0.0046 of the bound, is 6 of those off with 2e-9.
		const draws = 4000
		least, most, mean := time.Duration(math.MaxInt64), time.Duration(0), 0.0
		for range draws {
			d := c.backoff.Delay(c.n)
			require.GreaterOrEqual(t, d, time.Duration(0))
			require.Less(t, d, c.bound)
			least, most = min(least, d), max(most, d)
			mean += float64(d) / float64(c.bound) / draws
		}
		require.Less(t, least, c.bound/8, "%+v, retry %d", c.backoff, c.n)
		require.Greater(t, most, c.bound-c.bound/8, "%+v, retry %d", c.backoff, c.n)
		require.InDelta(t, 0.5, mean, 6*0.0046, "%+v, retry %d", c.backoff, c.n)
	}
}

func TestNoDelayBeforeWhatIsNoRetry(t *testing.T) {
	for _, n := range []int{0, -1, math.MinInt} {
		require.Zero(t, retry.Backoff{}.Delay(n))
	}
}

func TestBackoffRefusesWhatIsOutOfRange(t *testing.T) {
	for text, b := range map[string]retry.Backoff{
		"retry: Backoff.Base -1s: option out of range: it must be positive, or 0 for 25ms":                     {Base: -time.Second},
		"retry: Backoff.Max -1s: option out of range: it must be at least Base, 25ms, or 0 for 10 * Base":      {Max: -time.Second},
		"retry: Backoff.Max 24ms: option out of range: it must be at least Base, 25ms, or 0 for 10 * Base":     {Max: 24 * time.Millisecond},
		"retry: Backoff.Max 59m59s: option out of range: it must be at least Base, 1h0m0s, or 0 for 10 * Base": {Base: time.Hour, Max: time.Hour - time.Second},
	} {
		err := b.Validate()
		require.EqualError(t, err, text)
		require.ErrorIs(t, err, retry.ErrOption)
		require.Zero(t, b.Delay(5))
	}
}

func TestWaitWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		require.NoError(t, retry.Wait(t.Context(), 3*time.Second))
		require.Equal(t, 3*time.Second, time.Since(start))
		require.NoError(t, retry.Wait(t.Context(), 0))
		require.NoError(t, retry.Wait(t.Context(), -time.Hour))
		require.Equal(t, 3*time.Second, time.Since(start))
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		start := time.Now()
		time.AfterFunc(time.Second, cancel)
		require.ErrorIs(t, retry.Wait(ctx, time.Hour), context.Canceled)
		require.Equal(t, time.Second, time.Since(start))
		require.ErrorIs(t, retry.Wait(ctx, time.Hour), context.Canceled)
		require.ErrorIs(t, retry.Wait(ctx, 0), context.Canceled)
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestWaitDoesNotBeginWhatItsDeadlineCutsShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		for _, d := range []time.Duration{10 * time.Second, 11 * time.Second, math.MaxInt64} {
			err := retry.Wait(ctx, d)
			require.Equal(t, context.DeadlineExceeded, err)
			require.Implements(t, (*interface{ Timeout() bool })(nil), err)
		}
		require.Zero(t, time.Since(start))
		require.NoError(t, ctx.Err())

		require.NoError(t, retry.Wait(ctx, 9*time.Second))
		require.Equal(t, 9*time.Second, time.Since(start))
		require.Equal(t, context.DeadlineExceeded, retry.Wait(ctx, time.Second))
		require.NoError(t, retry.Wait(ctx, time.Second-1))
	})
}

func TestAfterReadsSecondsAndDates(t *testing.T) {
	now := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"0":                     0,
		"00":                    0,
		"120":                   2 * time.Minute,
		"000000000000000000120": 2 * time.Minute,
		"9223372036":            9223372036 * time.Second, // the last that a Duration holds
		"9223372037":            math.MaxInt64,
		"99999999999999999999":  math.MaxInt64,
		// RFC 9110, section 5.6.7, has these three forms of one date.
		"Sun, 06 Nov 1994 08:49:37 GMT":  0,
		"Sunday, 06-Nov-94 08:49:37 GMT": 0,
		"Sun Nov  6 08:49:37 1994":       0,
		"Sun, 06 Nov 1994 08:51:38 GMT":  2*time.Minute + time.Second,
		"Sunday, 06-Nov-94 09:49:37 GMT": time.Hour,
		"Mon Nov  7 08:49:37 1994":       24 * time.Hour,
		"Sun, 06 Nov 1994 08:49:36 GMT":  0, // has passed
		"Thu, 01 Jan 1970 00:00:00 GMT":  0,
		"Fri, 31 Dec 9999 23:59:59 GMT":  math.MaxInt64,
	} {
		got, ok := retry.After(value, now)
		require.True(t, ok, value)
		require.Equal(t, want, got, value)
	}
}

func TestAfterRefusesEverythingElse(t *testing.T) {
	for _, value := range []string{
		"", " ", " 5", "5 ", "-1", "+5", "1.5", "1e3", "0x10", "5s", "5, 6", "١", "soon",
		"Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Nov 1994", "Sun, 31 Feb 1994 08:49:37 GMT",
		"1994-11-06T08:49:37Z", "99999999999999999999x",
	} {
		got, ok := retry.After(value, time.Now())
		require.False(t, ok, value)
		require.Zero(t, got, value)
	}
}

func FuzzAfter(f *testing.F) {
	f.Add("120")
	f.Add("Sun, 06 Nov 1994 08:49:37 GMT")
	f.Add("99999999999999999999")
	f.Fuzz(func(t *testing.T, value string) {
		d, ok := retry.After(value, time.Unix(0, 0))
		require.GreaterOrEqual(t, d, time.Duration(0))
		if !ok {
			require.Zero(t, d)
		}
	})
}
