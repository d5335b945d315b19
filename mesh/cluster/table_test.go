package cluster

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// requireTable requires that each slot holds the host that maglev.New gives it.
func requireTable(t *testing.T, c *Cluster, backends []maglev.Backend, opts maglev.Options) {
	t.Helper()
	want, err := maglev.New(backends, opts)
	require.NoError(t, err)
	for slot := range uint64(want.Size()) {
		h := c.Pick(&Need{Hash: slot, HasHash: true})
		require.NotNil(t, h)
		if h.key() != want.Backend(want.Lookup(slot)).Name {
			require.Equal(t, want.Backend(want.Lookup(slot)).Name, h.key(), "slot %d", slot)
		}
	}
}

func TestTableIsOfHealthyHosts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 10 {
		texts := many(20, "")
		var backends []maglev.Backend
		for i := range texts {
			weight := r.Uint32N(5) + 1
			texts[i] += fmt.Sprintf(" w=%d", weight)
			if r.IntN(4) == 0 {
				texts[i] += " unhealthy"
				continue
			}
			backends = append(backends, maglev.Backend{Name: fmt.Sprintf("10.0.0.%d:80", i+1), Weight: weight})
		}
		c := clusterOf(config.MaglevPolicy, priority(texts...))
		c.Maglev.TableSize, c.PanicThreshold = 1009, 0
		requireTable(t, open(t, c, Options{}), backends, maglev.Options{TableSize: 1009})
	}
}

func TestTableFollowsHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clusterOf(config.MaglevPolicy, priority(many(10, "")...))
		c.Maglev.TableSize = 1009
		cluster := open(t, c, Options{})
		var backends []maglev.Backend
		for i := range 10 {
			backends = append(backends, maglev.Backend{Name: fmt.Sprintf("10.0.0.%d:80", i+1)})
		}
		opts := maglev.Options{TableSize: 1009}
		requireTable(t, cluster, backends, opts)
		before := cluster.current.Load().levels[0].table

		cluster.change(func() bool { return cluster.hosts[0][9].mark(FailedOutlierCheck, 0) })
		synctest.Wait()
		requireTable(t, cluster, backends[:9], opts)

		cluster.change(func() bool { return cluster.hosts[0][9].mark(DegradedByActiveCheck, FailedOutlierCheck) })
		synctest.Wait()
		requireTable(t, cluster, backends[:9], opts)

		cluster.change(func() bool { return cluster.hosts[0][9].mark(0, DegradedByActiveCheck) })
		synctest.Wait()
		requireTable(t, cluster, backends, opts)
		assert.NotSame(t, before, cluster.current.Load().levels[0].table)

		for i := range 6 {
			cluster.change(func() bool { return cluster.hosts[0][i].mark(FailedActiveCheck, 0) })
		}
		synctest.Wait()
		requireTable(t, cluster, backends, opts) // in panic
	})
}

func TestTableIsKeptWhereNothingChanges(t *testing.T) {
	c := open(t, clusterOf(config.MaglevPolicy, priority(many(3, "")...), priority("10.1.0.1:80", "10.1.0.2:80")), Options{})
	c.Pick(&Need{})
	before := c.current.Load()
	c.change(func() bool { return c.hosts[1][0].mark(FailedActiveCheck, 0) })
	now := c.current.Load()
	assert.NotSame(t, before, now)
	assert.Same(t, before.levels[0].table, now.levels[0].table)
	assert.NotSame(t, before.levels[1].table, now.levels[1].table)
}

func TestTableIsBuiltWhenNeeded(t *testing.T) {
	c := open(t, clusterOf(config.MaglevPolicy, priority(many(3, "")...), priority(many(3, "")...)), Options{})
	s := c.current.Load()
	assert.False(t, s.levels[0].table.ready(), "New does not build")
	c.Pick(&Need{})
	assert.True(t, s.levels[0].table.ready())
	assert.False(t, s.levels[1].table.ready(), "nothing goes to priority 1")
}

func TestStartBuildsTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var clusters []*config.Cluster
		for i := range 5 {
			c := clusterOf(config.MaglevPolicy, priority(many(3, "")...))
			c.Name, c.Maglev.TableSize = fmt.Sprint(i), 1009
			clusters = append(clusters, c)
		}
		s, err := New(clusters, Options{})
		require.NoError(t, err)
		defer s.Close()
		s.Start()
		require.True(t, s.Ready())
		synctest.Wait()
		for _, c := range s.All() {
			assert.True(t, c.current.Load().ready())
			assert.EqualValues(t, 336, c.maglev.Least.Value())
			assert.EqualValues(t, 337, c.maglev.Most.Value())
		}
	})
}

// TestPicksDoNotWait has picks go on while hosts change; each is one of the hosts of its moment.
func TestPicksDoNotWait(t *testing.T) {
	c := clusterOf(config.MaglevPolicy, priority(many(50, "")...))
	c.Maglev.TableSize = 10007
	cluster := open(t, c, Options{})
	cluster.Pick(&Need{})
	done := make(chan struct{})
	var pickers sync.WaitGroup
	for i := range uint64(2) {
		pickers.Go(func() {
			for n := i; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				s := cluster.current.Load()
				assert.True(t, s.ready())
				assert.NotNil(t, cluster.Pick(&Need{Hash: mix(n), HasHash: true}))
			}
		})
	}
	for i := range 200 {
		h := cluster.hosts[0][i%20]
		cluster.change(func() bool {
			if h.Flags() == 0 {
				return h.mark(FailedActiveCheck, 0)
			}
			return h.mark(0, FailedActiveCheck)
		})
	}
	cluster.set.background.close()
	close(done)
	pickers.Wait()
}

func TestEqualKeys(t *testing.T) {
	same := clusterOf(config.MaglevPolicy, priority("10.0.0.1:80 key=k", "10.0.0.2:80 key=k", "10.0.0.3:80 key=k", "10.0.0.4:80 key=l"))
	same.Maglev.TableSize = 1009
	got := make(map[string]int)
	c := open(t, same, Options{})
	for slot := range uint64(1009) {
		got[c.Pick(&Need{Hash: slot, HasHash: true}).Address().Text]++
	}
	requireShares(t, map[string]float64{"10.0.0.1:80": 1, "10.0.0.2:80": 1, "10.0.0.3:80": 1, "10.0.0.4:80": 1}, got, 1)
}

func TestAddressText(t *testing.T) {
	// As glibc's inet_ntop writes them.
	for _, test := range [][2]string{
		{"10.0.0.1", "10.0.0.1:80"},
		{"::1", "[::1]:80"},
		{"::", "[::]:80"},
		{"::1.2.3.4", "[::1.2.3.4]:80"},
		{"::0.1.0.0", "[::0.1.0.0]:80"},
		{"::0.0.1.2", "[::102]:80"},
		{"::ffff:1.2.3.4", "[::ffff:1.2.3.4]:80"},
		{"2001:DB8:0:0:1:0:0:1", "[2001:db8::1:0:0:1]:80"},
		{"2001:db8:0:1:1:1:1:1", "[2001:db8:0:1:1:1:1:1]:80"},
	} {
		assert.Equal(t, test[1], addressText(netip.MustParseAddr(test[0]), 80))
	}
}
