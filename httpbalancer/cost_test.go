package httpbalancer_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// answers is a RoundTripper without a network.
func answers(req *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK,
		Header:     http.Header{},
		Body:       io.NopCloser(strings.NewReader("hello")),
		Request:    req,
	}, nil
}

// eight returns a Transport over eight backends without a network.
func eight(t testing.TB, opts httpbalancer.Options) *httpbalancer.Transport {
	for i := range 8 {
		opts.Backends = append(opts.Backends, httpbalancer.Backend{URL: fmt.Sprintf("http://10.0.0.%d:8080", i+1)})
	}
	opts.Wrap = func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper { return roundTripFunc(answers) }
	return newTransport(t, opts)
}

func cheap(t testing.TB, ctx context.Context, body io.Reader) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://cache/item/7?size=2", body)
	require.NoError(t, err)
	req.Header.Set("X-User", "user-42")
	return req
}

// once sends a request and reads what comes back.
func once(t testing.TB, to http.RoundTripper, req *http.Request) {
	resp, err := to.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	var buf [16]byte
	for err == nil {
		_, err = resp.Body.Read(buf[:])
	}
	if err != io.EOF || resp.Body.Close() != nil {
		t.Fatal(err)
	}
}

// costs are the ways of a request that are to be cheap.
func costs(t testing.TB) map[string]struct {
	to  http.RoundTripper
	req *http.Request
} {
	type cost = struct {
		to  http.RoundTripper
		req *http.Request
	}
	ctx := context.Background()
	header := hashpolicy.List{hashpolicy.Header("X-User")}
	bounded := httpbalancer.Options{Hash: header}
	bounded.Balancer.BalanceFactor = 125
	return map[string]cost{
		"context": {eight(t, httpbalancer.Options{}), cheap(t, httpbalancer.WithHash(ctx, 42), nil)},
		"header":  {eight(t, httpbalancer.Options{Hash: header}), cheap(t, ctx, nil)},
		"random":  {eight(t, httpbalancer.Options{}), cheap(t, ctx, nil)},
		"bounded": {eight(t, bounded), cheap(t, ctx, nil)},
		"body":    {eight(t, httpbalancer.Options{Hash: header}), cheap(t, ctx, strings.NewReader("hello"))},
	}
}

func TestTransportAllocatesTwiceAtMost(t *testing.T) {
	for name, c := range costs(t) {
		plain := testing.AllocsPerRun(200, func() { once(t, roundTripFunc(answers), c.req) })
		ours := testing.AllocsPerRun(200, func() { once(t, c.to, c.req) })
		require.LessOrEqual(t, ours-plain, 2.0, name)
	}
}

// BenchmarkTransport is what the Transport costs without a network, beside the
// same RoundTripper alone.
func BenchmarkTransport(b *testing.B) {
	for name, c := range costs(b) {
		for impl, to := range map[string]http.RoundTripper{"plain": roundTripFunc(answers), "maglev": c.to} {
			b.Run("key="+name+"/impl="+impl, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					once(b, to, c.req)
				}
			})
		}
	}
}
