package grpcbalancer_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/maglev-lb/maglev/internal/refuse"
)

// A hanging is a listener whose connections get no answer, so that an endpoint there
// stays CONNECTING. A server may take it over.
type hanging struct {
	net.Listener
	conns chan net.Conn
}

func hang(t testing.TB) *hanging {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &hanging{l, make(chan net.Conn, 1000)}
	go func() {
		defer close(h.conns)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			h.conns <- c
		}
	}()
	t.Cleanup(h.fail)
	return h
}

// connected waits for a connection.
func (h *hanging) connected(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool { return len(h.conns) > 0 }, 15*time.Second, time.Millisecond)
}

func (h *hanging) Accept() (net.Conn, error) {
	c, ok := <-h.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

// fail closes the listener and its connections.
func (h *hanging) fail() {
	_ = h.Close()
	for c := range h.conns {
		_ = c.Close()
	}
}

// A queued call is one that waits for a connection.
type queued struct {
	addr string
	err  error
	done chan struct{}
}

func queue(ctx context.Context, c *client, k *key, opts ...grpc.CallOption) *queued {
	q := &queued{done: make(chan struct{})}
	go func() {
		defer close(q.done)
		q.addr, q.err = c.callKey(ctx, k, opts...)
	}()
	return q
}

// result waits for the end of the call.
func (q *queued) result(t testing.TB) (string, error) {
	t.Helper()
	select {
	case <-q.done:
		return q.addr, q.err
	case <-time.After(15 * time.Second): // less than a connection may take
		require.Fail(t, "the call still waits")
		return "", nil
	}
}

func (q *queued) waits(t testing.TB) {
	t.Helper()
	select {
	case <-q.done:
		require.Fail(t, "the call does not wait", "it went to %q with error %v", q.addr, q.err)
	default:
	}
}

// Calls whose endpoint hangs wait, and each wakes when there is something new for it.
func TestQueuedCallsWake(t *testing.T) {
	other := servers(t, 1)[0]
	for name, then := range map[string]func(t *testing.T, c *client, l *hanging, cancel context.CancelFunc) (want string, code codes.Code){
		"the endpoint is removed": func(_ *testing.T, c *client, _ *hanging, _ context.CancelFunc) (string, codes.Code) {
			c.set(endpoints(other.addr))
			return other.addr, codes.OK
		},
		"the endpoint becomes READY": func(t *testing.T, _ *client, l *hanging, _ context.CancelFunc) (string, codes.Code) {
			s := grpc.NewServer()
			healthpb.RegisterHealthServer(s, health.NewServer())
			go func() { _ = s.Serve(l) }()
			t.Cleanup(s.Stop)
			return l.Addr().String(), codes.OK
		},
		"the endpoint fails": func(_ *testing.T, _ *client, l *hanging, _ context.CancelFunc) (string, codes.Code) {
			l.fail()
			return other.addr, codes.OK
		},
		"the context ends": func(_ *testing.T, _ *client, _ *hanging, cancel context.CancelFunc) (string, codes.Code) {
			cancel()
			return "", codes.Canceled
		},
		"the client is closed": func(t *testing.T, c *client, _ *hanging, _ context.CancelFunc) (string, codes.Code) {
			require.NoError(t, c.Close())
			return "", codes.Canceled
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := hang(t)
			all := []string{other.addr, l.Addr().String()}
			c := dial(t, byUser, endpoints(all...), retrySoon)
			var calls []*queued
			ctx, cancel := context.WithCancel(short(t))
			defer cancel()
			for _, k := range keys(t, 50, all...) {
				if home(&k) == l.Addr().String() {
					calls = append(calls, queue(ctx, c, &k), queue(ctx, c, &k, grpc.WaitForReady(true)))
				}
			}
			require.NotEmpty(t, calls)
			l.connected(t)
			for _, q := range calls {
				q.waits(t)
			}
			want, code := then(t, c, l, cancel)
			for _, q := range calls {
				got, err := q.result(t)
				require.Equal(t, code, status.Code(err), "%v", err)
				require.Equal(t, want, got)
			}
		})
	}
}

// Without endpoints, calls fail, and those that wait for ready wait for endpoints.
func TestQueuedCallsWithoutEndpoints(t *testing.T) {
	one := servers(t, 1)[0]
	k := &key{name: "user-42"}
	for want, lose := range map[string]func(c *client){
		"returned no endpoints with addresses": func(c *client) { c.set([]resolver.Endpoint{{}, {}}) },
		"it is at a loss": func(c *client) {
			c.set(endpoints())
			c.resolver.CC().ReportError(errors.New("it is at a loss"))
		},
		"desc = it knows nothing": func(c *client) {
			c.set(endpoints())
			c.resolver.CC().ReportError(status.Error(codes.NotFound, "it knows nothing"))
		},
	} {
		t.Run(want, func(t *testing.T) {
			l := hang(t)
			c := dial(t, byUser, endpoints(l.Addr().String()))
			call, waiting := queue(short(t), c, k), queue(short(t), c, k, grpc.WaitForReady(true))
			l.connected(t)
			lose(c)
			_, err := call.result(t)
			require.Equal(t, codes.Unavailable, status.Code(err))
			require.ErrorContains(t, err, "maglev: no endpoints: ")
			require.Eventually(t, func() bool { // ReportError does not wait
				_, err = c.callKey(short(t), k)
				return status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), want)
			}, 10*time.Second, time.Millisecond, "%v", err)
			waiting.waits(t)
			c.set(endpoints(one.addr))
			got, err := waiting.result(t)
			require.NoError(t, err)
			require.Equal(t, one.addr, got)
		})
	}
}

// What the time is up for tells of the wait.
func TestTheEndOfAWait(t *testing.T) {
	l := hang(t)
	c := dial(t, byUser, endpoints(l.Addr().String()))
	ctx, cancel := context.WithTimeout(short(t), 50*time.Millisecond)
	defer cancel()
	_, err := c.callKey(ctx, &key{name: "user-42"})
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	require.ErrorContains(t, err, "waiting for connections to become ready")
}

// With all endpoints refusing, calls that wait for ready do, and the others fail with
// the reason of their first candidate.
func TestWaitForReady(t *testing.T) {
	one, err := refuse.Take()
	require.NoError(t, err)
	defer one.Close()
	other, err := refuse.Take()
	require.NoError(t, err)
	defer other.Close()
	all := []string{one.Addr(), other.Addr()}
	c := dial(t, byUser, endpoints(all...), retrySoon)
	keys := keys(t, 20, all...)
	var calls []*queued
	for i := range keys {
		calls = append(calls, queue(short(t), c, &keys[i], grpc.WaitForReady(true)))
	}
	for i := range keys {
		_, err := c.callKey(short(t), &keys[i])
		require.Equal(t, codes.Unavailable, status.Code(err))
		require.ErrorContains(t, err, home(&keys[i]))
		require.ErrorContains(t, err, "refused")
		calls[i].waits(t)
	}
	s := servers(t, 1)[0]
	c.set(endpoints(all[0], s.addr))
	for _, q := range calls {
		got, err := q.result(t)
		require.NoError(t, err)
		require.Equal(t, s.addr, got)
	}
}

// Close in the midst of connecting, calling and streaming leaves no goroutine.
func TestCloseLeavesNothing(t *testing.T) {
	fleet := servers(t, 5, echo())
	l := hang(t)
	refused, err := refuse.Take()
	require.NoError(t, err)
	defer refused.Close()
	all := append(addrs(fleet), l.Addr().String(), refused.Addr())
	keys, streamed := keys(t, 30, all...), keyOf(t, fleet[0].addr, all)
	before := runtime.NumGoroutine()
	for range 50 {
		c := dial(t, byUser, endpoints(all...), retrySoon)
		var calls []*queued
		for i := range keys {
			calls = append(calls, queue(short(t), c, &keys[i]), queue(short(t), c, &keys[i], grpc.WaitForReady(true)))
		}
		s := openStream(t, c, streamed)
		updated := make(chan struct{})
		go func() {
			defer close(updated)
			for i := range 10 {
				c.set(endpoints(all[i%3:]...))
			}
		}()
		require.NoError(t, c.Close())
		<-updated
		for _, q := range calls {
			if _, err := q.result(t); err != nil {
				require.Contains(t, []codes.Code{codes.Canceled, codes.Unavailable}, status.Code(err), "%v", err)
			}
		}
		require.Equal(t, codes.Canceled, status.Code(s.RecvMsg(new(healthpb.HealthCheckRequest))))
	}
	require.Eventually(t, func() bool {
		for _, s := range fleet {
			if s.openConns() > 0 {
				return false
			}
		}
		return runtime.NumGoroutine() <= before+1 // that which asks
	}, 20*time.Second, 10*time.Millisecond, "connections or goroutines are left")
}

// keyOf returns a key of which a backend is the home.
func keyOf(t testing.TB, addr string, all []string) *key {
	t.Helper()
	for _, k := range keys(t, 1000, all...) {
		if home(&k) == addr {
			return &k
		}
	}
	require.Fail(t, "no key", "none of 1000 belongs to %s", addr)
	return nil
}
