package grpcbalancer_test

import (
	"context"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/xds"
	"google.golang.org/protobuf/proto"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
	"github.com/maglev-lb/maglev/internal/refuse"
)

// gRPC proves its ring_hash with 31 end-to-end scenarios, TestRingHash_… in
// balancer/ringhash/ringhash_e2e_test.go of version 1.85. A policy in its place has to
// pass them. Each has a test here. Four need no control plane and are in
// service_config_test.go, the others are in xds_*_test.go.
//
//	ring_hash                                                              here
//	AggregateClusterFallBackFromRingHashAtStartup                          TestXDSAggregateFallsBackAtStartup
//	AggregateClusterFallBackFromRingHashToLogicalDnsAtStartup              TestXDSAggregateFallsBackToDNS
//	AggregateClusterFallBackFromRingHashToLogicalDnsAtStartupNoFailedRPCs  TestXDSAggregateFallsBackToDNSWithoutFailedCalls
//	ChannelIdHashing                                                       TestXDSChannelID
//	ContinuesConnectingWithoutPicks                                        TestXDSConnectsOnWithoutCalls
//	ContinuesConnectingWithoutPicksToMultipleSubConnsConcurrently          TestXDSConnectsOneMoreForEachFailure
//	ContinuesPastTerminalPolicyThatDoesNotProduceResult                    TestXDSTerminalPolicyWithoutResult
//	EndpointHashKey                                                        TestXDSEndpointHashKeys
//	EndpointWeights                                                        TestXDSEndpointWeightsAreShares
//	FallBackWithinEndpoint                                                 TestXDSNextAddressOfAnEndpoint
//	FixedHashingTerminalPolicy                                             TestXDSTerminalPolicy
//	HashOnHeaderThatIsNotPresent                                           TestXDSRandomWithoutTheHeader
//	HeaderHashing                                                          TestXDSHeader
//	HeaderHashingWithRegexRewrite                                          TestXDSRewrittenHeader
//	IdleToReady                                                            TestXDSIdleToReady
//	NoHashPolicy                                                           TestXDSRandomWithoutHashPolicy
//	RandomHashingDistributionAccordingToLocalityAndEndpointWeight          TestXDSLocalityWeightsAreShares
//	ReattemptWhenAllEndpointsUnreachable                                   TestXDSRecoversAloneWhenAllWereDown
//	ReattemptWhenGoingFromTransientFailureToIdle                           TestXDSEndpointsAfterNone
//	ReconnectToMoveOutOfTransientFailure                                   TestReconnectsAfterTransientFailure
//	RecoverWhenEndpointEntersIdle                                          TestXDSRecoversWhenTheReadyOneIsLost
//	RecoverWhenResolverRemovesEndpoint                                     TestXDSRecoversWhenTheReadyOneIsRemoved
//	ReorderAddressessWithinEndpoint                                        TestXDSReorderedAddresses
//	RequestHashKey                                                         TestHeaderOfTheServiceConfig
//	RequestHashKeyConnecting                                               TestCallsWithoutTheHeaderConnectOneAtATime
//	RequestHashKeyRandom                                                   TestRandomWithoutTheHeader
//	SwitchToLowerPriorityAndThenBack                                       TestXDSLowerPriorityAndBack
//	TransientFailureCheckNextOne                                           TestXDSFirstCandidateFails
//	TransientFailureSkipToAvailableReady                                   TestXDSTheOnlyReadyOneIsFound
//	UnsupportedHashPolicyDefaultToRandomHashing                            TestXDSRandomWithUnsupportedHashPolicies
//	UnsupportedHashPolicyUntilChannelIdHashing                             TestXDSUnsupportedHashPoliciesAreSkipped

// dialXDS starts a control plane that gives a configuration, and a client of it.
func dialXDS(t testing.TB, config xdsserver.Config, opts ...grpc.DialOption) (*xdsserver.Server, *client) {
	t.Helper()
	s, err := xdsserver.Start()
	require.NoError(t, err)
	t.Cleanup(s.Close)
	require.NoError(t, s.Set(config))
	bootstrap, err := s.Bootstrap()
	require.NoError(t, err)
	r, err := xds.NewXDSResolverWithConfigForTesting(bootstrap)
	require.NoError(t, err)
	cc, err := grpc.NewClient(xdsserver.Target, append(opts, grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = cc.Close() })
	return s, &client{ClientConn: cc}
}

// fleet is a cluster with this policy.
func fleet(t testing.TB, config string, localities []xdsserver.Locality) xdsserver.Cluster {
	t.Helper()
	policy, err := xdsserver.TypedStruct("maglev", config)
	require.NoError(t, err)
	return xdsserver.Cluster{Name: "fleet", Policies: []proto.Message{policy}, Localities: localities}
}

// byHeader is a service whose calls are hashed by a header, x-user.
func byHeader(t testing.TB, addrs ...string) xdsserver.Config {
	t.Helper()
	return xdsserver.Config{
		Hash:     hash(xdsserver.Header("x-user")),
		Clusters: []xdsserver.Cluster{fleet(t, `{}`, xdsserver.OneLocality(addrs...))},
	}
}

func withUser(ctx context.Context, user string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "x-user", user)
}

// A plan is where calls have to go: a table of the endpoints' keys.
type plan struct{ *maglev.Table }

func planOf(t testing.TB, names ...string) plan {
	t.Helper()
	backends := make([]maglev.Backend, len(names))
	for i, name := range names {
		backends[i].Name = name
	}
	table, err := maglev.New(backends, maglev.Options{})
	require.NoError(t, err)
	return plan{table}
}

// at returns the backend of a key.
func (p plan) at(key string) string { return p.Backend(p.Lookup(maglev.XXHash(key, 0))).Name }

// key returns a key whose first candidates are these.
func (p plan) key(t testing.TB, first ...string) string {
	t.Helper()
	for n := range 100_000 {
		key := strconv.Itoa(n)
		var candidates []string
		for i := range p.Candidates(maglev.XXHash(key, 0)) {
			if candidates = append(candidates, p.Backend(i).Name); len(candidates) == len(first) {
				break
			}
		}
		if slices.Equal(candidates, first) {
			return key
		}
	}
	require.FailNow(t, "no key", "%v", first)
	return ""
}

// requireOne makes calls, which have to go to one of the servers, and returns it.
func requireOne(t testing.TB, c *client, ctx context.Context, among ...string) string {
	t.Helper()
	first, err := c.call(ctx)
	require.NoError(t, err)
	require.Contains(t, among, first)
	for range 99 {
		next, err := c.call(ctx)
		require.NoError(t, err)
		require.Equal(t, first, next)
	}
	return first
}

// requireShares makes calls, of which each server has to get its share. Of n calls a
// share of p is np in the mean, with a standard deviation of sqrt(np(1-p)). More than
// six of those are a matter of one run in 500 million.
func requireShares(t testing.TB, c *client, want map[string]float64) {
	t.Helper()
	const n = 1000
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	got := make(map[string]int)
	for range n {
		addr, err := c.call(ctx)
		require.NoError(t, err)
		got[addr]++
	}
	require.Len(t, got, len(want))
	for addr, p := range want {
		require.InDelta(t, n*p, got[addr], 6*math.Sqrt(n*p*(1-p)), "of %d calls to %s", n, addr)
	}
}

// await waits for a state of the ClientConn.
func await(t testing.TB, c *client, want connectivity.State) {
	t.Helper()
	ctx := short(t)
	for s := c.GetState(); s != want; s = c.GetState() {
		require.True(t, c.WaitForStateChange(ctx, s), "it stays %v and does not become %v", s, want)
	}
}

// unreachable returns addresses that refuse connections.
func unreachable(t testing.TB, n int) []string {
	t.Helper()
	all := make([]string, n)
	for i := range all {
		port, err := refuse.Take()
		require.NoError(t, err)
		t.Cleanup(func() { _ = port.Close() })
		all[i] = port.Addr()
	}
	return all
}

// retrySoon has connections tried again soon. An attempt has as long as it likes.
var retrySoon = grpc.WithConnectParams(grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 10 * time.Millisecond, Multiplier: 1, MaxDelay: 10 * time.Millisecond},
	MinConnectTimeout: time.Minute,
})

// An outcome is that of a call: who has answered, or why nobody has.
type outcome struct {
	addr string
	err  error
}

// start makes a call in the background.
func start(c *client, ctx context.Context, opts ...grpc.CallOption) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		addr, err := c.call(ctx, opts...)
		done <- outcome{addr, err}
	}()
	return done
}

const (
	soon  = 20 * time.Second      // what has to happen does by then
	quiet = 50 * time.Millisecond // what must not happen would by then, mostly
)
