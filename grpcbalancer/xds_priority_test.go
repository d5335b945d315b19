package grpcbalancer_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"

	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
)

// aggregate is a service of a cluster that is made of others, in the order of
// preference. It has the policy for all of them.
func aggregate(t testing.TB, parts ...xdsserver.Cluster) xdsserver.Config {
	t.Helper()
	whole := fleet(t, `{}`, nil)
	for _, part := range parts {
		whole.Aggregate = append(whole.Aggregate, part.Name)
	}
	return xdsserver.Config{
		Hash:     hash(xdsserver.ChannelID()),
		Clusters: append([]xdsserver.Cluster{whole}, parts...),
	}
}

func TestXDSAggregateFallsBackAtStartup(t *testing.T) {
	all := addrs(servers(t, 2))
	_, c := dialXDS(t, aggregate(t,
		xdsserver.Cluster{Name: "first", Localities: xdsserver.OneLocality(unreachable(t, 2)...)},
		xdsserver.Cluster{Name: "second", Localities: xdsserver.OneLocality(all...)},
	))
	requireOne(t, c, short(t), all...)
}

// An IP address in the place of a DNS name spares asking for it.
func TestXDSAggregateFallsBackToDNS(t *testing.T) {
	server := serve(t, "127.0.0.1:0")
	_, c := dialXDS(t, aggregate(t,
		xdsserver.Cluster{Name: "first", Localities: xdsserver.OneLocality(unreachable(t, 1)...)},
		xdsserver.Cluster{Name: "dns", DNS: server.addr},
	))
	requireOne(t, c, short(t), server.addr)
}

// Calls wait for the second cluster while it connects. They must not get an error of
// the first, which stays in TRANSIENT_FAILURE.
func TestXDSAggregateFallsBackToDNSWithoutFailedCalls(t *testing.T) {
	server, door, dead := serve(t, "127.0.0.1:0"), newGate(), unreachable(t, 1)[0]
	_, c := dialXDS(t, aggregate(t,
		xdsserver.Cluster{Name: "first", Localities: xdsserver.OneLocality(dead)},
		xdsserver.Cluster{Name: "dns", DNS: server.addr},
	), door.option(), grpc.WithConnectParams(grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: time.Hour, Multiplier: 1, MaxDelay: time.Hour},
		MinConnectTimeout: time.Minute,
	}))
	ctx := short(t)
	first := start(c, ctx)
	require.Equal(t, dead, door.next(soon))
	door.decide(t, dead, errClosed)
	require.Equal(t, server.addr, door.next(soon))
	await(t, c, connectivity.Connecting)
	second := start(c, ctx) // the first one may wait because nobody has woken it
	require.Empty(t, door.next(quiet))
	select {
	case done := <-second:
		require.FailNow(t, "the second call does not wait", "%v", done)
	default:
	}
	door.decide(t, server.addr, nil)
	require.Equal(t, outcome{server.addr, nil}, <-first)
	require.Equal(t, outcome{server.addr, nil}, <-second)
}

// When the endpoints of a priority fail, calls go to the next one, and they come back, as
// often as that happens. (gRPC keeps the policy of a priority that it leaves, and compares
// builders when it takes that up again.)
func TestXDSLowerPriorityAndBack(t *testing.T) {
	preferred, other := serve(t, "127.0.0.1:0"), serve(t, "127.0.0.1:0")
	config := byHeader(t)
	config.Clusters[0].Localities = append(xdsserver.OneLocality(preferred.addr), xdsserver.OneLocality(other.addr)...)
	config.Clusters[0].Localities[1].Priority = 1
	_, c := dialXDS(t, config, retrySoon)
	ctx := withUser(short(t), "user-42")
	requireOne(t, c, ctx, preferred.addr)
	for range 3 {
		preferred.Stop()
		requireSoon(t, c, ctx, other.addr)
		requireOne(t, c, ctx, other.addr)
		preferred = serve(t, preferred.addr)
		requireSoon(t, c, ctx, preferred.addr)
		requireOne(t, c, ctx, preferred.addr)
	}
}
