package health_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/health"
)

var errUnknown = errors.New("unknown name")

// A recorder is a Setter that keeps what it was told.
type recorder struct {
	mu      sync.Mutex
	last    map[string]bool
	log     []string // of verdicts that differ from the last one of the name
	calls   int
	unknown map[string]bool                 // names to refuse
	during  func(name string, healthy bool) // called without the lock held
}

func (r *recorder) SetHealth(name string, healthy bool) error {
	if r.during != nil {
		r.during(name, healthy)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if r.unknown[name] {
		return fmt.Errorf("%w: %q", errUnknown, name)
	}
	if r.last == nil {
		r.last = make(map[string]bool)
	}
	if was, ok := r.last[name]; !ok && !healthy || ok && was != healthy {
		r.log = append(r.log, fmt.Sprintf("%s %t", name, healthy))
	}
	r.last[name] = healthy
	return nil
}

// take returns what changed since the last take.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	log := r.log
	r.log = nil
	return log
}

// forget makes the recorder know nothing, and refuse these names from now on.
func (r *recorder) forget(unknown ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.unknown = nil, make(map[string]bool)
	for _, name := range unknown {
		r.unknown[name] = true
	}
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}

func (r *recorder) healthy(t *testing.T, name string) bool {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	healthy, ok := r.last[name]
	require.True(t, ok, "never told about %q", name)
	return healthy
}

func mustNew(t *testing.T, s health.Setter, opts health.Options) *health.Monitor {
	t.Helper()
	m, err := health.New(s, opts)
	require.NoError(t, err)
	return m
}

func numbered(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("b%d", i))
	}
	return names
}

// report reports the same n times.
func report(b *health.Backend, n int, o health.Outcome) {
	for range n {
		b.Report(o)
	}
}

func status(t *testing.T, m *health.Monitor, name string) health.Status {
	t.Helper()
	for _, s := range m.Status() {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no status of "+name)
	return health.Status{}
}

func TestMonitorWithoutOptionsHoldsAllHealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m := mustNew(t, &r, health.Options{})
		m.Update([]string{"a", "b", "a"})
		report(m.Backend("a"), 100, health.ServerError)
		require.Equal(t, []health.Status{{Name: "a", Healthy: true}, {Name: "b", Healthy: true}}, m.Status())
		require.Empty(t, r.take())
		require.NoError(t, m.Close())
	})
}

func TestUpdateTellsEveryVerdict(t *testing.T) {
	var r recorder
	m := mustNew(t, &r, health.Options{Outlier: &health.Outlier{}})
	defer m.Close()
	m.Update([]string{"a", "b"})
	require.Equal(t, 2, r.count())
	report(m.Backend("a"), 5, health.ServerError)
	require.Equal(t, []string{"a false"}, r.take())

	r.forget()
	m.Update([]string{"a", "b"})
	require.False(t, r.healthy(t, "a"))
	require.True(t, r.healthy(t, "b"))
}

// Out of one Update and back in the next: the balancer may have noticed neither.
func TestNameThatComesBackIsToldHealthy(t *testing.T) {
	var r recorder
	m := mustNew(t, &r, health.Options{Outlier: &health.Outlier{}})
	defer m.Close()
	m.Update([]string{"a"})
	old := m.Backend("a")
	report(old, 5, health.ServerError)
	m.Update(nil)
	require.Nil(t, m.Backend("a"))
	require.Empty(t, m.Status())
	require.False(t, r.healthy(t, "a"))
	m.Update([]string{"a"})
	require.True(t, r.healthy(t, "a"))
	require.Equal(t, []health.Status{{Name: "a", Healthy: true}}, m.Status())

	report(old, 100, health.ServerError)
	require.True(t, r.healthy(t, "a"), "a handle from before has ejected the new backend")
	require.NotSame(t, old, m.Backend("a"))
}

func TestRefusedVerdictIsToldByTheNextUpdate(t *testing.T) {
	r := recorder{unknown: map[string]bool{"a": true}}
	m := mustNew(t, &r, health.Options{Outlier: &health.Outlier{}})
	defer m.Close()
	m.Update([]string{"a"})
	report(m.Backend("a"), 5, health.LocalError)
	require.ErrorIs(t, status(t, m, "a").SetterError, errUnknown)
	r.forget()
	m.Update([]string{"a"})
	require.False(t, r.healthy(t, "a"))
	require.NoError(t, status(t, m, "a").SetterError)
}

func TestRefusedVerdictIsToldAfterTheNextCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{unknown: map[string]bool{"a": true}}
		m := mustNew(t, &r, health.Options{Check: &health.Check{Probe: failing, Jitter: health.Off}})
		defer m.Close()
		m.Update([]string{"a"})
		time.Sleep(time.Second)
		require.ErrorIs(t, status(t, m, "a").SetterError, errUnknown)
		require.LessOrEqual(t, r.count(), 2, "refused again and again, without a reason to try")
		r.forget()
		time.Sleep(10 * time.Second)
		require.False(t, r.healthy(t, "a"))
		require.NoError(t, status(t, m, "a").SetterError)
	})
}

func TestSetterMayCallTheMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m := mustNew(t, &r, health.Options{Outlier: &health.Outlier{MaxEjectedPercent: 100}})
		var seen []health.Status
		var once sync.Once
		r.during = func(name string, healthy bool) {
			seen = m.Status()
			if name == "a" && !healthy {
				report(m.Backend("b"), 5, health.ServerError) // its verdict waits for this one
				once.Do(func() { m.Update([]string{"a", "b", "c"}) })
			}
		}
		m.Update([]string{"a", "b"})
		report(m.Backend("a"), 5, health.ServerError)
		require.Len(t, seen, 3)
		require.Equal(t, []string{"a false", "b false"}, r.take())
		require.True(t, r.healthy(t, "c"))
		require.NoError(t, m.Close())
	})
}

// A name that the balancer has lost by the time of an Update, and has again later.
func TestVerdictThatAnUpdateCouldNotTellIsToldAfterTheNextCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m := mustNew(t, &r, health.Options{Check: &health.Check{Probe: failing, Jitter: health.Off}})
		m.Update([]string{"a"})
		synctest.Wait()
		require.Equal(t, []string{"a false"}, r.take())
		r.forget("a")
		m.Update([]string{"a"})
		r.forget()
		time.Sleep(11 * time.Second)
		require.False(t, r.healthy(t, "a"))
		require.NoError(t, m.Close())
	})
}

func TestVerdictThatChangesWhileItIsToldIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := recorder{during: func(_ string, healthy bool) {
			if !healthy {
				time.Sleep(40 * time.Second) // the ejection ends after 30 s
			}
		}}
		m := mustNew(t, &r, health.Options{Outlier: &health.Outlier{}})
		m.Update([]string{"a"})
		report(m.Backend("a"), 5, health.ServerError)
		require.Equal(t, []string{"a false", "a true"}, r.take())
		require.NoError(t, m.Close())
	})
}

func TestBackendThatHasLeftIsNotTold(t *testing.T) {
	var r recorder
	m := mustNew(t, &r, health.Options{Outlier: &health.Outlier{MaxEjectedPercent: 100}})
	defer m.Close()
	m.Update([]string{"a", "b"})
	r.during = func(name string, healthy bool) {
		if name == "a" && !healthy {
			r.during = nil
			report(m.Backend("b"), 5, health.ServerError) // its verdict waits for this one
			m.Update([]string{"a"})
		}
	}
	report(m.Backend("a"), 5, health.ServerError)
	require.Equal(t, []string{"a false"}, r.take())
}

// Whatever happens at once, verdicts of a name do not overtake each other: when all
// wait, what was told last is what holds. In a bubble time goes on only when all
// goroutines wait; until then they run side by side. The Setter takes its time, so
// that backends change, leave and come back while it is told.
func TestLastVerdictToldIsTheTrueOne(t *testing.T) {
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			var calling, told atomic.Int64
			var quick atomic.Bool
			r := recorder{during: func(string, bool) {
				if calling.Add(1) != 1 {
					t.Error("called by two goroutines at a time")
				}
				if told.Add(1)%3 > 0 && !quick.Load() {
					time.Sleep(time.Microsecond)
				}
				calling.Add(-1)
			}}
			m := mustNew(t, &r, health.Options{
				Check: &health.Check{Probe: alternating(), Interval: 7 * time.Microsecond, UnhealthyThreshold: 1, HealthyThreshold: 1},
				Outlier: &health.Outlier{
					BaseEjection: 3 * time.Microsecond, MaxEjection: 3 * time.Microsecond, MaxEjectedPercent: 100,
				},
			})
			names := numbered(6)
			m.Update(names)
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					for step := range 100 {
						report(m.Backend(names[(i+step)%6]), 5, health.GatewayError)
						if step%8 == i {
							m.Update(names[(i+step)%6:])
							m.Update(names)
						}
						time.Sleep(time.Duration(1+i%3) * time.Microsecond)
					}
				})
			}
			wg.Wait()
			quick.Store(true)
			verdicts := map[bool]int{}
			for range 100 {
				report(m.Backend("b1"), 5, health.GatewayError)
				time.Sleep(time.Microsecond)
				synctest.Wait()
				for _, s := range m.Status() {
					require.Equal(t, s.Healthy, r.healthy(t, s.Name), s.Name)
					verdicts[s.Healthy]++
				}
			}
			require.Greater(t, verdicts[true], 10)
			require.Greater(t, verdicts[false], 10)
			require.NoError(t, m.Close())
		})
	}
}

func TestCloseMayBeCalledAgainAndEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		m := mustNew(t, &r, health.Options{
			Check:   &health.Check{Probe: passing},
			Outlier: &health.Outlier{MaxEjectedPercent: 100},
		})
		m.Update([]string{"a", "b"})
		time.Sleep(time.Second)
		a, b := m.Backend("a"), m.Backend("b")
		report(a, 5, health.ServerError)
		was := m.Status()
		require.NoError(t, m.Close())
		require.NoError(t, m.Close())
		require.Equal(t, was, m.Status())
		calls := r.count()
		report(b, 103, health.ServerError)
		m.Update([]string{"c"})
		time.Sleep(time.Hour)
		require.Equal(t, calls, r.count())
		require.Equal(t, was, m.Status())
		require.False(t, r.healthy(t, "a"))
	})
}

func TestHandleOfNobodyDoesNothing(t *testing.T) {
	var b *health.Backend
	report(b, 100, health.ServerError)
	m := mustNew(t, new(recorder), health.Options{Outlier: &health.Outlier{}})
	defer m.Close()
	require.Nil(t, m.Backend("a"))
	report(m.Backend("a"), 100, health.Success)
}
