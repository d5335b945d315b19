package grpcbalancer_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer"
)

// hold begins a call that goes on until the context ends, and returns who has it.
func (c *client) hold(ctx context.Context) (string, error) {
	watch, err := healthpb.NewHealthClient(c).Watch(ctx, new(healthpb.HealthCheckRequest))
	if err != nil {
		return "", err
	}
	if _, err := watch.Recv(); err != nil {
		return "", err
	}
	p, _ := peer.FromContext(watch.Context())
	return p.Addr.String(), nil
}

// The bound keeps a hot key from putting all of its calls on one backend, and eight are
// never too many.
func TestBoundedLoad(t *testing.T) {
	all := addrs(servers(t, 4))
	c := dial(t, `{"hashBalanceFactor":100}`, endpoints(all...))
	ctx, cancel := context.WithCancel(grpcbalancer.WithKey(short(t), "hot"))
	defer cancel()
	inFlight := make(map[string]int)
	for range 80 {
		got, err := c.hold(ctx)
		require.NoError(t, err)
		inFlight[got]++
		if n := inFlight[order(t, maglev.XXHash("hot", 0), all...)[0]]; len(inFlight) == 1 {
			require.LessOrEqual(t, n, 9)
		} else {
			require.GreaterOrEqual(t, n, 9)
		}
	}
	require.Len(t, inFlight, 4)
	for _, n := range inFlight {
		require.LessOrEqual(t, n, 80/4+1) // Envoy compares what is there before the request
	}
	cancel()
	require.Eventually(t, func() bool { // calls that have ended do not count
		got, err := c.call(grpcbalancer.WithKey(short(t), "hot"))
		return err == nil && got == order(t, maglev.XXHash("hot", 0), all...)[0]
	}, 10*time.Second, 10*time.Millisecond)
}

// Calls without a key are bounded like all others.
func TestBoundedLoadWithoutAKey(t *testing.T) {
	all := addrs(servers(t, 4))
	c := dial(t, `{"requestHashHeader":"x-user","hashBalanceFactor":100}`, endpoints(all...))
	inFlight := make(map[string]int)
	for range 400 {
		got, err := c.hold(short(t))
		require.NoError(t, err)
		inFlight[got]++
	}
	require.Len(t, inFlight, 4)
	for _, n := range inFlight {
		require.LessOrEqual(t, n, 400/4+1, "%v", inFlight)
	}
}

// A call above the bound that waits for a backend to be connected to goes to one that is
// connected as soon as that has room: because another call ends there, or because it is
// connected now.
func TestCallsAboveTheBoundDoNotWaitForOneThatHangs(t *testing.T) {
	all := addrs(servers(t, 3))
	candidates := order(t, maglev.XXHash("hot", 0), all...)
	g := newGate()
	c := dial(t, `{"hashBalanceFactor":100}`, endpoints(all...), g.option(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: time.Hour}))
	hot := grpcbalancer.WithKey(short(t), "hot")
	type outcome struct {
		addr string
		err  error
	}
	waiting := func() <-chan outcome {
		got := make(chan outcome, 1)
		go func() {
			addr, err := c.hold(hot)
			got <- outcome{addr, err}
		}()
		return got
	}
	held, end := context.WithCancel(hot)
	defer end()
	go func() { _, _ = c.hold(held) }()
	require.Equal(t, candidates[0], g.next(soon))
	g.decide(t, candidates[0], nil)
	for range 8 {
		got, err := c.hold(hot)
		require.NoError(t, err)
		require.Equal(t, candidates[0], got)
	}

	tenth := waiting()
	require.Equal(t, candidates[1], g.next(soon))
	require.Empty(t, tenth)
	end()
	require.Equal(t, outcome{candidates[0], nil}, <-tenth)

	eleventh := waiting()
	require.Equal(t, "", g.next(20*time.Millisecond)) // the second one is still waited for
	require.Empty(t, eleventh)
	other := grpcbalancer.WithHash(short(t), homeOf(t, candidates[2], all...))
	go func() { _, _ = c.call(other) }() // a key of the third has it connected
	require.Equal(t, candidates[2], g.next(soon))
	g.decide(t, candidates[2], nil)
	require.Equal(t, outcome{candidates[2], nil}, <-eleventh)
}

// homeOf returns a hash whose first candidate is addr.
func homeOf(t testing.TB, addr string, all ...string) uint64 {
	t.Helper()
	for hash := range uint64(1000) {
		if order(t, hash, all...)[0] == addr {
			return hash
		}
	}
	require.FailNow(t, "no hash of 1000 has it", addr)
	return 0
}
