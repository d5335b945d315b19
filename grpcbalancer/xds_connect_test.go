package grpcbalancer_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"github.com/maglev-lb/maglev/grpcbalancer/internal/xdsserver"
)

func TestXDSIdleToReady(t *testing.T) {
	server, door := serve(t, "127.0.0.1:0"), newGate()
	_, c := dialXDS(t, byHeader(t, server.addr), door.option())
	await(t, c, connectivity.Idle)
	done := start(c, withUser(short(t), "user-42"))
	require.Equal(t, server.addr, door.next(soon))
	await(t, c, connectivity.Connecting)
	door.decide(t, server.addr, nil)
	require.Equal(t, outcome{server.addr, nil}, <-done)
	await(t, c, connectivity.Ready)
}

// startAndCancel makes a call, waits until it has somebody try to connect to want, and
// cancels it.
func startAndCancel(t testing.TB, c *client, ctx context.Context, door *gate, want string) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	done := start(c, ctx)
	require.Equal(t, want, door.next(soon))
	cancel()
	require.Equal(t, codes.Canceled, status.Code((<-done).err))
}

// A call that has had somebody connect may end before that is done: the connection is
// made all the same, to the next endpoint if the first one fails.
func TestXDSConnectsOnWithoutCalls(t *testing.T) {
	live, dead, door := serve(t, "127.0.0.1:0").addr, unreachable(t, 1)[0], newGate()
	_, c := dialXDS(t, byHeader(t, live, dead), door.option())
	ctx, cancel := context.WithCancel(withUser(short(t), planOf(t, live, dead).key(t, dead)))
	done := start(c, ctx)
	require.Equal(t, dead, door.next(soon))
	door.decide(t, dead, nil)
	require.Equal(t, live, door.next(soon))
	cancel()
	require.Equal(t, codes.Canceled, status.Code((<-done).err))
	door.decide(t, live, nil)
	await(t, c, connectivity.Ready)
}

// As long as nobody is READY, each endpoint that fails has one more connect, without
// calls; and those that have failed go on trying.
func TestXDSConnectsOneMoreForEachFailure(t *testing.T) {
	all, door := addrs(servers(t, 4)), newGate()
	_, c := dialXDS(t, byHeader(t, all...), door.option(), retrySoon)
	at := all[0]
	startAndCancel(t, c, withUser(short(t), planOf(t, all...).key(t, at)), door, at)
	for i := range all {
		require.Empty(t, door.next(quiet), "while %d connect or have failed", i+1)
		door.decide(t, at, errClosed)
		if i < len(all)-1 {
			at = door.next(soon)
			require.Contains(t, all, at)
		}
	}
	await(t, c, connectivity.TransientFailure)
	door.decide(t, all[1], nil)
	await(t, c, connectivity.Ready)
}

// twoFailOneIsReady returns a client of four servers. Two have failed, and go on trying in
// vain; one is READY, and the last has not been asked for.
func twoFailOneIsReady(t *testing.T) (s *xdsserver.Server, c *client, door *gate, all []*server, ready *server) {
	all, door = servers(t, 4), newGate()
	names := addrs(all)
	s, c = dialXDS(t, byHeader(t, names...), door.option(), retrySoon)
	startAndCancel(t, c, withUser(short(t), planOf(t, names...).key(t, names[0])), door, names[0])
	door.decide(t, names[0], errClosed)
	door.decide(t, door.next(soon), errClosed)
	await(t, c, connectivity.TransientFailure)
	at := door.next(soon)
	door.decide(t, at, nil)
	await(t, c, connectivity.Ready)
	for _, server := range all {
		if server.addr == at {
			ready = server
		}
	}
	require.Empty(t, door.next(quiet), "nobody else connects while one is READY")
	return s, c, door, all, ready
}

// The state is TRANSIENT_FAILURE once the only READY endpoint is lost, as two others have
// failed; nobody calls, so the policy itself has the IDLE ones connect.
func TestXDSRecoversWhenTheReadyOneIsLost(t *testing.T) {
	_, c, door, _, ready := twoFailOneIsReady(t)
	ready.Stop()
	await(t, c, connectivity.TransientFailure)
	// The one that is lost is IDLE as well, and may come first.
	last := door.letNext(t, ready.addr)
	await(t, c, connectivity.Ready)
	got, err := c.call(withUser(short(t), "user-42"))
	require.NoError(t, err)
	require.Equal(t, last, got)
}

func TestXDSRecoversWhenTheReadyOneIsRemoved(t *testing.T) {
	s, c, door, all, ready := twoFailOneIsReady(t)
	var rest []string
	for _, server := range all {
		if server != ready {
			rest = append(rest, server.addr)
		}
	}
	require.NoError(t, s.Set(byHeader(t, rest...)))
	await(t, c, connectivity.TransientFailure)
	last := door.next(soon)
	require.Contains(t, rest, last)
	door.decide(t, last, nil)
	await(t, c, connectivity.Ready)
	got, err := c.call(withUser(short(t), "user-42"), grpc.WaitForReady(true))
	require.NoError(t, err)
	require.Equal(t, last, got)
}

func TestXDSFirstCandidateFails(t *testing.T) {
	live, dead := serve(t, "127.0.0.1:0").addr, unreachable(t, 1)[0]
	_, c := dialXDS(t, byHeader(t, live, dead))
	got, err := c.call(withUser(short(t), planOf(t, live, dead).key(t, dead)))
	require.NoError(t, err)
	require.Equal(t, live, got)
}

// A cluster without endpoints fails calls. When it has some, the state is IDLE, and
// calls that wait must come to know of it.
func TestXDSEndpointsAfterNone(t *testing.T) {
	s, c := dialXDS(t, byHeader(t))
	await(t, c, connectivity.Idle)
	ctx := withUser(short(t), "user-42")
	_, err := c.call(ctx)
	require.Equal(t, codes.Unavailable, status.Code(err), err)
	await(t, c, connectivity.TransientFailure)

	waiting := start(c, ctx, grpc.WaitForReady(true))
	one := serve(t, "127.0.0.1:0").addr
	require.NoError(t, s.Set(byHeader(t, one)))
	require.Equal(t, outcome{one, nil}, <-waiting)
	await(t, c, connectivity.Ready)
}

// Two servers are down and two endpoints have none. Whichever server comes up is found
// without calls, and calls find it, though they have other candidates before it.
func TestXDSTheOnlyReadyOneIsFound(t *testing.T) {
	x, y := serve(t, "127.0.0.1:0"), serve(t, "127.0.0.1:0")
	all := append(unreachable(t, 2), x.addr, y.addr)
	_, c := dialXDS(t, byHeader(t, all...), retrySoon)
	x.Stop()
	y.Stop()
	ctx := withUser(short(t), planOf(t, all...).key(t, x.addr, all[0], all[1], y.addr))
	_, err := c.call(ctx)
	require.Equal(t, codes.Unavailable, status.Code(err), err)
	await(t, c, connectivity.TransientFailure)

	x = serve(t, x.addr)
	await(t, c, connectivity.Ready)
	requireOne(t, c, ctx, x.addr)

	x.Stop()
	await(t, c, connectivity.TransientFailure)
	_, err = c.call(ctx)
	require.Equal(t, codes.Unavailable, status.Code(err), err)

	serve(t, y.addr)
	await(t, c, connectivity.Ready)
	requireSoon(t, c, ctx, y.addr)
	requireOne(t, c, ctx, y.addr)
}

func TestXDSRecoversAloneWhenAllWereDown(t *testing.T) {
	server := serve(t, "127.0.0.1:0")
	_, c := dialXDS(t, byHeader(t, server.addr), retrySoon)
	await(t, c, connectivity.Idle)
	server.Stop()
	_, err := c.call(withUser(short(t), "user-42"))
	require.Equal(t, codes.Unavailable, status.Code(err), err)
	await(t, c, connectivity.TransientFailure)
	serve(t, server.addr)
	await(t, c, connectivity.Ready)
}
