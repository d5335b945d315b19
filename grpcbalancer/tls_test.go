package grpcbalancer_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
)

// With mutual TLS each backend has a certificate for its own name, which the resolver
// gives as the address's ServerName. One whose certificate is for another name is
// refused: its keys go to others, and if there are none, the error says why.
func TestMutualTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	own := a.issue(t, "client.example")
	const wrong = 2
	eps := make([]resolver.Endpoint, 5)
	names := make([]string, len(eps))
	authorities := make(map[string]string)
	for i := range eps {
		name := fmt.Sprintf("cache-%d.test", i)
		addr := resolver.Address{Addr: a.serve(t, "127.0.0.1:0", name).addr, ServerName: name}
		if i == wrong {
			addr.ServerName = "another.test"
		}
		eps[i].Addresses = []resolver.Address{addr}
		names[i], authorities[addr.Addr] = addr.Addr, name
	}
	c := dial(t, byUser, eps, a.client(own), retrySoon)
	want := unless(names[wrong])
	all := keys(t, 200, names...)
	for i := range all {
		var header metadata.MD
		got, err := c.callKey(short(t), &all[i], grpc.Header(&header))
		require.NoError(t, err)
		require.Equal(t, want(&all[i]), got)
		require.Equal(t, []string{authorities[got]}, header.Get("x-authority"))
		require.Equal(t, []string{"client.example"}, header.Get("x-client"))
	}

	// The resolver puts the name right, and the keys come back.
	eps[wrong].Addresses = []resolver.Address{{Addr: names[wrong], ServerName: authorities[names[wrong]]}}
	c.set(eps)
	settle(t, c, all, home)

	for name, bad := range map[string]struct {
		endpoint resolver.Endpoint
		client   grpc.DialOption
		want     string
	}{
		"the backend has another name": {
			resolver.Endpoint{Addresses: []resolver.Address{{Addr: names[0], ServerName: "another.test"}}},
			a.client(own), "certificate is valid for cache-0.test, not another.test"},
		"the backend is signed by a stranger": {eps[0], stranger.client(own), "certificate signed by unknown authority"},
		// With TLS 1.3 the client is through with the handshake before the backend has
		// looked at its certificate: it learns why, or that the connection is closed.
		"the client has no certificate":      {eps[0], a.client(), ""},
		"the client is signed by a stranger": {eps[0], a.client(stranger.issue(t, "client.example")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, byUser, []resolver.Endpoint{bad.endpoint}, bad.client)
			_, err := c.callKey(short(t), &all[0])
			require.Equal(t, codes.Unavailable, status.Code(err))
			require.ErrorContains(t, err, bad.want)
		})
	}
}
