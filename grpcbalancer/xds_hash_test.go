package grpcbalancer_test

import (
	"fmt"
	"math/bits"
	"strconv"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
)

func hash(policies ...*routev3.RouteAction_HashPolicy) []*routev3.RouteAction_HashPolicy {
	return policies
}

// hashedBy is a service of these endpoints whose route has these hash policies.
func hashedBy(t testing.TB, policies []*routev3.RouteAction_HashPolicy, addrs ...string) *client {
	t.Helper()
	config := byHeader(t, addrs...)
	config.Hash = policies
	_, c := dialXDS(t, config)
	return c
}

// unsupported are hash policies that an Envoy knows and gRPC does not.
func unsupported() []*routev3.RouteAction_HashPolicy {
	return hash(
		&routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_Cookie_{
			Cookie: &routev3.RouteAction_HashPolicy_Cookie{Name: "session"}}},
		&routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_ConnectionProperties_{
			ConnectionProperties: &routev3.RouteAction_HashPolicy_ConnectionProperties{SourceIp: true}}},
		&routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_QueryParameter_{
			QueryParameter: &routev3.RouteAction_HashPolicy_QueryParameter{Name: "user"}}},
	)
}

func equally(addrs ...string) map[string]float64 {
	shares := make(map[string]float64)
	for _, a := range addrs {
		shares[a] = 1 / float64(len(addrs))
	}
	return shares
}

func TestXDSHeader(t *testing.T) {
	all := addrs(servers(t, 4))
	table := planOf(t, all...)
	c := hashedBy(t, hash(xdsserver.Header("x-user")), all...)
	for _, addr := range all {
		key := table.key(t, addr)
		require.Equal(t, addr, requireOne(t, c, withUser(short(t), key), all...), key)
	}
	for i := range 100 {
		key := "user-" + strconv.Itoa(i)
		got, err := c.call(withUser(short(t), key))
		require.NoError(t, err)
		require.Equal(t, table.at(key), got, key)
	}
}

// Values that differ only in what is rewritten are one key, the rewritten one.
func TestXDSRewrittenHeader(t *testing.T) {
	all := addrs(servers(t, 4))
	c := hashedBy(t, hash(xdsserver.RewrittenHeader("x-user", "[0-9]+", "N")), all...)
	for i := range 100 {
		got, err := c.call(withUser(short(t), fmt.Sprintf("user-%d/%d", i, i*i)))
		require.NoError(t, err)
		require.Equal(t, planOf(t, all...).at("user-N/N"), got, i)
	}
}

func TestXDSChannelID(t *testing.T) {
	all := addrs(servers(t, 4))
	c := hashedBy(t, hash(xdsserver.ChannelID()), all...)
	requireOne(t, c, short(t), all...)
}

func TestXDSRandomWithoutHashPolicy(t *testing.T) {
	all := addrs(servers(t, 2))
	requireShares(t, hashedBy(t, nil, all...), equally(all...))
}

func TestXDSRandomWithoutTheHeader(t *testing.T) {
	all := addrs(servers(t, 2))
	requireShares(t, hashedBy(t, hash(xdsserver.Header("x-user")), all...), equally(all...))
}

func TestXDSRandomWithUnsupportedHashPolicies(t *testing.T) {
	all := addrs(servers(t, 2))
	requireShares(t, hashedBy(t, unsupported(), all...), equally(all...))
}

func TestXDSUnsupportedHashPoliciesAreSkipped(t *testing.T) {
	all := addrs(servers(t, 2))
	c := hashedBy(t, append(unsupported(), xdsserver.ChannelID()), all...)
	requireOne(t, c, short(t), all...)
}

// A terminal policy that has no hash to give does not end the list.
func TestXDSTerminalPolicyWithoutResult(t *testing.T) {
	all := addrs(servers(t, 2))
	c := hashedBy(t, hash(xdsserver.Terminal(xdsserver.Header("x-absent")), xdsserver.Header("x-user")), all...)
	for _, addr := range all {
		key := planOf(t, all...).key(t, addr)
		require.Equal(t, addr, requireOne(t, c, withUser(short(t), key), all...))
	}
}

// What comes after a terminal policy with a hash does not count.
func TestXDSTerminalPolicy(t *testing.T) {
	all := addrs(servers(t, 2))
	c := hashedBy(t, hash(xdsserver.Terminal(xdsserver.Header("x-user")), xdsserver.Header("x-random")), all...)
	for _, addr := range all {
		ctx := withUser(short(t), planOf(t, all...).key(t, addr))
		for i := range 100 {
			got, err := c.call(metadata.AppendToOutgoingContext(ctx, "x-random", strconv.Itoa(i)))
			require.NoError(t, err)
			require.Equal(t, addr, got, i)
		}
	}
}

// Without a terminal one the hashes of all policies are combined: the one so far is
// rotated left by a bit, and the next is xored onto it.
func TestXDSCombinedPolicies(t *testing.T) {
	all := addrs(servers(t, 5))
	table := planOf(t, all...)
	c := hashedBy(t, hash(xdsserver.Header("x-user"), xdsserver.Header("x-absent"), xdsserver.Header("x-item")), all...)
	for i := range 100 {
		user, item := "user-"+strconv.Itoa(i), "item-"+strconv.Itoa(i%7)
		want := bits.RotateLeft64(maglev.XXHash(user, 0), 1) ^ maglev.XXHash(item, 0)
		got, err := c.call(metadata.AppendToOutgoingContext(withUser(short(t), user), "x-item", item))
		require.NoError(t, err)
		require.Equal(t, table.Backend(table.Lookup(want)).Name, got, i)
	}
}
