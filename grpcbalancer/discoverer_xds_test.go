package grpcbalancer_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	localityv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/wrr_locality/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/xds"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// transportXDS returns a Transport whose backends a control plane tells of.
func transportXDS(t testing.TB, config xdsserver.Config) (*xdsserver.Server, *httpbalancer.Transport) {
	t.Helper()
	s, err := xdsserver.Start()
	require.NoError(t, err)
	t.Cleanup(s.Close)
	require.NoError(t, s.Set(config))
	bootstrap, err := s.Bootstrap()
	require.NoError(t, err)
	r, err := xds.NewXDSResolverWithConfigForTesting(bootstrap)
	require.NoError(t, err)
	return s, transport(t, r, xdsserver.Target)
}

func oneCluster(c xdsserver.Cluster) xdsserver.Config {
	return xdsserver.Config{Clusters: []xdsserver.Cluster{c}}
}

// follows requires that all requests go to a server soon, without an error by then.
func follows(t testing.TB, tr *httpbalancer.Transport, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		got, err := get(t, tr, "user-42")
		return err == nil && got == name && len(tr.Stats().Backends) == 1 && tr.Stats().DiscoveryErr == nil
	}, soon, time.Millisecond, "%s; %v", name, tr.Stats().DiscoveryErr)
}

// One control plane tells gRPC calls and HTTP requests where to go: the same keys go to the
// same endpoints, by their keys, weights and localities.
func TestXDSRequestsGoWhereCallsGo(t *testing.T) {
	localities := func(addrs []string) []xdsserver.Locality {
		var all []xdsserver.Endpoint
		for i, a := range addrs {
			all = append(all, xdsserver.Endpoint{Addrs: []string{a}, Weight: uint32(i + 1), HashKey: fmt.Sprint("cache-", i)})
		}
		return []xdsserver.Locality{{Weight: 3, Endpoints: all[:2]}, {Weight: 5, Endpoints: all[2:]}}
	}
	var calls, requests []string
	names := make(map[string]string) // by the address of the gRPC server
	for i, s := range servers(t, 5) {
		calls = append(calls, s.addr)
		names[s.addr] = fmt.Sprint("cache-", i)
		requests = append(requests, serveHTTP(t, names[s.addr]))
	}
	config := oneCluster(fleet(t, `{}`, localities(calls)))
	config.Hash = hash(xdsserver.Header("x-user"))
	_, c := dialXDS(t, config)
	_, tr := transportXDS(t, oneCluster(fleet(t, `{}`, localities(requests))))
	for i := range 100 {
		user := "user-" + strconv.Itoa(i)
		called, err := c.call(withUser(short(t), user))
		require.NoError(t, err)
		got, err := get(t, tr, user)
		require.NoError(t, err)
		require.Equal(t, names[called], got)
	}
	weights := make(map[string]uint32)
	for _, b := range tr.Stats().Backends {
		weights[b.Name] = b.Weight
	}
	// 3/8 in parts of 1 and 2, 5/8 in parts of 3, 4 and 5, in 96ths.
	require.Equal(t, map[string]uint32{"cache-0": 12, "cache-1": 24, "cache-2": 15, "cache-3": 20, "cache-4": 25}, weights)
}

func TestXDSATransportFollows(t *testing.T) {
	a, b, c := serveHTTP(t, "a"), serveHTTP(t, "b"), serveHTTP(t, "c")
	s, tr := transportXDS(t, oneCluster(fleet(t, `{}`, xdsserver.OneLocality(a))))
	follows(t, tr, "a")
	require.NoError(t, s.Set(oneCluster(fleet(t, `{}`, xdsserver.OneLocality(b)))))
	follows(t, tr, "b")

	// The route turns to another cluster. For a moment there are two.
	other := fleet(t, `{"tableSize":251}`, xdsserver.OneLocality(c))
	other.Name = "other"
	require.NoError(t, s.Set(oneCluster(other)))
	follows(t, tr, "c")

	// An aggregate cluster, whose first part has nobody.
	nobody, somebody := fleet(t, `{}`, nil), fleet(t, `{}`, xdsserver.OneLocality(a))
	nobody.Name, somebody.Name = "nobody", "somebody"
	both := fleet(t, `{}`, nil)
	both.Name, both.Aggregate = "both", []string{"nobody", "somebody"}
	require.NoError(t, s.Set(xdsserver.Config{Clusters: []xdsserver.Cluster{both, nobody, somebody}}))
	follows(t, tr, "a")
}

// The endpoints are those of the first priority that has any.
func TestXDSPrioritiesOfATransport(t *testing.T) {
	a, b := serveHTTP(t, "a"), serveHTTP(t, "b")
	priorities := func(first, second string) xdsserver.Config {
		var all []xdsserver.Locality
		for i, addr := range []string{first, second} {
			l := xdsserver.Locality{Priority: uint32(i)}
			if addr != "" {
				l.Endpoints = []xdsserver.Endpoint{{Addrs: []string{addr}}}
			}
			all = append(all, l)
		}
		return oneCluster(fleet(t, `{}`, all))
	}
	s, tr := transportXDS(t, priorities(a, b))
	follows(t, tr, "a")
	require.NoError(t, s.Set(priorities("", b)))
	follows(t, tr, "b")
	require.NoError(t, s.Set(priorities(a, b)))
	follows(t, tr, "a")
}

// What is not a table of one cluster is an error that says so, and the last set stays.
func TestXDSRefusedByATransport(t *testing.T) {
	a, b := serveHTTP(t, "a"), serveHTTP(t, "b")
	good := oneCluster(fleet(t, `{}`, xdsserver.OneLocality(a)))
	maglevs, err := xdsserver.TypedStruct("maglev", `{}`)
	require.NoError(t, err)
	inner, err := anypb.New(maglevs)
	require.NoError(t, err)
	perLocality := &localityv3.WrrLocality{EndpointPickingPolicy: &clusterv3.LoadBalancingPolicy{
		Policies: []*clusterv3.LoadBalancingPolicy_Policy{{TypedExtensionConfig: &corev3.TypedExtensionConfig{Name: "maglev", TypedConfig: inner}}},
	}}
	for name, c := range map[string]struct {
		cluster xdsserver.Cluster
		want    string
	}{
		"round robin":  {xdsserver.Cluster{Name: "robin", Localities: xdsserver.OneLocality(a)}, "cluster:robin: its load balancing policy is not maglev"},
		"ring hash":    {xdsserver.Cluster{Name: "ring", LbPolicy: clusterv3.Cluster_RING_HASH, Localities: xdsserver.OneLocality(a)}, "cluster:ring: its load balancing policy is not maglev"},
		"per locality": {xdsserver.Cluster{Name: "fleet", Policies: []proto.Message{perLocality}, Localities: xdsserver.OneLocality(a)}, "cluster:fleet: its load balancing policy is not maglev, or one that has a maglev for each locality"},
		"no endpoints": {fleet(t, `{}`, nil), "cluster:fleet: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, tr := transportXDS(t, good)
			follows(t, tr, "a")
			require.NoError(t, s.Set(oneCluster(c.cluster)))
			want := "grpcbalancer: FromResolver: " + xdsserver.Target + ": " + c.want
			require.Eventually(t, func() bool {
				err := tr.Stats().DiscoveryErr
				return err != nil && strings.HasPrefix(err.Error(), want)
			}, soon, time.Millisecond, "%s, not %v", want, tr.Stats().DiscoveryErr)
			got, err := get(t, tr, "user-42")
			require.NoError(t, err)
			require.Equal(t, "a", got)

			require.NoError(t, s.Set(oneCluster(fleet(t, `{}`, xdsserver.OneLocality(b)))))
			follows(t, tr, "b")
		})
	}
}

// Where the policy's config has endpoints known by their hostnames, a Transport knows them by
// those too.
func TestXDSHostnamesOfATransport(t *testing.T) {
	named := func(addrs []string) xdsserver.Config {
		var all []xdsserver.Endpoint
		for i, a := range addrs {
			all = append(all, xdsserver.Endpoint{Addrs: []string{a}, Name: fmt.Sprintf("cache-%d.example", i)})
		}
		all[0].HashKey = "cache-0" // comes before a hostname
		return oneCluster(fleet(t, `{"useHostnameForHashing":true}`, []xdsserver.Locality{{Endpoints: all}}))
	}
	var calls, requests []string
	names := make(map[string]string) // by the address of the gRPC server
	for i, s := range servers(t, 3) {
		calls, names[s.addr] = append(calls, s.addr), fmt.Sprint(i)
		requests = append(requests, serveHTTP(t, names[s.addr]))
	}
	config := named(calls)
	config.Hash = hash(xdsserver.Header("x-user"))
	_, c := dialXDS(t, config)
	_, tr := transportXDS(t, named(requests))
	for i := range 100 {
		user := "user-" + strconv.Itoa(i)
		called, err := c.call(withUser(short(t), user))
		require.NoError(t, err)
		got, err := get(t, tr, user)
		require.NoError(t, err)
		require.Equal(t, names[called], got)
	}
	var known []string
	for _, b := range tr.Stats().Backends {
		known = append(known, b.Name)
	}
	require.ElementsMatch(t, []string{"cache-0", "cache-1.example", "cache-2.example"}, known)
}
