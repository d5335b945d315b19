package grpcbalancer_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// All backends are restarted one after another under load, as a deployment does it:
// GOAWAY, an end of the calls in flight, and a new server at the same port. No call
// fails, though none waits for ready: what was in flight is finished, and what the old
// server has not begun is sent again. Keys of backends that are not being restarted
// stay where they are.
func TestRollingRestart(t *testing.T) {
	fleet := servers(t, 5)
	names := addrs(fleet)
	keys := keys(t, 500, names...)
	c := dial(t, byUser, endpoints(names...), retrySoon)
	var restarting atomic.Pointer[server] // the last one that has begun to restart
	var calls atomic.Int64
	stop := load(t, 8, keys, func(ctx context.Context, _ int, k *key) error {
		before := restarting.Load()
		got, err := c.callKey(ctx, k)
		after := restarting.Load()
		calls.Add(1)
		if err != nil {
			return err
		}
		down := func(s *server) bool { return s != nil && s.addr == home(k) }
		if got == home(k) || got == k.candidates[1] && (down(before) || down(after)) {
			return nil
		}
		return fmt.Errorf("it went to %s", got)
	})
	settle(t, c, keys, home)
	for _, s := range fleet {
		restarting.Store(s)
		s.GracefulStop()
		restarted := serve(t, s.addr)
		settle(t, c, keys, home)
		require.Positive(t, restarted.conns())
	}
	stop()
	t.Logf("%d calls", calls.Load())
}

// A backend that goes away for good takes its calls in flight to their end, and its
// keys go to their next candidates.
func TestGracefulStopFinishesWhatIsInFlight(t *testing.T) {
	fleet := servers(t, 3, echo())
	names := addrs(fleet)
	c := dial(t, byUser, endpoints(names...), retrySoon)
	k := &keys(t, 1, names...)[0]
	i := slices.Index(names, home(k))
	s := openStream(t, c, k)
	require.Equal(t, home(k), s.peer(t))

	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		fleet[i].GracefulStop()
	}()
	settle(t, c, []key{*k}, func(k *key) string { return k.candidates[1] })
	for range 10 {
		s.echo(t)
	}
	s.end(t)
	<-stopped
	settle(t, c, []key{*k}, func(k *key) string { return k.candidates[1] })
}

// Backends that end each connection after a while (MaxConnectionAge) make no call fail and
// no key move: calls wait for the next connection.
func TestConnectionsOfLimitedAge(t *testing.T) {
	fleet := servers(t, 5, grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 50 * time.Millisecond}))
	names := addrs(fleet)
	c := dial(t, byUser, endpoints(names...))
	stop := load(t, 8, keys(t, 500, names...), func(ctx context.Context, _ int, k *key) error {
		got, err := c.callKey(ctx, k)
		if err == nil && got != home(k) {
			err = fmt.Errorf("it went to %s", got)
		}
		return err
	})
	for _, s := range fleet {
		require.Eventually(t, func() bool { return s.conns() >= 20 }, time.Minute, 10*time.Millisecond)
	}
	stop()
}
