package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSet(t *testing.T) {
	a, b := clusterOf(config.RoundRobin, priority(one)), clusterOf(config.MaglevPolicy, priority(one, "10.0.0.2:80"))
	a.Name, b.Name, b.AltStatName = "a", "b", "other"
	store := stats.NewStore()
	s, err := New([]*config.Cluster{a, b}, Options{Stats: store})
	require.NoError(t, err)
	defer s.Close()
	assert.Same(t, s.Cluster("a"), s.All()[0])
	assert.Same(t, s.Cluster("b"), s.All()[1])
	assert.Nil(t, s.Cluster("c"))
	assert.EqualValues(t, 2, store.Cluster("other").Gauge("membership_total").Value())
	healthy, degraded, total := s.Cluster("b").Healthy()
	assert.Equal(t, [3]int{2, 0, 2}, [3]int{healthy, degraded, total})
}

func TestRefused(t *testing.T) {
	tests := map[string]func(*config.Cluster){
		`cluster "test": maglev_lb_config.table_size: `: func(c *config.Cluster) { c.Maglev.TableSize = 4 },
		`cluster "test": health_checks: there are 2; one is supported`: func(c *config.Cluster) {
			c.HealthChecks = make([]*config.HealthCheck, 2)
		},
		`cluster "test": socket_address.address: "a.test" is not an IP address, as a STATIC cluster needs`: func(c *config.Cluster) {
			c.Priorities = []config.PriorityLevel{priority("a.test:80")}
		},
	}
	for text, change := range tests {
		c := defaults()
		change(c)
		_, err := New([]*config.Cluster{c}, Options{})
		assert.ErrorContains(t, err, text)
	}
}

// TestClose ends everything: synctest fails a test whose goroutines have not ended.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{names: map[string]string{"a.test": "10.0.0.1 10.0.0.2"}}
		c := dnsCluster(config.StrictDNS, "a.test:80")
		c.Policy = config.MaglevPolicy
		c.Outlier = outlierDefaults()
		checked(c)
		opts := withPools()
		opts.Resolver = z
		s, err := New([]*config.Cluster{c}, opts)
		require.NoError(t, err)
		script := newScript()
		s.look = script.look
		s.Start()
		require.NoError(t, s.Wait(t.Context()))
		cluster := s.All()[0]
		host := cluster.hosts[0][0]
		time.Sleep(time.Minute)
		s.Close()
		s.Close()
		script.seconds()
		time.Sleep(time.Hour)
		assert.Empty(t, script.seconds())
		assert.True(t, host.Pool.(*testPool).closed)
		assert.NotNil(t, cluster.Pick(&Need{}), "hosts can still be picked")
		repeat(host, 10, 500)
		host.FailImmediately()
		assert.Zero(t, host.Flags())
	})
}

func TestHost(t *testing.T) {
	c := clusterOf(config.RoundRobin, config.PriorityLevel{Localities: []config.Locality{{
		Region: "r", Zone: "z", SubZone: "s", Endpoints: []config.Endpoint{
			{Address: config.SocketAddress{Host: "::1", Port: 80}, Hostname: "h", Weight: 3, Canary: true},
			{Address: config.SocketAddress{Pipe: "@abstract"}},
		},
	}}})
	hosts := open(t, c, Options{}).Status().Hosts
	h := hosts[0]
	assert.Equal(t, []string{"h", "r", "z", "s"}, []string{h.Hostname, h.Region, h.Zone, h.SubZone})
	assert.EqualValues(t, 3, h.Weight)
	assert.True(t, h.Canary())
	network, address := h.Dial()
	assert.Equal(t, []string{"tcp", "[::1]:80"}, []string{network, address})
	network, address = hosts[1].Dial()
	assert.Equal(t, []string{"unix", "@abstract"}, []string{network, address})
	assert.EqualValues(t, 1, hosts[1].Weight)
}
