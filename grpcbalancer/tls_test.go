package grpcbalancer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"
)

// An authority signs certificates, for the time of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := new(authority)
	signed := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.certificate = signed.Leaf
	return a
}

// sign returns a certificate for what the template says; its own, if there is none yet.
func (a *authority) sign(t testing.TB, template *x509.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent := a.certificate
	if parent == nil {
		parent, a.key = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(raw)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// serveTLS starts a server with a certificate for one name, that wants one of the client.
// It says in a header which authority a call has.
func (a *authority) serveTLS(t testing.TB, name string) *server {
	t.Helper()
	config := &tls.Config{
		Certificates: []tls.Certificate{a.sign(t, &x509.Certificate{DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})},
		ClientCAs:    a.pool(),
		ClientAuth:   tls.RequireAndVerifyClientCert,
	}
	return serve(t, "127.0.0.1:0", grpc.Creds(credentials.NewTLS(config)),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			p, _ := peer.FromContext(ctx)
			md, _ := metadata.FromIncomingContext(ctx)
			client := p.AuthInfo.(credentials.TLSInfo).State.VerifiedChains[0][0].Subject.CommonName
			if err := grpc.SetHeader(ctx, metadata.Pairs("x-authority", md.Get(":authority")[0], "x-client", client)); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}))
}

func (a *authority) client(certificates ...tls.Certificate) grpc.DialOption {
	return grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: a.pool(), Certificates: certificates}))
}

// With mutual TLS each backend has a certificate for its own name, which the resolver
// gives as the address's ServerName. One whose certificate is for another name is
// refused: its keys go to others, and if there are none, the error says why.
func TestMutualTLS(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	template := func() *x509.Certificate {
		return &x509.Certificate{Subject: pkix.Name{CommonName: "the client"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	}
	own := a.sign(t, template())
	const wrong = 2
	eps := make([]resolver.Endpoint, 5)
	names := make([]string, len(eps))
	authorities := make(map[string]string)
	for i := range eps {
		name := fmt.Sprintf("cache-%d.test", i)
		addr := resolver.Address{Addr: a.serveTLS(t, name).addr, ServerName: name}
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
		require.Equal(t, []string{"the client"}, header.Get("x-client"))
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
		"the client is signed by a stranger": {eps[0], a.client(stranger.sign(t, template())), ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, byUser, []resolver.Endpoint{bad.endpoint}, bad.client)
			_, err := c.callKey(short(t), &all[0])
			require.Equal(t, codes.Unavailable, status.Code(err))
			require.ErrorContains(t, err, bad.want)
		})
	}
}
