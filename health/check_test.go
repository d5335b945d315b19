package health_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/health"
)

// alternating returns a Probe that fails every other time.
func alternating() func(context.Context, string) error {
	var n atomic.Int64
	return func(context.Context, string) error {
		if n.Add(1)%2 == 0 {
			return errDown
		}
		return nil
	}
}

// Each letter of results is a check, 10 s apart: p passes, f fails, ! fails at
// once. After each one, verdicts says whether the backend is healthy: + or -.
func TestChecksCountToTheirThresholds(t *testing.T) {
	for _, c := range []struct {
		unhealthy, healthy int
		results, verdicts  string
	}{
		{0, 0, "p", "+"}, // the first decides alone
		{0, 0, "f", "-"},
		{0, 0, "!", "-"},
		{0, 0, "fp", "--"}, // from then on 2 have to pass
		{0, 0, "fpp", "--+"},
		{0, 0, "fpfpp", "----+"},
		{0, 0, "pff", "+++"}, // and 3 to fail
		{0, 0, "pfff", "+++-"},
		{0, 0, "pffpff", "++++++"},
		{0, 0, "pffpfff", "++++++-"},
		{0, 0, "pfffpfpp", "+++----+"},
		{0, 0, "pfffppff", "+++--+++"},
		{0, 0, "pfffppfff", "+++--+++-"},
		{0, 0, "p!", "+-"},
		{0, 0, "pf!pp", "++--+"},
		{0, 0, "p!ppf!", "+--++-"},
		{1, 1, "pfpfp", "+-+-+"},
		{2, 4, "pffpppp", "++----+"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			probe := func(_ context.Context, name string) error {
				require.Equal(t, "a", name)
				result := c.results[min(n, len(c.results)-1)]
				n++
				switch result {
				case 'f':
					return errDown
				case '!':
					return health.AtOnce(errDown)
				}
				return nil
			}
			var r recorder
			m := mustNew(t, &r, health.Options{Check: &health.Check{
				Probe: probe, Jitter: health.Off, UnhealthyThreshold: c.unhealthy, HealthyThreshold: c.healthy,
			}})
			defer m.Close()
			m.Update([]string{"a"})
			got := ""
			for range c.results {
				synctest.Wait()
				require.Equal(t, status(t, m, "a").Healthy, r.healthy(t, "a"))
				got += map[bool]string{true: "+", false: "-"}[r.healthy(t, "a")]
				time.Sleep(10 * time.Second)
			}
			require.Equal(t, c.verdicts, got, "results %s", c.results)
		})
	}
}

func TestStatusSaysWhatChecksFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		m := mustNew(t, new(recorder), health.Options{Check: &health.Check{
			Probe: func(context.Context, string) error {
				if up.Load() {
					return nil
				}
				return errDown
			},
			Jitter: health.Off,
		}})
		defer m.Close()
		start := time.Now()
		m.Update([]string{"a"})
		synctest.Wait()
		require.Equal(t, []health.Status{{
			Name: "a", Reason: "check failed: connection refused", LastCheck: start, CheckError: errDown,
		}}, m.Status())
		up.Store(true)
		time.Sleep(15 * time.Second)
		require.Equal(t, []health.Status{{
			Name: "a", Reason: "check failed, and has passed 1 of 2 times since", LastCheck: start.Add(10 * time.Second),
		}}, m.Status())
		time.Sleep(10 * time.Second)
		require.Equal(t, []health.Status{{Name: "a", Healthy: true, LastCheck: start.Add(20 * time.Second)}}, m.Status())
	})
}

// The pauses are drawn from [10 s, 11 s). That 1000 miss a tenth of the range has
// a probability of 0.9^1000 < 1e-45.
func TestIntervalIsExtendedByJitter(t *testing.T) {
	for _, c := range []struct {
		interval time.Duration
		jitter   float64
		longest  time.Duration
	}{
		{0, 0, 11 * time.Second},
		{0, 0.5, 15 * time.Second},
		{time.Minute, 1, 2 * time.Minute},
		{time.Minute, health.Off, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			var pauses []time.Duration
			var last time.Time
			m := mustNew(t, new(recorder), health.Options{Check: &health.Check{
				Probe: func(context.Context, string) error {
					if !last.IsZero() {
						pauses = append(pauses, time.Since(last))
					}
					time.Sleep(time.Second) // a check takes time, which the interval does not include
					last = time.Now()
					return nil
				},
				Interval: c.interval, Jitter: c.jitter,
			}})
			m.Update([]string{"a"})
			time.Sleep(1002 * (c.longest + time.Second))
			require.NoError(t, m.Close())
			require.Greater(t, len(pauses), 1000)
			least := max(c.interval, 0)
			if least == 0 {
				least = 10 * time.Second
			}
			width := c.longest - least
			shortest, longest := pauses[0], pauses[0]
			for _, p := range pauses {
				shortest, longest = min(shortest, p), max(longest, p)
			}
			require.GreaterOrEqual(t, shortest, least)
			require.LessOrEqual(t, shortest, least+width/10)
			require.LessOrEqual(t, longest, c.longest)
			require.GreaterOrEqual(t, longest, c.longest-width/10)
		})
	}
}

func TestCheckFailsAtItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		start := time.Now()
		m := mustNew(t, &r, health.Options{Check: &health.Check{
			Probe: func(ctx context.Context, _ string) error {
				<-ctx.Done()
				return nil // too late
			},
		}})
		m.Update([]string{"a"})
		time.Sleep(5*time.Second - time.Nanosecond)
		synctest.Wait()
		require.Empty(t, r.take())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, []string{"a false"}, r.take())
		s := status(t, m, "a")
		require.EqualError(t, s.CheckError, "no answer within 5s: context deadline exceeded")
		require.ErrorIs(t, s.CheckError, context.DeadlineExceeded)
		require.Equal(t, start.Add(5*time.Second), s.LastCheck)
		require.NoError(t, m.Close())
	})
}

func TestProbeThatIgnoresItsContextFailsUntilItReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		hang := make(chan struct{})
		m := mustNew(t, new(recorder), health.Options{Check: &health.Check{
			Probe: func(context.Context, string) error {
				if calls.Add(1) == 2 {
					<-hang
				}
				return nil
			},
			Jitter: health.Off,
		}})
		m.Update([]string{"a"})
		time.Sleep(16 * time.Second) // checks end at 0 and 15 s
		require.ErrorIs(t, status(t, m, "a").CheckError, context.DeadlineExceeded)
		require.True(t, status(t, m, "a").Healthy)
		time.Sleep(20 * time.Second) // 25 and 35 s
		require.ErrorContains(t, status(t, m, "a").CheckError, "has not returned")
		require.False(t, status(t, m, "a").Healthy)
		require.EqualValues(t, 2, calls.Load())
		close(hang)
		time.Sleep(20 * time.Second)
		require.True(t, status(t, m, "a").Healthy)
		require.EqualValues(t, 4, calls.Load())
		require.NoError(t, m.Close())
	})
}

func TestProbeThatPanicsIsAFailedCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mustNew(t, new(recorder), health.Options{Check: &health.Check{
			Probe: func(_ context.Context, name string) error {
				if name == "exits" {
					runtime.Goexit()
				}
				panic("out of order")
			},
		}})
		m.Update([]string{"panics", "exits"})
		synctest.Wait()
		require.Equal(t, "check failed: the Probe panicked: out of order", status(t, m, "panics").Reason)
		require.Equal(t, "check failed: the Probe ended its goroutine", status(t, m, "exits").Reason)
		require.NoError(t, m.Close())
	})
}

func TestAtMost64ProbesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most, done atomic.Int64
		m := mustNew(t, new(recorder), health.Options{Check: &health.Check{
			Probe: func(context.Context, string) error {
				n := running.Add(1)
				for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
				}
				time.Sleep(time.Second)
				running.Add(-1)
				done.Add(1)
				return nil
			},
		}})
		m.Update(numbered(200))
		time.Sleep(4*time.Second + 1) // ceil(200/64) = 4 rounds
		require.EqualValues(t, 200, done.Load())
		require.EqualValues(t, 64, most.Load())
		require.NoError(t, m.Close())
	})
}

// The probe of a backend that has left is cancelled, and what it returns is nobody's
// any more: a name that comes back starts anew.
func TestRemovalDuringAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		var calls, cancelled atomic.Int64
		late := make(chan struct{})
		m := mustNew(t, &r, health.Options{Check: &health.Check{
			Probe: func(ctx context.Context, name string) error {
				if calls.Add(1) > 1 {
					return nil
				}
				<-ctx.Done()
				cancelled.Add(1)
				<-late
				return health.AtOnce(errDown)
			},
		}})
		m.Update([]string{"a"})
		time.Sleep(time.Second)
		m.Update(nil)
		synctest.Wait()
		require.EqualValues(t, 1, cancelled.Load())
		m.Update([]string{"a"})
		synctest.Wait()
		require.EqualValues(t, 2, calls.Load())
		close(late)
		time.Sleep(5 * time.Second)
		require.Empty(t, r.take())
		require.True(t, status(t, m, "a").Healthy)
		require.NoError(t, m.Close())
	})
}

func TestRemovedBackendIsNoLongerChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		calls := map[string]int{}
		m := mustNew(t, new(recorder), health.Options{Check: &health.Check{
			Probe: func(_ context.Context, name string) error {
				mu.Lock()
				defer mu.Unlock()
				calls[name]++
				return nil
			},
			Jitter: health.Off,
		}})
		m.Update([]string{"a"})
		time.Sleep(time.Second)
		m.Update([]string{"b"})
		time.Sleep(55 * time.Second) // 0, 10, … 50
		require.NoError(t, m.Close())
		require.Equal(t, map[string]int{"a": 1, "b": 6}, calls)
	})
}

func TestCloseDuringAProbeWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		returned := false
		m := mustNew(t, &r, health.Options{Check: &health.Check{
			Probe: func(ctx context.Context, _ string) error {
				<-ctx.Done()
				time.Sleep(time.Second)
				returned = true
				return errors.New("late")
			},
		}})
		m.Update([]string{"a"})
		synctest.Wait()
		start := time.Now()
		require.NoError(t, m.Close())
		require.True(t, returned)
		require.Equal(t, time.Second, time.Since(start))
		require.Empty(t, r.take())
		require.True(t, status(t, m, "a").LastCheck.IsZero())
	})
}

func TestProbeMayCallTheMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var m *health.Monitor
		m = mustNew(t, new(recorder), health.Options{Check: &health.Check{
			Probe: func(_ context.Context, name string) error {
				if name == "a" {
					m.Update([]string{"b"}) // ends itself
				}
				m.Status()
				return nil
			},
		}})
		m.Update([]string{"a"})
		synctest.Wait()
		require.False(t, status(t, m, "b").LastCheck.IsZero())
		require.NoError(t, m.Close())
	})
}
