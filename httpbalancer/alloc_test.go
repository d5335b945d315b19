package httpbalancer_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/httpbalancer"
)

// stub is an http.RoundTripper without a network, plain or behind a Transport.
func stub(t testing.TB) (plain http.RoundTripper, balanced *httpbalancer.Transport) {
	resp := &http.Response{StatusCode: 200, Header: make(http.Header), Body: http.NoBody}
	inner := roundTripper(func(*http.Request) (*http.Response, error) { return resp, nil })
	return inner, newTransport(t, httpbalancer.Options{
		Backends: named(letters(8)...),
		Wrap:     func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper { return inner },
	})
}

func TestAllocationsBeyondAPlainTransport(t *testing.T) {
	plain, balanced := stub(t)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		req := request(t, method, "key", nil)
		req = req.WithContext(httpbalancer.WithHash(t.Context(), 42))
		allocs := func(rt http.RoundTripper) float64 {
			return testing.AllocsPerRun(1000, func() {
				if _, err := rt.RoundTrip(req); err != nil {
					t.Error(err)
				}
			})
		}
		// The attempt.
		require.LessOrEqual(t, allocs(balanced)-allocs(plain), 1.0)
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	plain, balanced := stub(b)
	req := request(b, http.MethodGet, "key", nil)
	req = req.WithContext(httpbalancer.WithHash(b.Context(), 42))
	for name, rt := range map[string]http.RoundTripper{"plain": plain, "maglev": balanced} {
		b.Run("impl="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rt.RoundTrip(req); err != nil {
					b.Error(err)
				}
			}
		})
	}
}
