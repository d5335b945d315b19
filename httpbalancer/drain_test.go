package httpbalancer_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/httpbalancer"
)

// protocols are the ways to reach a server that sends "begin" and, once it may,
// "end": a request with the query wait=i waits for may[i].
func protocols(t *testing.T, may ...chan struct{}) map[string]struct {
	*server
	pattern *http.Transport
} {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begin")
		if i, err := strconv.Atoi(r.URL.Query().Get("wait")); err == nil {
			_ = http.NewResponseController(w).Flush()
			<-may[i]
		}
		_, _ = io.WriteString(w, "end")
	})
	overTLS := serve(t, h, func(s *httptest.Server) { s.EnableHTTP2 = true })
	trusting := overTLS.Client().Transport.(*http.Transport).Clone()
	trusting.ForceAttemptHTTP2 = true
	return map[string]struct {
		*server
		pattern *http.Transport
	}{
		"HTTP/1.1": {serve(t, h), nil},
		"HTTP/2.0": {overTLS, trusting},
		"h2c":      {serve(t, h, h2c), onlyH2C()},
	}
}

func TestConnectionsOfARemovedBackendAreClosedWhenItsLastRequestIsDone(t *testing.T) {
	may := []chan struct{}{make(chan struct{}), make(chan struct{})}
	for name, p := range protocols(t, may...) {
		for _, way := range []string{"removed", "elsewhere", "closed"} {
			t.Run(name+" "+way, func(t *testing.T) {
				other := serve(t, http.HandlerFunc(ok), h2c)
				backends := []httpbalancer.Backend{{Name: "a", URL: p.URL}}
				b := newTransport(t, httpbalancer.Options{Backends: backends, Transport: p.pattern})
				begin := func(i int) *http.Response {
					req := request(t, "GET", "key", nil)
					req.URL.RawQuery = "wait=" + strconv.Itoa(i)
					resp, err := b.RoundTrip(req)
					require.NoError(t, err)
					if name != "h2c" {
						require.Equal(t, name, resp.Proto)
					}
					_, err = io.ReadFull(resp.Body, make([]byte, len("begin")))
					require.NoError(t, err)
					return resp
				}
				slow := []*http.Response{begin(0), begin(1)}
				switch way {
				case "removed":
					require.NoError(t, b.Update(nil))
				case "elsewhere":
					require.NoError(t, b.Update([]httpbalancer.Backend{{Name: "a", URL: other.URL}}))
				case "closed":
					require.NoError(t, b.Close())
				}
				for i, resp := range slow {
					open, _ := p.conns()
					require.NotZero(t, open, "closed before its last request was done")
					may[i] <- struct{}{}
					require.Equal(t, "end", read(t, resp)) // and none has been cut off
				}
				eventually(t, func() bool { open, _ := p.conns(); return open == 0 }, "the connections stay open")
				require.Zero(t, inFlight(b))
			})
		}
	}
}

func TestIdleConnectionsOfARemovedBackendAreClosedAtOnce(t *testing.T) {
	for name, p := range protocols(t) {
		t.Run(name, func(t *testing.T) {
			b := newTransport(t, httpbalancer.Options{Backends: backendsOf(p.server), Transport: p.pattern})
			resp, err := b.RoundTrip(request(t, "GET", "key", nil))
			require.NoError(t, err)
			require.Equal(t, "beginend", read(t, resp))
			require.NoError(t, b.Update(nil))
			eventually(t, func() bool { open, _ := p.conns(); return open == 0 }, "the connection stays open")
			_, err = b.RoundTrip(request(t, "GET", "key", nil))
			require.ErrorIs(t, err, httpbalancer.ErrNoBackend)
		})
	}
}

// What stays in the set keeps its connections.
func TestUpdateLeavesConnectionsOfBackendsThatStayAlone(t *testing.T) {
	all := servers(t, 3, ok)
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(all[:2]...)})
	keys := []string{keyOf(t, all[0].name, all[1].name, all[2].name), keyOf(t, all[1].name, all[0].name, all[2].name)}
	for i, set := range [][]*server{all[:2], all, all[:2], {all[1], all[0]}} {
		backends := backendsOf(set...)
		backends[0].Weight = i + 1 // one table has other weights than the one before
		require.NoError(t, b.Update(backends))
		for _, key := range keys {
			get(t, b, key)
		}
	}
	for _, s := range all[:2] {
		_, opened := s.conns()
		require.LessOrEqual(t, opened, 1)
	}
}

func TestDrainingBackendGetsNoNewKeysAndComesBack(t *testing.T) {
	all := servers(t, 3, ok)
	backends := backendsOf(all...)
	b := newTransport(t, httpbalancer.Options{Backends: backends})
	want := order(t, "key", namesOf(all...)...)
	set := func(draining bool) {
		for i := range backends {
			backends[i].Draining = draining && all[i].name == want[0]
		}
		require.NoError(t, b.Update(backends))
	}
	for _, draining := range []bool{false, true, false} {
		set(draining)
		backend, _ := get(t, b, "key")
		if draining {
			require.Equal(t, want[1], backend)
		} else {
			require.Equal(t, want[0], backend)
		}
	}
}

// From {a draining, b} to {a}: there is somebody to pick at every moment.
func TestABackendComesBackBeforeTheOthersLeave(t *testing.T) {
	all := servers(t, 2, ok)
	sets := [][]httpbalancer.Backend{
		{{URL: all[0].URL, Draining: true}, {URL: all[1].URL}},
		{{URL: all[0].URL}},
	}
	b := newTransport(t, httpbalancer.Options{Backends: sets[1]})
	done := make(chan struct{})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, err := b.RoundTrip(request(t, "GET", "key", nil))
				if err != nil {
					t.Error(err)
					return
				}
				_ = resp.Body.Close()
			}
		})
	}
	for i := range 400 {
		require.NoError(t, b.Update(sets[i%2]))
	}
	close(done)
	callers.Wait()
}
