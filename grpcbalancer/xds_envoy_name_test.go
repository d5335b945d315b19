package grpcbalancer_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer"
	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
)

// envoyMaglev is a cluster whose policy is a TypedStruct with the type of Envoy's own
// Maglev. gRPC hands a Struct on as it is, so the fields have the names that they have in
// YAML.
func envoyMaglev(t testing.TB, config string, localities []xdsserver.Locality) xdsserver.Config {
	t.Helper()
	policy, err := xdsserver.TypedStruct("envoy.extensions.load_balancing_policies.maglev.v3.Maglev", config)
	require.NoError(t, err)
	return xdsserver.Config{Clusters: []xdsserver.Cluster{{Name: "fleet", Policies: []proto.Message{policy}, Localities: localities}}}
}

func TestXDSEnvoysMaglevInAStruct(t *testing.T) {
	locality, backends, where := caches(t, 4)
	for config, size := range map[string]int{
		`{"table_size": 65537, "consistent_hashing_lb_config": {"hash_balance_factor": 150}}`: 65537,
		`{"table_size": 251}`: 251,
		`{}`:                  65537,
	} {
		s, c := dialXDS(t, envoyMaglev(t, config, locality))
		table := tableOf(t, backends, size)
		for i := range 251 {
			hash := maglev.XXHash(string(rune('a'+i)), 0)
			got, err := c.call(grpcbalancer.WithHash(short(t), hash))
			require.NoError(t, err, config)
			require.Equal(t, where[table.Backend(table.Lookup(hash)).Name], got, config)
		}
		require.Empty(t, s.Rejections(), config)
	}
}

// Of 40 calls in flight with one key, over 4 backends and at 150 percent, a backend may
// have 15, or one more as Envoy compares before it counts the call. Without a bound one
// has them all.
func TestXDSBoundOfEnvoysMaglev(t *testing.T) {
	locality, _, _ := caches(t, 4)
	_, c := dialXDS(t, envoyMaglev(t, `{"consistent_hashing_lb_config": {"hash_balance_factor": 150}}`, locality))
	ctx, cancel := context.WithCancel(grpcbalancer.WithKey(short(t), "hot"))
	defer cancel()
	inFlight, most := make(map[string]int), 0
	for range 40 {
		got, err := c.hold(ctx)
		require.NoError(t, err)
		inFlight[got]++
		most = max(most, inFlight[got])
	}
	require.InDelta(t, 15, most, 1)
}

func TestXDSEnvoysMaglevWithAnErrorIsRefused(t *testing.T) {
	locality, backends, where := caches(t, 3)
	s, c := dialXDS(t, envoyMaglev(t, `{"table_size": 61}`, locality))
	requireSlots(t, c, tableOf(t, backends, 61), where)
	for config, words := range map[string]string{
		`{"table_size": 65536}`: "65536",
		`{"consistent_hashing_lb_config": {"hash_balance_factor": 99}}`: "99",
	} {
		require.NoError(t, s.Set(envoyMaglev(t, config, locality)))
		requireRejected(t, s, "grpcbalancer: ")
		requireRejected(t, s, words)
		requireSlots(t, c, tableOf(t, backends, 61), where)
	}
}
