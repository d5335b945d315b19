package grpcbalancer_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/balancer/weight"
)

// A dialer connects whatever address it is asked for to one server, and counts.
type dialer struct {
	to string

	mu    sync.Mutex
	dials map[string]int
}

func (d *dialer) dial(ctx context.Context, addr string) (net.Conn, error) {
	d.mu.Lock()
	d.dials[addr]++
	d.mu.Unlock()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.to)
	if err != nil {
		return nil, err
	}
	return &namedConn{conn, namedAddr(addr)}, nil
}

func (d *dialer) counts() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	counts := make(map[string]int, len(d.dials))
	for addr, n := range d.dials {
		counts[addr] = n
	}
	return counts
}

// A namedConn is one to the address that was asked for.
type namedConn struct {
	net.Conn
	remote namedAddr
}

func (c *namedConn) RemoteAddr() net.Addr { return c.remote }

type namedAddr string

func (namedAddr) Network() string  { return "tcp" }
func (a namedAddr) String() string { return string(a) }

// Of a thousand endpoints, those are connected to which calls have gone, each once. They
// stay so over updates that change nothing for them, and nobody else is connected then.
func TestAThousandEndpointsAreConnectedAsNeeded(t *testing.T) {
	d := &dialer{to: servers(t, 1)[0].addr, dials: make(map[string]int)}
	eps := many(1000)
	names := make([]string, len(eps))
	for i := range eps {
		names[i] = eps[i].Addresses[0].Addr
	}
	c := dial(t, byUser, eps, grpc.WithContextDialer(d.dial))
	require.Equal(t, connectivity.Idle, c.GetState())

	want := make(map[string]int)
	calls := func(keys []key) {
		t.Helper()
		for i := range keys {
			want[home(&keys[i])] = 1
			got, err := c.callKey(short(t), &keys[i])
			require.NoError(t, err)
			require.Equal(t, home(&keys[i]), got)
		}
		require.Equal(t, want, d.counts())
	}
	all := keys(t, 200, names...)
	calls(all[:50])
	for i := range 20 {
		eps[i*7%1000] = weight.Set(eps[i*7%1000], weight.EndpointInfo{Weight: 1}) // as it was
		eps[i], eps[999-i] = eps[999-i], eps[i]
		c.set(eps)
		calls(all[:50])
	}
	calls(all)
}

// A call without a key and with nobody READY connects one endpoint, however many calls
// wait for it.
func TestCallsWithoutAKeyConnectOne(t *testing.T) {
	d := &dialer{to: servers(t, 1)[0].addr, dials: make(map[string]int)}
	hold := make(chan struct{})
	c := dial(t, byUser, many(1000), grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := d.dial(ctx, addr)
		<-hold
		return conn, err
	}))
	const calls = 50
	errs := make(chan error, calls)
	for range calls {
		go func() {
			_, err := c.call(short(t))
			errs <- err
		}()
	}
	require.Eventually(t, func() bool { return len(d.counts()) > 0 }, 20*time.Second, time.Millisecond)
	for range 20 { // more, which do not wait
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		_, err := c.call(ctx)
		cancel()
		require.Error(t, err)
	}
	require.Len(t, d.counts(), 1)
	close(hold)
	for range calls {
		require.NoError(t, <-errs)
	}
}
