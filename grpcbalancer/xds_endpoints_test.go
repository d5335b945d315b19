package grpcbalancer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/connectivity"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer"
	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
)

// requireSlots makes a call for each slot of a table. It has to go to the backend of that
// slot.
func requireSlots(t testing.TB, c *client, table *maglev.Table, addrs map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for slot := range table.Size() {
		got, err := c.call(grpcbalancer.WithHash(ctx, uint64(slot)))
		require.NoError(t, err)
		require.Equal(t, addrs[table.Backend(table.Lookup(uint64(slot))).Name], got, "slot %d", slot)
	}
}

// requireSoonSlots is requireSlots once the table is not another one any more.
func requireSoonSlots(t testing.TB, c *client, table, before *maglev.Table, addrs map[string]string) {
	t.Helper()
	for hash := uint64(0); ; hash++ {
		if now := table.Backend(table.Lookup(hash)).Name; now != before.Backend(before.Lookup(hash)).Name {
			requireSoon(t, c, grpcbalancer.WithHash(short(t), hash), addrs[now])
			break
		}
	}
	requireSlots(t, c, table, addrs)
}

// requireSoon makes a call again until it goes where it has to, once the client knows
// what has happened.
func requireSoon(t testing.TB, c *client, ctx context.Context, want string) {
	t.Helper()
	for deadline := time.Now().Add(soon); ; time.Sleep(time.Millisecond) {
		got, err := c.call(ctx)
		if err == nil && got == want {
			return
		}
		require.True(t, time.Now().Before(deadline), "it goes to %q (%v), not to %q", got, err, want)
	}
}

func TestXDSEndpointWeightsAreShares(t *testing.T) {
	all := addrs(servers(t, 3))
	localities := xdsserver.OneLocality(all...)
	localities[0].Endpoints[0].Weight = 1
	localities[0].Endpoints[2].Weight = 2
	_, c := dialXDS(t, xdsserver.Config{Clusters: []xdsserver.Cluster{fleet(t, `{}`, localities)}})
	requireShares(t, c, map[string]float64{all[0]: 1. / 4, all[1]: 1. / 4, all[2]: 1. / 2})
}

// The shares are those of the localities, whatever the weights of endpoints in others.
func TestXDSLocalityWeightsAreShares(t *testing.T) {
	all := addrs(servers(t, 2))
	_, c := dialXDS(t, xdsserver.Config{Clusters: []xdsserver.Cluster{fleet(t, `{}`, []xdsserver.Locality{
		{Weight: 1, Endpoints: []xdsserver.Endpoint{{Addrs: all[:1], Weight: 1}}},
		{Weight: 2, Endpoints: []xdsserver.Endpoint{{Addrs: all[1:], Weight: 2}}},
	})}})
	requireShares(t, c, map[string]float64{all[0]: 1. / 3, all[1]: 2. / 3})
}

// Weights make the table that an Envoy makes of them, though gRPC hands on only what
// has become of them in fixed-point arithmetic.
func TestXDSWeightsMakeTheTableOfAnEnvoy(t *testing.T) {
	for name, localities := range map[string][]struct {
		weight    uint32
		endpoints []uint32
	}{
		"none":                  {{1, []uint32{0, 0, 0}}},
		"endpoints":             {{1, []uint32{1, 2, 3}}},
		"endpoints, not small":  {{1, []uint32{997, 991, 13}}},
		"localities":            {{1, []uint32{0, 0}}, {2, []uint32{0, 0, 0}}},
		"localities, not equal": {{4, []uint32{0, 0, 0, 0, 0, 0, 0}}, {5, []uint32{0, 0, 0, 0, 0}}, {2, []uint32{0, 0, 0}}},
		"both":                  {{1, []uint32{2, 5, 4, 3}}, {1, []uint32{3}}, {6, []uint32{3, 5, 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			opts := maglev.Options{TableSize: 509, LocalityWeights: make(map[string]uint32)}
			var backends []maglev.Backend
			where := make(map[string]string)
			config := make([]xdsserver.Locality, len(localities))
			for i, l := range localities {
				locality := fmt.Sprint("locality-", i)
				opts.LocalityWeights[locality] = l.weight
				config[i].Weight = l.weight
				for _, weight := range l.endpoints {
					b := maglev.Backend{Name: fmt.Sprintf("cache-%02d", len(backends)), Weight: weight, Locality: locality}
					backends = append(backends, b)
					where[b.Name] = serve(t, "127.0.0.1:0").addr
					config[i].Endpoints = append(config[i].Endpoints,
						xdsserver.Endpoint{Addrs: []string{where[b.Name]}, Weight: weight, HashKey: b.Name})
				}
			}
			table, err := maglev.New(backends, opts)
			require.NoError(t, err)
			_, c := dialXDS(t, xdsserver.Config{Clusters: []xdsserver.Cluster{fleet(t, `{"tableSize":509}`, config)}})
			requireSlots(t, c, table, where)
		})
	}
}

// The keys of endpoints in their metadata make the table, and make another one when
// the endpoints swap them.
func TestXDSEndpointHashKeys(t *testing.T) {
	all := addrs(servers(t, 4))
	keys := []string{"cache-0", "cache-1", "cache-2", "cache-3"}
	table := planOf(t, keys...)
	config := byHeader(t, all...)
	endpoints := config.Clusters[0].Localities[0].Endpoints
	assign := func() {
		for i := range endpoints {
			endpoints[i].HashKey = keys[i]
		}
	}
	assign()
	s, c := dialXDS(t, config)
	check := func() {
		for i, key := range keys {
			ctx := withUser(short(t), table.key(t, key))
			requireSoon(t, c, ctx, all[i])
			require.Equal(t, all[i], requireOne(t, c, ctx, all...), key)
		}
	}
	check()
	slices.Reverse(keys)
	assign()
	require.NoError(t, s.Set(config))
	check()
}

// The first address of an endpoint is its key; in which order the others come makes
// no difference. A connection that there is stays, if to another address.
func TestXDSReorderedAddresses(t *testing.T) {
	all := addrs(servers(t, 6))
	x, y := all[:3], all[3:]
	config := byHeader(t)
	// set has the control plane tell of the two with their addresses in this order.
	set := func(x, y []string) xdsserver.Config {
		config.Clusters[0].Localities[0].Endpoints = []xdsserver.Endpoint{{Addrs: x}, {Addrs: y}}
		return config
	}
	s, c := dialXDS(t, set(x, y))
	check := func(keyOfX, keyOfY string) {
		t.Helper()
		table := planOf(t, keyOfX, keyOfY)
		where := map[string]string{keyOfX: x[0], keyOfY: y[0]} // where the connections are
		// The first of these keys that has moved waits for the update.
		for i := range 100 {
			key := fmt.Sprint("user-", i)
			requireSoon(t, c, withUser(short(t), key), where[table.at(key)])
		}
		for i := range 100 {
			key := fmt.Sprint("user-", i)
			got, err := c.call(withUser(short(t), key))
			require.NoError(t, err)
			require.Equal(t, where[table.at(key)], got, key)
		}
	}
	check(x[0], y[0])
	require.NoError(t, s.Set(set([]string{x[2], x[1], x[0]}, []string{y[2], y[1], y[0]})))
	check(x[2], y[2])
	// The second and the third of x are swapped. That y has another key shows that
	// this is known.
	require.NoError(t, s.Set(set([]string{x[2], x[0], x[1]}, []string{y[1], y[2], y[0]})))
	check(x[2], y[1])
}

// The next address of an endpoint comes before another endpoint.
func TestXDSNextAddressOfAnEndpoint(t *testing.T) {
	fleetOf := servers(t, 4)
	all := addrs(fleetOf)
	config := byHeader(t)
	config.Hash = hash(xdsserver.ChannelID())
	config.Clusters[0].Localities[0].Endpoints = []xdsserver.Endpoint{{Addrs: all[:2]}, {Addrs: all[2:]}}
	_, c := dialXDS(t, config)
	used := requireOne(t, c, short(t), all[0], all[2])
	i := slices.Index(all, used)
	fleetOf[i].Stop()
	await(t, c, connectivity.Idle)
	requireOne(t, c, short(t), all[i+1])
}
