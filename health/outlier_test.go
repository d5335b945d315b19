package health_test

import (
	"bytes"
	"context"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/health"
)

// Each letter is a report: . Success, s ServerError, g GatewayError, l LocalError.
// The last one, and none before, ejects if why is not empty.
func TestErrorsInARowEject(t *testing.T) {
	const (
		server  = "ejected: 5 consecutive server errors (5xx)"
		gateway = "ejected: 5 consecutive gateway errors (502, 503, 504)"
		local   = "ejected: 5 consecutive local errors (no connection, reset, timeout)"
	)
	off := health.Outlier{Consecutive5xx: health.Off, ConsecutiveGateway: health.Off, ConsecutiveLocal: health.Off}
	with := func(c5xx, gateway, local int) health.Outlier {
		return health.Outlier{Consecutive5xx: c5xx, ConsecutiveGateway: gateway, ConsecutiveLocal: local}
	}
	for _, c := range []struct {
		outlier health.Outlier
		reports string
		why     string
	}{
		{health.Outlier{}, "ssss", ""},
		{health.Outlier{}, "sssss", server},
		{health.Outlier{}, "ssss.ssss.ssss", ""},
		{health.Outlier{}, "ssss.sssss", server},
		{health.Outlier{}, "ggggg", gateway},
		{health.Outlier{}, "gsgsg", server}, // a gateway error is a 5xx too
		{health.Outlier{}, "lllll", local},
		{health.Outlier{}, "llll.lllll", local},
		{health.Outlier{}, "llllslllll", local}, // an answer, so there was a connection
		{health.Outlier{}, "llllgllll", ""},     // likewise
		{health.Outlier{}, "sslsslls", server},  // no answer does not end a row of answers
		{with(health.Off, 3, 0), "gg.ggsggg", "ejected: 3 consecutive gateway errors (502, 503, 504)"},
		{with(health.Off, 0, 0), "ssssssssss", ""},
		{with(health.Off, 0, 0), "sssssggggg", gateway},
		{with(0, health.Off, 0), "ggggg", server},
		{with(0, 0, health.Off), "llllllllll", ""},
		{with(1, 0, 0), "..s", "ejected: 1 consecutive server errors (5xx)"},
		{off, "sssssgggggllllls", ""},
	} {
		m := mustNew(t, new(recorder), health.Options{Outlier: &c.outlier})
		m.Update([]string{"a"})
		for i, letter := range c.reports {
			require.True(t, status(t, m, "a").Healthy, "%s, before report %d", c.reports, i)
			m.Backend("a").Report(map[rune]health.Outcome{
				'.': health.Success, 's': health.ServerError, 'g': health.GatewayError, 'l': health.LocalError,
			}[letter])
		}
		require.Equal(t, c.why, status(t, m, "a").Reason, c.reports)
		require.NoError(t, m.Close())
	}
}

func TestStatusCountsErrorsInARow(t *testing.T) {
	m := mustNew(t, new(recorder), health.Options{Outlier: &health.Outlier{Consecutive5xx: 1000000}})
	defer m.Close()
	m.Update([]string{"a"})
	a := m.Backend("a")
	report(a, 3, health.ServerError)
	report(a, 2, health.GatewayError)
	report(a, 4, health.LocalError)
	a.Report(health.LocalError + 1) // there is no such outcome
	a.Report(255)
	s := status(t, m, "a")
	require.Equal(t, []int{5, 2, 4}, []int{s.Consecutive5xx, s.ConsecutiveGateway, s.ConsecutiveLocal})
	a.Report(health.Success)
	require.Equal(t, []health.Status{{Name: "a", Healthy: true}}, m.Status())
}

// 30 s times the number of ejections, at most 300 s, if the errors go on at once.
func TestEjectionsGrowLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m := mustNew(t, &r, health.Options{Outlier: &health.Outlier{}})
		m.Update([]string{"a"})
		for i, seconds := range []int{30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300, 300} {
			start := time.Now()
			report(m.Backend("a"), 5, health.ServerError)
			require.Equal(t, []string{"a false"}, r.take())
			s := status(t, m, "a")
			require.Equal(t, time.Duration(seconds)*time.Second, s.EjectedUntil.Sub(start))
			require.Equal(t, i+1, s.Ejections)

			time.Sleep(time.Until(s.EjectedUntil) - time.Nanosecond)
			synctest.Wait()
			require.Empty(t, r.take())
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			require.Equal(t, []string{"a true"}, r.take())
			require.Zero(t, status(t, m, "a").EjectedUntil)
		}
		require.NoError(t, m.Close())
	})
}

// The multiplier after each ejection, if the backend stays unejected for so many
// seconds before the next.
func TestMultiplierFallsWhileUnejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mustNew(t, new(recorder), health.Options{Outlier: &health.Outlier{MaxEjection: 90 * time.Second}})
		m.Update([]string{"a"})
		for i, c := range []struct{ idle, want time.Duration }{
			{0, 30}, {0, 60}, {9, 90}, // less than an interval does not count
			{10, 90},             // 3 - 1 + 1
			{19, 90},             // likewise
			{20, 60},             // 3 - 2 + 1
			{30, 30}, {3600, 30}, // never below the first
			{0, 60}, {0, 90}, {0, 90}, // at most 90 s; the multiplier is 4 now, the first beyond
			{0, 90}, {10, 90}, // 4 - 1 + 1
			{20, 90}, {20, 60}, // 4 - 2 + 1 = 3; 3 - 2 + 1 = 2
		} {
			time.Sleep(c.idle * time.Second)
			start := time.Now()
			report(m.Backend("a"), 5, health.LocalError)
			until := status(t, m, "a").EjectedUntil
			require.Equal(t, c.want*time.Second, until.Sub(start), "ejection %d", i)
			time.Sleep(time.Until(until))
			synctest.Wait()
			require.True(t, status(t, m, "a").Healthy)
		}
		require.NoError(t, m.Close())
	})
}

func TestBaseEjectionBeyondTheDefaultMaximum(t *testing.T) {
	m := mustNew(t, new(recorder), health.Options{Outlier: &health.Outlier{BaseEjection: time.Hour}})
	defer m.Close()
	m.Update([]string{"a"})
	report(m.Backend("a"), 5, health.LocalError)
	require.InDelta(t, time.Hour, time.Until(status(t, m, "a").EjectedUntil), float64(time.Minute))
}

func TestShareOfTheSetThatIsEjected(t *testing.T) {
	for _, c := range []struct{ backends, percent, usual, strict int }{
		{1, 0, 1, 0}, // 10 % of 1 are none, but one may be
		{4, 0, 1, 0},
		{9, 0, 1, 0},
		{10, 0, 1, 1},
		{19, 0, 1, 1},
		{20, 0, 2, 2},
		{25, 0, 2, 2},
		{4, 50, 2, 2},
		{3, 50, 1, 1},
		{3, 100, 3, 3},
		{25, health.Off, 1, 0},
	} {
		for _, strict := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				m := mustNew(t, new(recorder), health.Options{Outlier: &health.Outlier{
					MaxEjectedPercent: c.percent, StrictPercent: strict,
				}})
				names := numbered(c.backends)
				m.Update(names)
				want, got := c.usual, 0
				if strict {
					want = c.strict
				}
				for range 2 { // asking again does not help
					for _, name := range names {
						report(m.Backend(name), 5, health.ServerError)
					}
				}
				for _, s := range m.Status() {
					if !s.Healthy {
						got++
						require.Equal(t, 1, s.Ejections)
					}
					require.Zero(t, s.Consecutive5xx)
				}
				require.Equal(t, want, got, "%+v, strict %t", c, strict)

				// There is room again when the first come back.
				time.Sleep(30 * time.Second)
				synctest.Wait()
				report(m.Backend(names[c.backends-1]), 5, health.ServerError)
				require.Equal(t, want == 0, status(t, m, names[c.backends-1]).Healthy)
				require.NoError(t, m.Close())
			})
		}
	}
}

func TestEjectedStayEjectedInASmallerSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mustNew(t, new(recorder), health.Options{Outlier: &health.Outlier{}})
		m.Update(numbered(20))
		report(m.Backend("b0"), 5, health.ServerError)
		report(m.Backend("b1"), 5, health.ServerError)
		m.Update(numbered(3)) // 2 of 3 are ejected now
		require.False(t, status(t, m, "b0").Healthy)
		require.False(t, status(t, m, "b1").Healthy)
		report(m.Backend("b2"), 5, health.ServerError)
		require.True(t, status(t, m, "b2").Healthy)

		m.Update([]string{"b2", "b3"}) // both have left: there is room
		report(m.Backend("b2"), 5, health.ServerError)
		require.False(t, status(t, m, "b2").Healthy)
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.True(t, status(t, m, "b2").Healthy)
		report(m.Backend("b3"), 5, health.ServerError) // the count has not gone wrong
		require.False(t, status(t, m, "b3").Healthy)
		require.NoError(t, m.Close())
	})
}

func TestReportsDuringAnEjectionDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := mustNew(t, new(recorder), health.Options{Outlier: &health.Outlier{}})
		m.Update([]string{"a"})
		report(m.Backend("a"), 4, health.LocalError)
		report(m.Backend("a"), 5, health.ServerError)
		until := status(t, m, "a").EjectedUntil
		time.Sleep(20 * time.Second)
		report(m.Backend("a"), 104, health.ServerError)
		require.Equal(t, []health.Status{{
			Name: "a", Reason: "ejected: 5 consecutive server errors (5xx)", EjectedUntil: until, Ejections: 1,
		}}, m.Status())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, []health.Status{{Name: "a", Healthy: true, Ejections: 1}}, m.Status())
		report(m.Backend("a"), 4, health.ServerError)
		report(m.Backend("a"), 4, health.LocalError)
		require.True(t, status(t, m, "a").Healthy, "counters of before the ejection go on")
		require.NoError(t, m.Close())
	})
}

func TestPassingCheckEndsAnEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		var down atomic.Bool
		m := mustNew(t, &r, health.Options{
			Check: &health.Check{
				Probe: func(context.Context, string) error {
					if down.Load() {
						return health.AtOnce(errDown)
					}
					return nil
				},
				Jitter: health.Off,
			},
			Outlier: &health.Outlier{},
		})
		m.Update([]string{"a"})
		time.Sleep(time.Second)
		report(m.Backend("a"), 5, health.ServerError)
		require.Equal(t, []string{"a false"}, r.take())
		time.Sleep(8 * time.Second)
		require.Empty(t, r.take())
		time.Sleep(2 * time.Second) // past the check at 10 s
		require.Equal(t, []string{"a true"}, r.take())

		// One that has passed, but too few times for the backend to be up, does not.
		down.Store(true)
		time.Sleep(10 * time.Second) // 20 s: down
		report(m.Backend("a"), 5, health.ServerError)
		require.Equal(t, "check failed: connection refused; ejected: 5 consecutive server errors (5xx)", status(t, m, "a").Reason)
		down.Store(false)
		time.Sleep(10 * time.Second) // 30 s: 1 of 2
		require.Equal(t, "check failed, and has passed 1 of 2 times since; ejected: 5 consecutive server errors (5xx)", status(t, m, "a").Reason)
		require.Equal(t, []string{"a false"}, r.take())
		time.Sleep(10 * time.Second) // 40 s: 2 of 2
		require.Equal(t, []string{"a true"}, r.take())
		require.Zero(t, status(t, m, "a").EjectedUntil)
		require.Equal(t, 2, status(t, m, "a").Ejections)
		require.NoError(t, m.Close())
	})
}

// What remains at the end of a bubble is a failure; here Close is not even called.
func TestNothingRunsWhereThereIsNothingToWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := bubbled()
		m := mustNew(t, new(recorder), health.Options{Outlier: &health.Outlier{}})
		m.Update(numbered(100))
		report(m.Backend("b0"), 4, health.ServerError)
		require.Positive(t, before)
		require.Equal(t, before, bubbled())
		report(m.Backend("b0"), 1, health.ServerError)
		require.Equal(t, before, bubbled()) // a timer
		time.Sleep(30 * time.Second)
		synctest.Wait()
		require.True(t, status(t, m, "b0").Healthy)
		require.Equal(t, before, bubbled())
	})
}

// bubbled returns how many goroutines there are in bubbles: in this one, as no other
// test runs. (All there are would be those too that end with the test before.)
func bubbled() int {
	stacks := make([]byte, 1<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("synctest bubble"))
}

func TestReportDoesNotAllocate(t *testing.T) {
	m := mustNew(t, new(recorder), health.Options{Outlier: &health.Outlier{}})
	defer m.Close()
	m.Update([]string{"a"})
	a := m.Backend("a")
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		a.Report(health.Success)
		a.Report(health.ServerError)
		a.Report(health.GatewayError)
		a.Report(health.LocalError)
		a.Report(health.Success)
	}))
}

func BenchmarkReport(b *testing.B) {
	m, err := health.New(new(recorder), health.Options{Outlier: &health.Outlier{}})
	require.NoError(b, err)
	defer m.Close()
	m.Update([]string{"a"})
	a := m.Backend("a")
	b.Run("outcome=success", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				a.Report(health.Success)
			}
		})
	})
	b.Run("outcome=error,success", func(b *testing.B) {
		for b.Loop() {
			a.Report(health.ServerError)
			a.Report(health.Success)
		}
	})
}
