package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func clusterOf(policy config.Policy, priorities ...config.PriorityLevel) *config.Cluster {
	c := defaults()
	c.Policy, c.Priorities = policy, priorities
	return c
}

// requireShares requires that hosts were picked by their shares, up to a tolerance in picks.
func requireShares(t *testing.T, shares map[string]float64, got map[string]int, tolerance float64) {
	t.Helper()
	sum, n := 0.0, 0
	for _, s := range shares {
		sum += s
	}
	for _, k := range got {
		n += k
	}
	for host, s := range shares {
		assert.InDelta(t, s/sum*float64(n), got[host], tolerance, host)
	}
	for host := range got {
		assert.Contains(t, shares, host)
	}
}

func TestPolicies(t *testing.T) {
	const n = 10_000
	// Five standard deviations of n random picks are at most 5*sqrt(n/4).
	const random = 250
	two := func(rest ...string) config.PriorityLevel {
		return priority(append([]string{"10.0.0.1:80 w=1", "10.0.0.2:80 w=3"}, rest...)...)
	}
	zones := func() config.PriorityLevel {
		return config.PriorityLevel{Localities: []config.Locality{
			{Zone: "a", Weight: 1, Endpoints: endpoints("10.0.0.1:80", "10.0.0.2:80 unhealthy")},
			{Zone: "b", Weight: 2, Endpoints: endpoints("10.0.0.3:80", "10.0.0.4:80")},
			{Zone: "c", Weight: 0, Endpoints: endpoints("10.0.0.5:80")},
		}}
	}
	local := func(c *config.Cluster) *config.Cluster {
		c.LocalityWeights = true
		return c
	}
	tests := []struct {
		name      string
		config    *config.Cluster
		shares    map[string]float64
		tolerance float64
	}{
		{"round robin", clusterOf(config.RoundRobin, priority(many(4, "")...)),
			map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 1, "10.0.0.3:80": 1, "10.0.0.4:80": 1}, 1},
		{"round robin by weight", clusterOf(config.RoundRobin, two()),
			map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 3}, 2},
		{"random has no weights", clusterOf(config.Random, two()),
			map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 1}, random},
		{"least request by weight", clusterOf(config.LeastRequest, two()),
			map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 3}, random},
		{"least request", clusterOf(config.LeastRequest, priority(many(3, "")...)),
			map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 1, "10.0.0.3:80": 1}, random},
		{"unhealthy", clusterOf(config.RoundRobin, two("10.0.0.3:80 unhealthy")),
			map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 3}, 2},
		{"degraded get nothing while there are enough", clusterOf(config.RoundRobin, two("10.0.0.3:80 w=4", "10.0.0.4:80 degraded")),
			map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 3, "10.0.0.3:80": 4}, 3},
		{"degraded", clusterOf(config.RoundRobin, priority("10.0.0.1:80", "10.0.0.2:80 degraded", "10.0.0.3:80 degraded", "10.0.0.4:80 degraded")),
			map[string]float64{"10.0.0.1:80": 35, "10.0.0.2:80": 65. / 3, "10.0.0.3:80": 65. / 3, "10.0.0.4:80": 65. / 3}, random},
		{"panic", clusterOf(config.RoundRobin, priority("10.0.0.1:80", "10.0.0.2:80 unhealthy", "10.0.0.3:80 unhealthy")),
			map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 1, "10.0.0.3:80": 1}, 1},
		{"priorities", clusterOf(config.RoundRobin, priority("10.0.0.1:80", "10.0.0.2:80 unhealthy"), priority("10.0.0.3:80")),
			map[string]float64{"10.0.0.1:80": 70, "10.0.0.3:80": 30}, random},
		{"locality weights count as far as hosts are healthy", local(clusterOf(config.RoundRobin, zones())),
			map[string]float64{"10.0.0.1:80": 0.7, "10.0.0.3:80": 1, "10.0.0.4:80": 1}, 3},
		{"random has locality weights", local(clusterOf(config.Random, zones())),
			map[string]float64{"10.0.0.1:80": 0.7, "10.0.0.3:80": 1, "10.0.0.4:80": 1}, random},
		{"localities without weights are none", local(clusterOf(config.RoundRobin, priority("10.0.0.1:80", "10.0.0.2:80"))),
			map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 1}, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			requireShares(t, test.shares, picks(open(t, test.config, Options{}), n), test.tolerance)
		})
	}
}

func TestNobody(t *testing.T) {
	down := priority("10.0.0.1:80 unhealthy", "10.0.0.2:80 unhealthy")
	for _, policy := range []config.Policy{config.RoundRobin, config.LeastRequest, config.Random, config.MaglevPolicy} {
		assert.Nil(t, open(t, clusterOf(policy), Options{}).Pick(&Need{}), "no priorities")
		assert.Nil(t, open(t, clusterOf(policy, priority()), Options{}).Pick(&Need{}), "no hosts")
		c := clusterOf(policy, down)
		c.PanicThreshold = 0
		assert.Nil(t, open(t, c, Options{}).Pick(&Need{}), "no panic")
		c = clusterOf(policy, down)
		c.FailTrafficOnPanic = true
		h := open(t, c, Options{}).Pick(&Need{})
		assert.Equal(t, policy == config.MaglevPolicy, h != nil, "MAGLEV does not have fail_traffic_on_panic")
	}
}

func TestPanicIsCounted(t *testing.T) {
	for _, policy := range []config.Policy{config.RoundRobin, config.MaglevPolicy} {
		c := open(t, clusterOf(policy, priority("10.0.0.1:80 unhealthy", "10.0.0.2:80 unhealthy")), Options{})
		picks(c, 100)
		assert.EqualValues(t, 100, c.Stats.HealthyPanic.Value())
	}
}

func TestLeastRequestPrefersTheIdle(t *testing.T) {
	c := open(t, clusterOf(config.LeastRequest, priority(many(2, "")...)), Options{})
	c.hosts[0][0].Stats.ActiveRequests.Set(5)
	got := picks(c, 1000)
	// Only if both choices are the busy one.
	requireShares(t, map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 3}, got, 80)

	c = open(t, clusterOf(config.LeastRequest, priority("10.0.0.1:80 w=2", "10.0.0.2:80 w=1")), Options{})
	c.hosts[0][0].Stats.ActiveRequests.Set(7) // 2/8 to 1/1
	requireShares(t, map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 4}, picks(c, 10_000), 250)
}

func TestTriedHostsAreNotPickedAgain(t *testing.T) {
	for _, policy := range []config.Policy{config.RoundRobin, config.LeastRequest, config.Random, config.MaglevPolicy} {
		c := open(t, clusterOf(policy, priority("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80 canary")), Options{})
		for i := range uint64(100) {
			n := Need{Hash: mix(i), HasHash: true, Random: mix(i)}
			first := c.Pick(&n)
			n.Tried, n.Attempts = []*Host{first}, 50
			require.NotEqual(t, first, c.Pick(&n))
			n.OmitCanaries = true
			if !first.Canary() {
				require.False(t, c.Pick(&n).Canary())
			}
			n.Tried = c.hosts[0]
			require.NotNil(t, c.Pick(&n), "all are rejected: the last is picked after all")
		}
		n := Need{Hash: 1, HasHash: true, Random: 1}
		first := c.Pick(&n)
		n.Tried = []*Host{first}
		if policy == config.MaglevPolicy {
			require.Equal(t, first, c.Pick(&n), "without attempts there is no other")
		}
	}
}

func TestTriedPriorities(t *testing.T) {
	c := open(t, clusterOf(config.RoundRobin, priority("10.0.0.1:80"), priority("10.0.0.2:80")), Options{})
	for i := range uint64(100) {
		require.Equal(t, 1, c.Pick(&Need{Random: mix(i), TriedPriorities: 1}).Priority)
	}
	c = open(t, clusterOf(config.MaglevPolicy, priority("10.0.0.1:80"), priority("10.0.0.2:80")), Options{})
	require.Equal(t, 0, c.Pick(&Need{TriedPriorities: 1}).Priority)
}

func TestWithoutHashMaglevIsRandom(t *testing.T) {
	c := open(t, clusterOf(config.MaglevPolicy, priority(many(4, "")...)), Options{})
	got := make(map[string]int)
	for i := range uint64(4000) {
		got[c.Pick(&Need{Hash: 1, Random: mix(i)}).Address().Text]++
	}
	requireShares(t, map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 1, "10.0.0.3:80": 1, "10.0.0.4:80": 1}, got, 150)
}

func TestSlowStart(t *testing.T) {
	for _, policy := range []config.Policy{config.RoundRobin, config.LeastRequest} {
		synctest.Test(t, func(t *testing.T) {
			c := clusterOf(policy, priority("10.0.0.1:80", "10.0.0.2:80"))
			c.SlowStart = &config.SlowStart{Window: 100 * time.Second, Aggression: 1, MinPercent: 10}
			cluster := open(t, c, Options{})
			share := func() float64 {
				const n = 20_000
				return float64(picks(cluster, n)["10.0.0.2:80"]) / n
			}
			assert.InDelta(t, 0.5, share(), 0.02, "all have come at once")
			time.Sleep(200 * time.Second)
			set := func(set, clear Flags) {
				cluster.change(func() bool { return cluster.hosts[0][1].mark(set, clear) })
			}
			set(FailedActiveCheck, 0)
			set(0, FailedActiveCheck)
			// A host that has a part w of its weight has w/(1+w) of the requests.
			assert.InDelta(t, 0.1/1.1, share(), 0.02)
			time.Sleep(50 * time.Second)
			assert.InDelta(t, 0.5/1.5, share(), 0.02)
			time.Sleep(60 * time.Second)
			assert.InDelta(t, 0.5, share(), 0.02)
		})
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for _, policy := range []config.Policy{config.RoundRobin, config.LeastRequest, config.Random, config.MaglevPolicy} {
		c := open(t, clusterOf(policy, priority(many(10, "")...)), Options{})
		need := Need{Hash: 1, HasHash: true, Random: 1, Tried: []*Host{c.hosts[0][0]}, Attempts: 3}
		c.Pick(&need) // builds the table
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			need.Hash, need.Random = mix(need.Hash), mix(need.Random)
			c.Pick(&need)
		}))
	}
}
