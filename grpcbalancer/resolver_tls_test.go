package grpcbalancer_test

import (
	"crypto/tls"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/maglev-lb/maglev/grpcbalancer"
)

// port starts a server with a certificate for a name, and returns its port.
func (a *authority) port(t testing.TB, addr, name string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(a.serve(t, addr, name).addr)
	require.NoError(t, err)
	return port
}

// dial returns a client whose connections are mutual TLS.
func (a *authority) dial(t testing.TB, target, serverName string, opts ...grpc.DialOption) *client {
	t.Helper()
	cc, err := grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"maglev":{}}]}`),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
			Certificates: []tls.Certificate{a.issue(t, "client.example")}, RootCAs: a.pool(), ServerName: serverName,
		})),
	}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = cc.Close() })
	return &client{ClientConn: cc}
}

// authorities makes calls and returns the :authority of each backend.
func (c *client) authorities(t testing.TB, n int) map[string]bool {
	t.Helper()
	all := make(map[string]bool)
	for i := uint64(0); len(all) < n; i++ {
		require.Less(t, i, uint64(1000), "only %v", all)
		var header metadata.MD
		_, err := c.call(grpcbalancer.WithHash(short(t), i*0x9E3779B97F4A7C15), grpc.Header(&header))
		require.NoError(t, err)
		all[header.Get("x-authority")[0]] = true
	}
	return all
}

// A target without a name has each backend prove that it is what its address says.
func TestBackendsAreTheirOwnNames(t *testing.T) {
	ca := newAuthority(t)
	ip := "127.0.0.1:" + ca.port(t, "127.0.0.1:0", "127.0.0.1")
	host := "localhost:" + ca.port(t, "localhost:0", "localhost")
	named := "127.0.0.1:" + ca.port(t, "127.0.0.1:0", "cache-b.example")
	c := ca.dial(t, "maglev:///"+ip+","+host+","+named+";name=cache-b.example", "")
	require.Equal(t, map[string]bool{ip: true, host: true, "cache-b.example": true}, c.authorities(t, 3))

	// The certificate is for another one.
	for _, target := range []string{"maglev:///" + named, "maglev:///" + ip + ";name=localhost", "maglev://localhost/" + ip} {
		_, err := ca.dial(t, target, "").call(grpcbalancer.WithHash(short(t), 1))
		require.Equal(t, codes.Unavailable, status.Code(err), target)
		require.ErrorContains(t, err, "failed to verify certificate: x509: ", target)
	}
}

// A target with a name, an option and the credentials have all backends prove that they
// are that.
func TestBackendsHaveTheNameOfTheTarget(t *testing.T) {
	ca := newAuthority(t)
	list := "/127.0.0.1:" + ca.port(t, "127.0.0.1:0", "cache.example") + ",127.0.0.1:" + ca.port(t, "127.0.0.1:0", "cache.example")
	for want, c := range map[string]*client{
		"cache.example:443": ca.dial(t, "maglev://cache.example:443"+list, ""),
		"cache.example":     ca.dial(t, "maglev://"+list, "", grpc.WithAuthority("cache.example")),
		"Cache.Example":     ca.dial(t, "maglev://"+list, "Cache.Example"),
		"CACHE.example":     ca.dial(t, "maglev://other.example"+list, "CACHE.example"),
	} {
		require.Equal(t, map[string]bool{want: true}, c.authorities(t, 1))
	}
	_, err := ca.dial(t, "maglev://other.example"+list, "").call(grpcbalancer.WithHash(short(t), 1))
	require.ErrorContains(t, err, "not other.example")
}

func TestStaticTargetsOverSockets(t *testing.T) {
	all := addrs(servers(t, 5))
	c := dialTo(t, "maglev:///"+strings.Join(all, ","))
	for i := range 100 {
		hash := uint64(i) * 0x9E3779B97F4A7C15
		got, err := c.call(grpcbalancer.WithHash(short(t), hash))
		require.NoError(t, err)
		require.Equal(t, order(t, hash, all...)[0], got)
	}
}
