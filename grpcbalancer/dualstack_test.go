package grpcbalancer_test

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/resolver"
)

// refusing returns an address that refuses connections: it is one end of a connection,
// so that nobody else can be given it.
func refusing(t testing.TB, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

// Of an endpoint with an IPv4 and an IPv6 address, the first one decides which keys it
// has, and they are served by whichever can be reached: the next is tried if one
// refuses, or does not answer soon (RFC 8305). Only if both fail do the keys move.
func TestDualStack(t *testing.T) {
	if l, err := net.Listen("tcp6", "[::1]:0"); err != nil {
		t.Skipf("there is no IPv6 on loopback here: %v", err)
	} else {
		require.NoError(t, l.Close())
	}
	live4, live6 := func() string { return serve(t, "127.0.0.1:0").addr }, func() string { return serve(t, "[::1]:0").addr }
	first, stopped := serve(t, "127.0.0.1:0"), serve(t, "[::1]:0")
	pairs := []struct {
		addrs  [2]string
		serves int // the index of the address that calls go to, -1 if none does
	}{
		{[2]string{first.addr, live6()}, 0},
		{[2]string{live6(), live4()}, 0},
		{[2]string{live4(), refusing(t, "::1")}, 0},
		{[2]string{refusing(t, "127.0.0.1"), live6()}, 1},
		{[2]string{refusing(t, "::1"), live4()}, 1},
		{[2]string{hang(t).Addr().String(), live6()}, 1},
		{[2]string{refusing(t, "::1"), refusing(t, "127.0.0.1")}, -1},
		{[2]string{stopped.addr, live4()}, 0},
	}
	eps := make([]resolver.Endpoint, len(pairs))
	names := make([]string, len(pairs))
	serves := make(map[string]string) // by name; "" if nobody does
	for i, p := range pairs {
		eps[i].Addresses = []resolver.Address{{Addr: p.addrs[0]}, {Addr: p.addrs[1]}}
		names[i] = p.addrs[0]
		if p.serves >= 0 {
			serves[names[i]] = p.addrs[p.serves]
		}
	}
	want := func(k *key) string {
		if addr := serves[k.candidates[0]]; addr != "" {
			return addr
		}
		return serves[k.candidates[1]]
	}
	c := dial(t, byUser, eps, retrySoon)
	all := keys(t, 300, names...)
	for i := range all { // the first call already, none fails
		got, err := c.callKey(short(t), &all[i])
		require.NoError(t, err)
		require.Equal(t, want(&all[i]), got)
	}

	// The other address takes over, and the keys stay with the endpoint.
	stopped.Stop()
	serves[stopped.addr] = pairs[7].addrs[1]
	settle(t, c, all, want)

	// A resolver that lists the addresses in another order gives the endpoint another
	// name, and it stays connected as it is.
	accepted := first.conns()
	eps[0].Addresses[0], eps[0].Addresses[1] = eps[0].Addresses[1], eps[0].Addresses[0]
	c.set(eps)
	names[0] = pairs[0].addrs[1]
	serves[names[0]] = first.addr
	all = keys(t, 300, names...)
	settle(t, c, all, want)
	require.Equal(t, accepted, first.conns())
}

// Updates that change nothing for an endpoint do not have it begin anew with its first
// address, which hangs: it comes to the second one in the midst of them.
func TestUpdatesLetAnEndpointComeToItsNextAddress(t *testing.T) {
	live := serve(t, "127.0.0.1:0")
	dual := resolver.Endpoint{Addresses: []resolver.Address{{Addr: hang(t).Addr().String()}, {Addr: live.addr}}}
	c := dial(t, byUser, []resolver.Endpoint{dual})
	call := queue(short(t), c, &key{name: "user-42"})
	for done := false; !done; {
		c.set([]resolver.Endpoint{dual})
		select {
		case <-call.done:
			done = true
		case <-time.After(20 * time.Millisecond): // less than the 250 ms after which the next is tried
		}
	}
	got, err := call.result(t)
	require.NoError(t, err)
	require.Equal(t, live.addr, got)
}
