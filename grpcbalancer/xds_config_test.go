package grpcbalancer_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	maglevv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	roundrobinv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
)

// requireRejected waits until a client has refused a cluster, with words that have these
// in them.
func requireRejected(t testing.TB, s *xdsserver.Server, words string) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, r := range s.Rejections() {
			if r.Type == "envoy.config.cluster.v3.Cluster" && strings.Contains(r.Message, words) {
				return true
			}
		}
		return false
	}, soon, time.Millisecond, "%q", words)
}

// caches are endpoints with keys, and so with one table wherever they are.
func caches(t testing.TB, n int) (locality []xdsserver.Locality, backends []maglev.Backend, where map[string]string) {
	t.Helper()
	where = make(map[string]string)
	locality = make([]xdsserver.Locality, 1)
	for i, addr := range addrs(servers(t, n)) {
		b := maglev.Backend{Name: "cache-" + strconv.Itoa(i)}
		backends, where[b.Name] = append(backends, b), addr
		locality[0].Endpoints = append(locality[0].Endpoints, xdsserver.Endpoint{Addrs: []string{addr}, HashKey: b.Name})
	}
	return locality, backends, where
}

func tableOf(t testing.TB, backends []maglev.Backend, size int) *maglev.Table {
	t.Helper()
	table, err := maglev.New(backends, maglev.Options{TableSize: size})
	require.NoError(t, err)
	return table
}

// One list is for all: an Envoy takes its own Maglev and knows no policy of gRPC; gRPC
// passes over that and takes this policy; a gRPC without this package takes the last.
func TestXDSOneListForEnvoyAndGRPC(t *testing.T) {
	locality, backends, where := caches(t, 5)
	cluster := fleet(t, `{"tableSize":251}`, locality)
	unknown, err := xdsserver.TypedStruct("maglev_of_somebody_else", `{}`)
	require.NoError(t, err)
	cluster.Policies = append([]proto.Message{
		&maglevv3.Maglev{TableSize: wrapperspb.UInt64(251)}, unknown}, append(cluster.Policies, new(roundrobinv3.RoundRobin))...)
	s, c := dialXDS(t, xdsserver.Config{Clusters: []xdsserver.Cluster{cluster}})
	requireSlots(t, c, tableOf(t, backends, 251), where)
	require.Empty(t, s.Rejections())
}

// What gRPC does with the older field, and not with this policy: it refuses the cluster,
// even if a policy that it knows stands beside it.
func TestXDSOlderFieldIsRefused(t *testing.T) {
	addr := serve(t, "127.0.0.1:0").addr
	for name, policies := range map[string][]proto.Message{
		"alone":           nil,
		"beside a policy": fleet(t, `{}`, nil).Policies,
	} {
		t.Run(name, func(t *testing.T) {
			s, c := dialXDS(t, xdsserver.Config{Clusters: []xdsserver.Cluster{{
				Name: "fleet", Policies: policies, LbPolicy: clusterv3.Cluster_MAGLEV, Localities: xdsserver.OneLocality(addr)}}})
			_, err := c.call(short(t))
			require.Equal(t, codes.Unavailable, status.Code(err), err)
			require.ErrorContains(t, err, "unexpected lbPolicy MAGLEV")
			requireRejected(t, s, "unexpected lbPolicy MAGLEV")
		})
	}
}

// A config with an error is refused in its own words, and the last good one stays, for
// endpoints that come later as well.
func TestXDSConfigWithAnErrorIsRefused(t *testing.T) {
	locality, backends, where := caches(t, 4)
	without := []xdsserver.Locality{{Endpoints: locality[0].Endpoints[:3]}}
	s, c := dialXDS(t, xdsserver.Config{Clusters: []xdsserver.Cluster{fleet(t, `{"tableSize":61}`, without)}})
	requireSlots(t, c, tableOf(t, backends[:3], 61), where)

	for config, words := range map[string]string{
		`{"tableSize":65536}`:              "grpcbalancer: tableSize 65536: ",
		`{"tableSize":61.5}`:               "grpcbalancer: tableSize 61.5: it must be a whole number",
		`{"requestHashHeader":"user-bin"}`: `grpcbalancer: requestHashHeader "user-bin": `,
		`{"hashBalanceFactor":99}`:         "grpcbalancer: hashBalanceFactor 99: it must be 100 or more",
	} {
		require.NoError(t, s.Set(xdsserver.Config{Clusters: []xdsserver.Cluster{fleet(t, config, without)}}))
		requireRejected(t, s, words)
		requireSlots(t, c, tableOf(t, backends[:3], 61), where)
	}

	bad := fleet(t, `{"tableSize":65536}`, locality)
	require.NoError(t, s.Set(xdsserver.Config{Clusters: []xdsserver.Cluster{bad}}))
	requireSoonSlots(t, c, tableOf(t, backends, 61), tableOf(t, backends[:3], 61), where)

	good := fleet(t, `{"tableSize":67}`, locality)
	require.NoError(t, s.Set(xdsserver.Config{Clusters: []xdsserver.Cluster{good}}))
	requireSoonSlots(t, c, tableOf(t, backends, 67), tableOf(t, backends, 61), where)
}
