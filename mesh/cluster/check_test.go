package cluster

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	passed   = finding{}
	noAnswer = finding{err: errors.New("refused")}
	badOne   = finding{err: errors.New("status 404"), answered: true}
	retried  = finding{err: errors.New("status 503"), answered: true, retriable: true}
)

// A script says what checks find, and knows when they were made.
type script struct {
	mu    sync.Mutex
	found map[string]finding // by address
	at    []time.Duration    // of all checks
	begun time.Time
}

func newScript() *script { return &script{found: make(map[string]finding), begun: time.Now()} }

func (s *script) look(_ context.Context, k *check) finding {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Since(s.begun))
	return s.found[k.host.Address().Text]
}

func (s *script) set(address string, f finding) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found[address] = f
}

// seconds returns when the checks since the last call were made.
func (s *script) seconds() []float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at []float64
	for _, d := range s.at {
		at = append(at, d.Seconds())
	}
	s.at = nil
	return at
}

func checked(c *config.Cluster) *config.HealthCheck {
	k := &config.HealthCheck{
		Timeout: time.Second, Interval: 10 * time.Second, UnhealthyThreshold: 3, HealthyThreshold: 2,
		NoTrafficInterval: 10 * time.Second, HTTP: &config.HTTPCheck{Path: "/"},
	}
	c.HealthChecks = []*config.HealthCheck{k}
	return k
}

// start starts a Set of one cluster whose checks are those of a script.
func start(t *testing.T, c *config.Cluster, s *script, opts Options) *Cluster {
	set, err := New([]*config.Cluster{c}, opts)
	require.NoError(t, err)
	t.Cleanup(set.Close)
	if s != nil {
		set.look = s.look
	}
	set.Start()
	return set.All()[0]
}

const one = "10.0.0.1:80"

func TestThresholds(t *testing.T) {
	type step struct {
		found   finding
		healthy bool
	}
	tests := map[string][]step{
		"the first passes":                 {{passed, true}},
		"the first fails":                  {{noAnswer, false}, {passed, false}, {passed, true}},
		"three without an answer":          {{passed, true}, {noAnswer, true}, {noAnswer, true}, {noAnswer, false}},
		"a pass in between":                {{passed, true}, {noAnswer, true}, {noAnswer, true}, {passed, true}, {noAnswer, true}, {noAnswer, true}, {noAnswer, false}},
		"one bad answer":                   {{passed, true}, {badOne, false}},
		"three bad answers to be retried":  {{passed, true}, {retried, true}, {retried, true}, {retried, false}},
		"two passes":                       {{badOne, false}, {passed, false}, {noAnswer, false}, {passed, false}, {passed, true}},
		"anew after it has been unhealthy": {{passed, true}, {badOne, false}, {passed, false}, {passed, true}, {noAnswer, true}, {noAnswer, true}, {noAnswer, false}},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScript()
				c := clusterOf(config.RoundRobin, priority(one))
				checked(c)
				s.set(one, steps[0].found)
				cluster := start(t, c, s, Options{})
				for i, step := range steps {
					s.set(one, step.found)
					if i > 0 {
						time.Sleep(10 * time.Second)
					}
					synctest.Wait()
					require.Equal(t, step.healthy, cluster.hosts[0][0].Flags().Healthy(), "step %d", i)
				}
			})
		})
	}
}

func TestWaitForFirstChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clusterOf(config.MaglevPolicy, priority("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80 unchecked"))
		checked(c)
		c.PanicThreshold = 0
		answer := make(chan finding)
		set, err := New([]*config.Cluster{c}, Options{})
		require.NoError(t, err)
		defer set.Close()
		set.look = func(ctx context.Context, _ *check) finding {
			select {
			case f := <-answer:
				return f
			case <-ctx.Done():
				return finding{err: ctx.Err()}
			}
		}
		cluster := set.All()[0]
		set.Start()
		synctest.Wait()
		assert.False(t, set.Ready())
		assert.Equal(t, map[string]int{"10.0.0.3:80": 10}, picks(cluster, 10), "what is not checked is healthy")
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, set.Wait(ctx), context.DeadlineExceeded)

		answer <- passed
		synctest.Wait()
		assert.False(t, set.Ready())
		require.NoError(t, set.Wait(t.Context())) // the other one has no answer in time
		assert.Len(t, picks(cluster, 1000), 2)
		states := []Flags{cluster.hosts[0][0].Flags(), cluster.hosts[0][1].Flags()}
		assert.ElementsMatch(t, []Flags{0, FailedActiveCheck | ActiveCheckTimeout}, states)
	})
}

func TestDegradedByCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := stats.NewStore()
		s := newScript()
		c := clusterOf(config.RoundRobin, priority(one, "10.0.0.2:80"))
		checked(c)
		s.set(one, finding{degraded: true})
		cluster := start(t, c, s, Options{Stats: store})
		synctest.Wait()
		scope := store.Cluster("test").Scope("health_check")
		assert.Equal(t, DegradedByActiveCheck, cluster.hosts[0][0].Flags())
		assert.EqualValues(t, 1, scope.Gauge("degraded").Value())
		assert.EqualValues(t, 2, scope.Gauge("healthy").Value())
		assert.EqualValues(t, 1, cluster.Stats.MembershipDegraded.Value())
		assert.EqualValues(t, 1, cluster.Stats.MembershipHealthy.Value())

		s.set(one, passed)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.Zero(t, cluster.hosts[0][0].Flags())
		assert.EqualValues(t, 0, scope.Gauge("degraded").Value())
		assert.EqualValues(t, 4, scope.Counter("attempt").Value())
		assert.EqualValues(t, 4, scope.Counter("success").Value())
	})
}

func TestNewHostsMayNotCountUntilChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		c := clusterOf(config.RoundRobin, priority(one, "10.0.0.2:80 unchecked"))
		checked(c).InitialJitter = time.Second
		c.IgnoreNewHostsUntilFirstCheck = true
		cluster := start(t, c, s, Options{})
		assert.Equal(t, FailedActiveCheck|PendingActiveCheck, cluster.hosts[0][0].Flags())
		assert.EqualValues(t, 1, cluster.Stats.MembershipExcluded.Value())
		assert.Equal(t, 1, cluster.current.Load().availability[0].total)
		s.set(one, badOne)
		time.Sleep(time.Second)
		synctest.Wait()
		assert.Equal(t, FailedActiveCheck, cluster.hosts[0][0].Flags())
		assert.EqualValues(t, 0, cluster.Stats.MembershipExcluded.Value())
	})
}

func TestFailImmediately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		c := clusterOf(config.RoundRobin, priority(one, "10.0.0.2:80"))
		checked(c)
		cluster := start(t, c, s, Options{})
		synctest.Wait()
		cluster.hosts[0][0].FailImmediately()
		assert.Equal(t, FailedActiveCheck|ExcludedByImmediateFail, cluster.hosts[0][0].Flags())
		assert.Equal(t, map[string]int{"10.0.0.2:80": 10}, picks(cluster, 10))
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.NotZero(t, cluster.hosts[0][0].Flags(), "the threshold counts")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.Zero(t, cluster.hosts[0][0].Flags())

		unchecked := open(t, clusterOf(config.RoundRobin, priority(one)), Options{})
		unchecked.hosts[0][0].FailImmediately()
		assert.Zero(t, unchecked.hosts[0][0].Flags())
	})
}

func TestIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		c := clusterOf(config.RoundRobin, priority(one))
		c.HealthChecks = []*config.HealthCheck{{
			Timeout: time.Second, UnhealthyThreshold: 2, HealthyThreshold: 2, HTTP: &config.HTTPCheck{},
			Interval: 10 * time.Second, NoTrafficInterval: 100 * time.Second, NoTrafficHealthyInterval: 50 * time.Second,
			UnhealthyInterval: 5 * time.Second, UnhealthyEdgeInterval: 2 * time.Second, HealthyEdgeInterval: time.Second,
		}}
		cluster := start(t, c, s, Options{})
		time.Sleep(60 * time.Second)
		assert.Equal(t, []float64{0, 50}, s.seconds(), "healthy, without traffic")
		s.set(one, noAnswer)
		time.Sleep(50 * time.Second)
		assert.Equal(t, []float64{100}, s.seconds())
		cluster.Stats.Connections.Inc()
		time.Sleep(103 * time.Second) // 213
		assert.Equal(t, []float64{200, 205, 210}, s.seconds(), "unhealthy")
		s.set(one, passed)
		time.Sleep(20 * time.Second) // 233
		assert.Equal(t, []float64{215, 216, 226}, s.seconds(), "about to be healthy, healthy")
		s.set(one, noAnswer)
		time.Sleep(16 * time.Second) // 249
		assert.Equal(t, []float64{236, 238, 243, 248}, s.seconds(), "about to be unhealthy, unhealthy")
	})
}

func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript()
		c := clusterOf(config.RoundRobin, priority(one))
		k := checked(c)
		k.IntervalJitterPercent, k.IntervalJitter, k.InitialJitter = 50, 5*time.Second, 5*time.Second
		start(t, c, s, Options{})
		time.Sleep(1000 * time.Second)
		at := append([]float64{-10}, s.seconds()...)
		require.Greater(t, len(at), 40)
		for i := range len(at) - 1 {
			pause := at[i+1] - at[i]
			assert.GreaterOrEqual(t, pause, 10.0)
			assert.Less(t, pause, 20.0)
		}
	})
}
