package cluster

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A zone is a Resolver that knows some names: "a.test" as "10.0.0.1 2001:db8::1", or an error as "!".
type zone struct {
	mu      sync.Mutex
	names   map[string]string
	queries []string
}

func (z *zone) set(name, addresses string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.names[name] = addresses
}

func (z *zone) asked() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	asked := z.queries
	z.queries = nil
	return asked
}

func (z *zone) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.queries = append(z.queries, network+" "+host)
	var found []netip.Addr
	for _, text := range strings.Fields(z.names[host]) {
		if text == "!" {
			return nil, errors.New("server failure")
		}
		ip := netip.MustParseAddr(text)
		if ip.Is4() == (network == "ip4") {
			found = append(found, ip)
		}
	}
	if found == nil {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return found, nil
}

func dnsCluster(discovery config.Discovery, texts ...string) *config.Cluster {
	c := clusterOf(config.RoundRobin, priority(texts...))
	c.Discovery = discovery
	c.DNS.Family = config.DNSV4Only
	return c
}

func texts(c *Cluster) []string {
	all := []string{}
	for _, h := range c.Status().Hosts {
		all = append(all, h.Address().Text)
	}
	return all
}

func TestStrictDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{names: map[string]string{"a.test": "10.0.0.1 10.0.0.2", "b.test": "10.0.0.3"}}
		opts := withPools()
		opts.Resolver = z
		c := start(t, dnsCluster(config.StrictDNS, "a.test:80", "10.0.0.9:81", "b.test:80"), nil, opts)
		require.NoError(t, c.set.Wait(t.Context()))
		assert.Equal(t, []string{"10.0.0.1:80", "10.0.0.2:80", "10.0.0.9:81", "10.0.0.3:80"}, texts(c))
		assert.Equal(t, "a.test", c.hosts[0][0].Hostname)
		assert.ElementsMatch(t, []string{"ip4 a.test", "ip4 b.test"}, z.asked(), "an address needs no resolver")
		stays, goes := c.hosts[0][1], c.hosts[0][0]
		stays.Stats.Requests.Inc()
		changes := c.Stats.MembershipChange.Value()

		time.Sleep(6 * time.Second)
		synctest.Wait()
		assert.ElementsMatch(t, []string{"ip4 a.test", "ip4 b.test"}, z.asked())
		assert.Equal(t, changes, c.Stats.MembershipChange.Value())

		z.set("a.test", "10.0.0.2 10.0.0.4")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"10.0.0.2:80", "10.0.0.4:80", "10.0.0.9:81", "10.0.0.3:80"}, texts(c))
		assert.Same(t, stays, c.hosts[0][0], "what stays keeps its state")
		assert.False(t, stays.Pool.(*testPool).closed)
		assert.True(t, goes.Pool.(*testPool).closed)
		assert.Equal(t, changes+1, c.Stats.MembershipChange.Value())

		z.set("a.test", "!")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		assert.Equal(t, "10.0.0.2:80", texts(c)[0], "the last good set stays")
		assert.EqualValues(t, 1, c.Stats.UpdateFailure.Value())

		z.set("a.test", "")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"10.0.0.9:81", "10.0.0.3:80"}, texts(c), "that there is no such host is an answer")
	})
}

func TestLogicalDNS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{names: map[string]string{"a.test": "10.0.0.1 10.0.0.2"}}
		opts := withPools()
		opts.Resolver = z
		c := start(t, dnsCluster(config.LogicalDNS, "a.test:80"), nil, opts)
		require.NoError(t, c.set.Wait(t.Context()))
		assert.Equal(t, []string{"10.0.0.1:80"}, texts(c))
		h := c.Pick(&Need{})
		z.set("a.test", "10.0.0.2 10.0.0.1")
		time.Sleep(6 * time.Second)
		synctest.Wait()
		assert.Same(t, h, c.Pick(&Need{}), "it is one host, wherever it is")
		_, address := h.Dial()
		assert.Equal(t, "10.0.0.2:80", address)
		assert.False(t, h.Pool.(*testPool).closed)
		z.set("a.test", "")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"10.0.0.2:80"}, texts(c))
		assert.EqualValues(t, 1, c.Stats.UpdateFailure.Value())
	})
}

func TestLookupFamily(t *testing.T) {
	z := &zone{names: map[string]string{"both": "10.0.0.1 2001:db8::1", "four": "10.0.0.1", "six": "2001:db8::1", "bad": "!"}}
	const four, six = "10.0.0.1", "2001:db8::1"
	tests := []struct {
		family          config.DNSFamily
		both, four, six string
	}{
		{config.DNSAuto, six, four, six},
		{config.DNSV4Only, four, four, ""},
		{config.DNSV6Only, six, "", six},
		{config.DNSV4Preferred, four, four, six},
		{config.DNSAll, six + " " + four, four, six},
	}
	for _, test := range tests {
		c := dnsCluster(config.StrictDNS)
		c.DNS.Family = test.family
		cluster := open(t, c, Options{Resolver: z})
		for name, want := range map[string]string{"both": test.both, "four": test.four, "six": test.six} {
			ips, err := cluster.lookup(t.Context(), name)
			require.NoError(t, err)
			got := []string{}
			for _, ip := range ips {
				got = append(got, ip.String())
			}
			assert.Equal(t, want, strings.Join(got, " "), "family %d of %s", test.family, name)
		}
		_, err := cluster.lookup(t.Context(), "bad")
		require.Error(t, err)
	}
}

func TestFailureRefreshRate(t *testing.T) {
	d := &config.DNS{Refresh: 5 * time.Second}
	assert.Equal(t, 5*time.Second, afterFailure(d, 3))
	d.FailureBase, d.FailureMax = time.Second, 10*time.Second
	for failures, bound := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 4: 8, 5: 10, 50: 10} {
		for range 100 {
			pause := afterFailure(d, failures)
			assert.Positive(t, pause)
			assert.Less(t, pause, bound*time.Second)
		}
	}
}

func TestCheckedHostsOutliveTheDNS(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			z := &zone{names: map[string]string{"a.test": "10.0.0.1 10.0.0.2"}}
			s := newScript()
			c := dnsCluster(config.StrictDNS, "a.test:80")
			checked(c)
			c.IgnoreHealthOnRemoval = ignore
			opts := withPools()
			opts.Resolver = z
			cluster := start(t, c, s, opts)
			require.NoError(t, cluster.set.Wait(t.Context()))
			h := cluster.hosts[0][0]
			require.Zero(t, h.Flags(), "hosts that were found are checked before all is ready")

			z.set("a.test", "10.0.0.2")
			time.Sleep(7 * time.Second)
			synctest.Wait()
			if ignore {
				assert.Equal(t, []string{"10.0.0.2:80"}, texts(cluster))
				return
			}
			assert.ElementsMatch(t, []string{"10.0.0.1:80", "10.0.0.2:80"}, texts(cluster))
			assert.Equal(t, PendingRemoval, h.Flags())
			assert.Positive(t, picks(cluster, 10)[one])
			s.set(one, badOne)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			assert.Equal(t, []string{"10.0.0.2:80"}, texts(cluster))
			assert.True(t, h.Pool.(*testPool).closed)
		})
	}
}
