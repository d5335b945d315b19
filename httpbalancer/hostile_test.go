package httpbalancer_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/httpbalancer"
)

// A backend that has read a POST, and then breaks off TLS in the middle, has it.
func TestPOSTIsNotSentAgainAfterABadTLSRecord(t *testing.T) {
	var delivered atomic.Int32
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		delivered.Add(1)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		raw := c.(*tls.Conn).NetConn()
		_, _ = io.WriteString(raw, "HTTP/1.1 500 not encrypted\r\n\r\n")
		time.Sleep(10 * time.Millisecond) // so that no reset overtakes it
		_ = raw.Close()
	})
	withTLS := func(s *httptest.Server) { s.TLS = new(tls.Config) }
	all := []*server{serve(t, h, withTLS), serve(t, h, withTLS)}
	roots := all[0].Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	b := newTransport(t, httpbalancer.Options{
		Backends:  backendsOf(all...),
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}},
	})
	_, err := b.RoundTrip(request(t, "POST", "key", strings.NewReader("once")))
	require.ErrorContains(t, err, "tls: received record with version")
	require.EqualValues(t, 1, delivered.Load())
}

// Trailers of a response without content pass, with a time limit too.
func TestTrailersAfterNoContentOverHTTP2(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-T")
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		time.Sleep(50 * time.Millisecond)
		w.Header().Set("X-T", "v")
	}), h2c)
	for _, limit := range []time.Duration{0, 10 * time.Second} {
		b := newTransport(t, httpbalancer.Options{
			Backends: backendsOf(s), Transport: onlyH2C(), Retry: httpbalancer.Retry{PerTryTimeout: limit}})
		resp, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.NoError(t, err)
		require.Zero(t, inFlight(b))
		require.Empty(t, read(t, resp))
		require.Equal(t, "v", resp.Trailer.Get("X-T"))
	}
}

// A short response that is not returned leaves its connection usable.
func TestConnectionsAreKeptAfterARetriedResponse(t *testing.T) {
	sick := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "unavailable", http.StatusServiceUnavailable)
	}))
	well := serve(t, http.HandlerFunc(ok))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(sick, well), NoOutlier: true})
	key := keyOf(t, sick.name, well.name)
	for range 20 {
		backend, status := get(t, b, key)
		require.Equal(t, well.name, backend)
		require.Equal(t, http.StatusOK, status)
	}
	_, opened := sick.conns()
	require.LessOrEqual(t, opened, 2)
}

// Checks reach a backend whose address has a zone, and its URL in Stats is one.
func TestCheckOfAnAddressWithAZone(t *testing.T) {
	const url = "http://[fe80::1%25eth0]:80"
	checked := make(chan string, 1)
	b := newTransport(t, httpbalancer.Options{
		Backends: []httpbalancer.Backend{{URL: url}},
		Check:    &httpbalancer.Check{Path: "/health?deep"},
		Wrap: fake(func(_ string, req *http.Request) (*http.Response, error) {
			select {
			case checked <- req.URL.String():
			default:
			}
			return answer(http.StatusOK), nil
		}),
	})
	require.Equal(t, url+"/health?deep", <-checked)
	require.Equal(t, url, b.Stats().Backends[0].URL)
}

// What comes into the set as draining gets nothing, from the first moment on.
func TestABackendThatHasAlwaysBeenDrainingGetsNothing(t *testing.T) {
	var got atomic.Int32
	well := serve(t, http.HandlerFunc(ok))
	draining := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(well)})
	var callers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		callers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				resp, err := b.RoundTrip(request(t, "GET", strconv.Itoa(i), nil))
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
			}
		})
	}
	for range 100 {
		require.NoError(t, b.Update([]httpbalancer.Backend{{URL: well.URL}, {URL: draining.URL, Draining: true}}))
		require.NoError(t, b.Update(backendsOf(well)))
	}
	close(done)
	callers.Wait()
	require.Zero(t, got.Load())
}

// With the default budget, and few backends, more requests fail at once than may be
// tried again at once.
func TestRoomInTheBudgetIsWaitedFor(t *testing.T) {
	const workers = 40
	release := make(chan struct{})
	var once sync.Once
	var waiting atomic.Int32
	sick := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if waiting.Add(1) == workers {
			once.Do(func() { close(release) })
		}
		<-release
		c, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			_ = c.Close()
		}
	}))
	well := serve(t, http.HandlerFunc(ok))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(sick, well), NoOutlier: true})
	key := keyOf(t, sick.name, well.name)
	var callers sync.WaitGroup
	for range workers {
		callers.Go(func() {
			resp, err := b.RoundTrip(request(t, "GET", key, nil))
			if err != nil {
				t.Error(err)
				return
			}
			_ = resp.Body.Close()
		})
	}
	callers.Wait()
	require.Zero(t, b.Stats().OverBudget)
}

func TestEmptyBackendsWaitForDiscovery(t *testing.T) {
	s := serve(t, http.HandlerFunc(ok))
	b := newTransport(t, httpbalancer.Options{
		Backends: []httpbalancer.Backend{},
		Discover: httpbalancer.DiscoverFunc(func(ctx context.Context, update func([]httpbalancer.Backend) error) error {
			time.Sleep(50 * time.Millisecond)
			if err := update(backendsOf(s)); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		}),
	})
	backend, _ := get(t, b, "key")
	require.Equal(t, s.name, backend)
}

func TestURLErrorsSayWhatIsAllowedAndNoPassword(t *testing.T) {
	for url, want := range map[string]string{
		"10.0.0.1:8080":               `"10.0.0.1:8080": backend not usable: first path segment in URL cannot contain colon; it must be such as http://10.0.0.1:8080`,
		"http://":                     `"http://": backend not usable: it must have a host`,
		"http://u:secret@h:bad":       `"…@h:bad": backend not usable: invalid port`,
		"http://u:secret@h":           `"http://u:xxxxx@h": backend not usable: it must not have a user`,
		"http://10.0.0.1,10.0.0.2:80": "its host must be an IP address or a name",
		"http://*":                    "its host must be an IP address or a name",
		"http://..":                   "its host must be an IP address or a name",
	} {
		_, err := httpbalancer.New(httpbalancer.Options{Backends: []httpbalancer.Backend{{URL: url}}})
		require.ErrorIs(t, err, httpbalancer.ErrBackend)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "secret")
	}
	require.ErrorContains(t, httpbalancer.DNS{URL: "https://bücher.example"}.Validate(), "xn--")
}

func TestNilTransportIsAnErrorAsTheZeroOneIs(t *testing.T) {
	var b *httpbalancer.Transport
	_, err := b.RoundTrip(request(t, "GET", "key", nil))
	require.ErrorIs(t, err, httpbalancer.ErrClosed)
	require.ErrorIs(t, b.Update(nil), httpbalancer.ErrClosed)
	require.NoError(t, b.Close())
	require.Zero(t, b.Stats())
	b.CloseIdleConnections()
}

func TestAnIdempotencyKeyNeedsNoValue(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s), Retry: httpbalancer.Retry{Max: 1}})
	req := request(t, "POST", "key", nil)
	req.Header["Idempotency-Key"] = nil
	resp, err := b.RoundTrip(req)
	require.NoError(t, err)
	read(t, resp)
	require.EqualValues(t, 1, b.Stats().Retries)
}

func TestErrorTextQuotesANameOfSeveralLines(t *testing.T) {
	b := newTransport(t, httpbalancer.Options{Backends: []httpbalancer.Backend{{Name: "a\nlevel=error", URL: "http://" + refusing(t)}}})
	_, err := b.RoundTrip(request(t, "GET", "key", nil))
	require.ErrorContains(t, err, `httpbalancer: "a\nlevel=error", attempt 3: `)
}
