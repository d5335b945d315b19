package cluster

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEnvoyLive sends 1000 keys through an Envoy, for each of many clusters, and requires that Pick
// finds the hosts that it has chosen. These variables of the environment direct it:
//
//	MAGLEV_ENVOY           the binary; else the envoy in PATH, if it is 1.40
//	MAGLEV_REQUIRE_LIVE    1 to fail without an Envoy
func TestEnvoyLive(t *testing.T) {
	binary := findEnvoy(t)
	backends := newBackends(t, 8)
	clusters := liveClusters(backends)
	proxy := startEnvoy(t, binary, clusters, nil)

	set, err := New(clusters, Options{})
	require.NoError(t, err)
	defer set.Close()
	set.Start()
	require.NoError(t, set.Wait(t.Context()))

	for _, c := range clusters {
		t.Run(c.Name, func(t *testing.T) {
			for i := range 1000 {
				key := fmt.Sprintf("key-%d", i)
				hash := maglev.XXHash(key, 0)
				ours := "none"
				if h := set.Cluster(c.Name).Pick(&Need{Hash: hash, HasHash: true}); h != nil {
					ours = h.Address().Text
				}
				require.Equal(t, proxy.ask(t, c.Name, key, ""), ours, key)
			}
		})
	}
}

// TestEnvoyLiveAttempts does the same for retries that look for another host.
func TestEnvoyLiveAttempts(t *testing.T) {
	binary := findEnvoy(t)
	backends := newBackends(t, 5)
	const attempts, retries = 3, 4
	c := liveCluster("retried", backends.priority(0, 1, 2, 3, 4))
	proxy := startEnvoy(t, binary, []*config.Cluster{c}, object{
		"retry_on": "5xx", "num_retries": retries, "host_selection_retry_max_attempts": attempts,
		"retry_back_off": object{"base_interval": "0.001s"},
		"retry_host_predicate": []object{{
			"name":         "envoy.retry_host_predicates.previous_hosts",
			"typed_config": typed("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
		}},
	})
	ours := open(t, c, Options{})
	for i := range 200 {
		key := fmt.Sprintf("key-%d", i)
		backends.forget()
		proxy.ask(t, c.Name, key, "/fail")
		var want []string
		var tried []*Host
		need := Need{Hash: maglev.XXHash(key, 0), HasHash: true}
		for range retries + 1 {
			h := ours.Pick(&need)
			want = append(want, h.Address().Text)
			tried = append(tried, h)
			need.Tried, need.Attempts = tried, attempts
		}
		require.Equal(t, backends.asked(), want, key)
	}
}

// TestEnvoyLiveBound holds requests, so that hosts come to their bound.
func TestEnvoyLiveBound(t *testing.T) {
	binary := findEnvoy(t)
	backends := newBackends(t, 5)
	equal := liveCluster("equal", backends.priority(0, 1, 2, 3, 4))
	equal.BalanceFactor = 105
	weighted := liveCluster("weighted", backends.priority(0, 1, 2, 3, 4))
	weighted.BalanceFactor = 105
	for i := range weighted.Priorities[0].Localities[0].Endpoints {
		weighted.Priorities[0].Localities[0].Endpoints[i].Weight = uint32(1 + 2*i)
	}
	zones := liveCluster("zones", config.PriorityLevel{Localities: []config.Locality{
		backends.locality("z", 1, 0, 1), backends.locality("a", 4, 2, 3, 4),
	}})
	zones.LocalityWeights, zones.BalanceFactor = true, 110
	clusters := []*config.Cluster{equal, weighted, zones}
	proxy := startEnvoy(t, binary, clusters, nil)
	for _, config := range clusters {
		t.Run(config.Name, func(t *testing.T) {
			backends.forget()
			ours := open(t, config, Options{})
			var held sync.WaitGroup
			moved := 0
			for i := range 150 {
				key := fmt.Sprintf("key-%d", i%7)
				held.Go(func() { proxy.ask(t, config.Name, key, "/hold") })
				envoys := backends.next(t)
				h := ours.Pick(&Need{Hash: maglev.XXHash(key, 0), HasHash: true})
				if !assert.Equal(t, envoys, h.Address().Text, "request %d", i) {
					break
				}
				s := ours.current.Load()
				if s.levels[0].table.hosts[s.levels[0].table.find(maglev.XXHash(key, 0))] != h {
					moved++
				}
				h.Stats.ActiveRequests.Inc()
				ours.Stats.ActiveRequests.Inc()
			}
			backends.release()
			held.Wait()
			assert.Greater(t, moved, 10, "keys whose own host is at its bound")
		})
	}
}

// liveClusters are the clusters that are compared.
func liveClusters(b *backends) []*config.Cluster {
	var all []*config.Cluster
	add := func(name string, change func(*config.Cluster), priorities ...config.PriorityLevel) {
		c := liveCluster(name, priorities...)
		if change != nil {
			change(c)
		}
		all = append(all, c)
	}
	mark := func(p config.PriorityLevel, health config.Health, which ...int) config.PriorityLevel {
		for _, i := range which {
			p.Localities[0].Endpoints[i].Health = health
		}
		return p
	}
	weigh := func(p config.PriorityLevel, weights ...uint32) config.PriorityLevel {
		for i, w := range weights {
			p.Localities[0].Endpoints[i].Weight = w
		}
		return p
	}
	localityWeights := func(c *config.Cluster) { c.LocalityWeights = true }
	checked := func(c *config.Cluster) {
		c.HealthChecks = []*config.HealthCheck{{
			Timeout: 5 * time.Second, Interval: time.Minute, UnhealthyThreshold: 2, HealthyThreshold: 2,
			HTTP: &config.HTTPCheck{Path: "/check"},
		}}
	}

	add("healthy", nil, b.priority(0, 1, 2, 3, 4, 5, 6, 7))
	add("one", nil, b.priority(3))
	add("none", nil, b.priority())
	add("small table", func(c *config.Cluster) { c.Maglev.TableSize = 5 }, b.priority(0, 1, 2, 3, 4, 5, 6, 7))
	add("large table", func(c *config.Cluster) { c.Maglev.TableSize = 655373 }, b.priority(0, 1, 2, 3, 4))
	add("weights", nil, weigh(b.priority(0, 1, 2, 3, 4), 1, 2, 3, 50, 7))
	add("equal hash keys", nil, func() config.PriorityLevel {
		p := b.priority(0, 1, 2, 3, 4)
		for _, i := range []int{1, 2, 4} {
			p.Localities[0].Endpoints[i].HashKey = "same"
		}
		return p
	}())
	add("equal addresses", nil, b.priority(0, 1, 1, 2, 0))
	add("hash key", nil, func() config.PriorityLevel {
		p := b.priority(0, 1, 2, 3)
		p.Localities[0].Endpoints[0].HashKey = "zz"
		p.Localities[0].Endpoints[2].HashKey = "aa"
		return p
	}())

	add("one unhealthy", nil, mark(b.priority(0, 1, 2, 3, 4), config.Unhealthy, 2))
	add("one draining, weights", nil, mark(weigh(b.priority(0, 1, 2, 3, 4), 5, 4, 3, 2, 1), config.Draining, 1))
	add("panic", nil, mark(b.priority(0, 1, 2, 3, 4), config.Unhealthy, 0, 1, 2))
	add("panic, draining", nil, mark(mark(b.priority(0, 1, 2, 3, 4), config.Unhealthy, 0, 1), config.Draining, 2))
	add("panic, all down", nil, mark(b.priority(0, 1, 2, 3), config.Unhealthy, 0, 1, 2, 3))
	add("no panic at 0", func(c *config.Cluster) { c.PanicThreshold = 0 }, mark(b.priority(0, 1, 2, 3), config.Unhealthy, 0, 1, 2))
	add("nobody at 0", func(c *config.Cluster) { c.PanicThreshold = 0 }, mark(b.priority(0, 1), config.Unhealthy, 0, 1))
	add("panic at 50.9", func(c *config.Cluster) { c.PanicThreshold = 50.9 }, mark(b.priority(0, 1, 2, 3), config.Unhealthy, 0, 1))
	add("panic at 51", func(c *config.Cluster) { c.PanicThreshold = 51 }, mark(b.priority(0, 1, 2, 3), config.Unhealthy, 0, 1))
	add("fail traffic on panic", func(c *config.Cluster) { c.FailTrafficOnPanic = true }, mark(b.priority(0, 1, 2, 3), config.Unhealthy, 0, 1, 2))

	add("degraded", nil, mark(b.priority(0, 1, 2, 3), config.Degraded, 1, 2, 3))
	add("all degraded", nil, mark(b.priority(0, 1, 2, 3), config.Degraded, 0, 1, 2, 3))
	add("degraded panic", nil, mark(mark(b.priority(0, 1, 2, 3, 4), config.Degraded, 0), config.Unhealthy, 1, 2, 3))

	add("draining is not counted", nil, mark(mark(b.priority(0, 1, 2, 3, 4), config.Unhealthy, 0), config.Draining, 1, 2, 3))
	add("all draining", nil, mark(b.priority(0, 1, 2), config.Draining, 0, 1, 2))
	add("priorities, draining", nil, mark(b.priority(0, 1, 2), config.Draining, 0, 1), b.priority(3))
	add("priorities", nil, mark(b.priority(0, 1), config.Unhealthy, 0), b.priority(2, 3, 4))
	add("priorities, first down", nil, mark(b.priority(0, 1), config.Unhealthy, 0, 1), b.priority(2, 3, 4))
	add("priorities, some in panic", nil, mark(b.priority(0, 1, 2, 3, 4), config.Unhealthy, 0, 1), mark(b.priority(5, 6, 7), config.Unhealthy, 0, 1, 2))
	add("priorities, total panic", nil, mark(b.priority(0, 1, 2, 3), config.Unhealthy, 1, 2, 3), mark(b.priority(4, 5, 6), config.Unhealthy, 0, 1))
	add("priorities, degraded", nil, mark(b.priority(0, 1, 2), config.Degraded, 0, 1), mark(b.priority(3, 4, 5), config.Unhealthy, 0))
	add("priorities, three", nil, mark(b.priority(0, 1, 2), config.Unhealthy, 0, 1), mark(b.priority(3, 4), config.Unhealthy, 0), b.priority(5, 6))
	add("overprovisioning", func(c *config.Cluster) { c.Overprovisioning = 100 }, mark(b.priority(0, 1, 2, 3), config.Unhealthy, 0), b.priority(4, 5))
	add("weighted priority health", func(c *config.Cluster) { c.WeightedPriorityHealth = true },
		mark(weigh(b.priority(0, 1, 2), 10, 1, 1), config.Unhealthy, 0), b.priority(3, 4))

	add("locality weights", localityWeights, config.PriorityLevel{Localities: []config.Locality{
		b.locality("a", 1, 0, 1), b.locality("b", 4, 2, 3, 4), b.locality("c", 0, 5),
	}})
	add("locality weights, some down", localityWeights, mark(config.PriorityLevel{Localities: []config.Locality{
		b.locality("b", 3, 0, 1, 2), b.locality("a", 4, 3, 4, 5),
	}}, config.Unhealthy, 0, 1))
	add("locality weights, one locality down", localityWeights, mark(config.PriorityLevel{Localities: []config.Locality{
		b.locality("a", 3, 0), b.locality("b", 4, 1, 2, 3), b.locality("c", 1, 4, 5),
	}}, config.Unhealthy, 0))
	add("locality weights, panic", localityWeights, mark(config.PriorityLevel{Localities: []config.Locality{
		b.locality("a", 3, 0, 1, 2), b.locality("b", 5, 3, 4),
	}}, config.Unhealthy, 0, 1, 2))
	add("locality weights, none", localityWeights, config.PriorityLevel{Localities: []config.Locality{b.locality("a", 0, 0), b.locality("b", 0, 1)}})
	add("locality weights, weights", localityWeights, weigh(config.PriorityLevel{Localities: []config.Locality{
		b.locality("a", 3, 0, 1, 2), b.locality("b", 5, 3, 4),
	}}, 9, 1, 3))
	add("localities without weights", nil, config.PriorityLevel{Localities: []config.Locality{b.locality("a", 3, 0), b.locality("b", 5, 1, 2)}})

	// Backend 6 fails its check, backend 7 is degraded by it.
	add("checked", checked, b.priority(0, 1, 2, 6))
	add("checked, degraded", checked, b.priority(0, 1, 7))
	add("checked, panic", checked, b.priority(6, 6, 0))
	add("checked, priorities", checked, b.priority(0, 6), b.priority(1, 2))
	return all
}

func liveCluster(name string, priorities ...config.PriorityLevel) *config.Cluster {
	c := defaults()
	c.Name, c.Priorities = name, priorities
	return c
}
