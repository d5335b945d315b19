package httpbalancer_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// A fault is what one backend of a fake answers until it is mended.
type fault struct {
	mu     sync.Mutex
	of     string
	answer func() (*http.Response, error)
}

func (f *fault) set(of string, answer func() (*http.Response, error)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.of, f.answer = of, answer
}

func (f *fault) wrap() func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper {
	return fake(func(name string, _ *http.Request) (*http.Response, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if name == f.of {
			return f.answer()
		}
		return answer(200, "X-Backend", name), nil
	})
}

func status(code int) func() (*http.Response, error) {
	return func() (*http.Response, error) { return answer(code), nil }
}

func of(b *httpbalancer.Transport, name string) httpbalancer.BackendStats {
	all := b.Stats().Backends
	return all[slices.IndexFunc(all, func(s httpbalancer.BackendStats) bool { return s.Name == name })]
}

func TestChecksTakeABackendsKeysAndGiveThemBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := letters(5)
		candidates := order(t, "key", names...)
		var f fault
		b := newTransport(t, httpbalancer.Options{
			Backends: named(names...),
			Wrap:     f.wrap(),
			Check:    &httpbalancer.Check{Check: health.Check{Interval: time.Second, Jitter: health.Off}},
		})
		goes := func() string { backend, _ := get(t, b, "key"); return backend }
		synctest.Wait()
		require.Equal(t, candidates[0], goes())
		f.set(candidates[0], status(404))
		for i, want := range []string{candidates[0], candidates[0], candidates[1]} { // three checks have to fail
			time.Sleep(time.Second)
			synctest.Wait()
			if i < 2 {
				require.True(t, of(b, candidates[0]).Health.Healthy)
				continue
			}
			require.Equal(t, want, goes())
		}
		s := of(b, candidates[0])
		require.Equal(t, maglev.StateUnhealthy, s.State)
		require.Equal(t, "check failed: status 404", s.Health.Reason)
		require.Equal(t, "http://"+"192.0.2."+string('1'+rune(slices.Index(names, candidates[0])))+":80", s.URL)
		require.EqualValues(t, 1, s.Spills)
		f.set("", nil)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, candidates[1], goes())
		time.Sleep(time.Second) // two have to pass
		synctest.Wait()
		require.Equal(t, candidates[0], goes())
	})
}

func TestFirstCheckDecidesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f fault
		f.set("a", func() (*http.Response, error) { return nil, errBroken })
		b := newTransport(t, httpbalancer.Options{Backends: named("a", "b", "c"), Wrap: f.wrap(), Check: new(httpbalancer.Check)})
		synctest.Wait()
		require.False(t, of(b, "a").Health.Healthy)
		require.True(t, of(b, "b").Health.Healthy)
	})
}

func TestWhatACheckAsksFor(t *testing.T) {
	got := make(chan *http.Request, 100)
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- r
		w.WriteHeader(http.StatusTeapot)
	}))
	b := newTransport(t, httpbalancer.Options{
		Backends: backendsOf(s),
		Check: &httpbalancer.Check{
			Path: "/health%20y?deep=1", Host: "checks.example",
			Healthy: func(status int) bool { return status == http.StatusTeapot },
			Check:   health.Check{Interval: time.Millisecond},
		},
	})
	for range 3 {
		r := <-got
		require.Equal(t, "GET checks.example /health%20y?deep=1", r.Method+" "+r.Host+" "+r.RequestURI)
	}
	require.True(t, of(b, s.name).Health.Healthy)
	_, opened := s.conns()
	require.Equal(t, 1, opened, "its connection is used again")
}

func TestProbeOfTheUsersTakesTheRequestsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTransport(t, httpbalancer.Options{
			Backends: named("a", "b", "c"),
			Wrap:     fake(func(string, *http.Request) (*http.Response, error) { panic("not to be asked") }),
			Check: &httpbalancer.Check{Check: health.Check{Probe: func(_ context.Context, name string) error {
				if name == "b" {
					return errBroken
				}
				return nil
			}}},
		})
		synctest.Wait()
		require.True(t, of(b, "a").Health.Healthy)
		require.ErrorIs(t, of(b, "b").Health.CheckError, errBroken)
	})
}

func TestFailingRequestsEjectABackend(t *testing.T) {
	for name, c := range map[string]struct {
		answer func() (*http.Response, error)
		rule   health.Outlier
		ejects bool
	}{
		"server errors":         {status(500), health.Outlier{}, true},
		"server errors off":     {status(500), health.Outlier{Consecutive5xx: health.Off}, false},
		"gateway errors":        {status(502), health.Outlier{Consecutive5xx: health.Off}, true},
		"500 is no gateway's":   {status(500), health.Outlier{Consecutive5xx: health.Off, ConsecutiveGateway: 1}, false},
		"local errors":          {func() (*http.Response, error) { return nil, errors.New("reset") }, health.Outlier{}, true},
		"local errors off":      {func() (*http.Response, error) { return nil, errors.New("reset") }, health.Outlier{ConsecutiveLocal: health.Off}, false},
		"client errors are not": {status(404), health.Outlier{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				names := letters(4)
				candidates := order(t, "key", names...)
				var f fault
				f.set(candidates[0], c.answer)
				rule := c.rule
				b := newTransport(t, httpbalancer.Options{Backends: named(names...), Wrap: f.wrap(), Outlier: &rule, Retry: httpbalancer.Retry{Max: -1}})
				for range 5 {
					require.True(t, of(b, candidates[0]).Health.Healthy)
					resp, err := b.RoundTrip(request(t, "GET", "key", nil))
					if err == nil {
						read(t, resp)
					}
				}
				s := of(b, candidates[0])
				require.Equal(t, c.ejects, !s.Health.Healthy)
				if !c.ejects {
					return
				}
				require.Equal(t, time.Now().Add(30*time.Second), s.Health.EjectedUntil)
				backend, _ := get(t, b, "key")
				require.Equal(t, candidates[1], backend)
				f.set("", nil)
				time.Sleep(30 * time.Second)
				synctest.Wait()
				backend, _ = get(t, b, "key") // its keys come back
				require.Equal(t, candidates[0], backend)
			})
		})
	}
}

func TestNoOutlierEjectsNobody(t *testing.T) {
	var f fault
	f.set("a", status(500))
	b := newTransport(t, httpbalancer.Options{Backends: named("a"), Wrap: f.wrap(), NoOutlier: true})
	for range 50 {
		_, code := get(t, b, "key")
		require.Equal(t, 500, code)
	}
	require.True(t, of(b, "a").Health.Healthy)
}

// What net/http refuses to send is no failure of the backend, and no retry helps.
func TestMalformedRequestIsNotReported(t *testing.T) {
	all := servers(t, 2, ok)
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(all...)})
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Method = "B D" },
		func(r *http.Request) { r.Header["X Y"] = []string{"1"} },
		func(r *http.Request) { r.Header["X-Y"] = []string{"1\r\n2"} },
		func(r *http.Request) { r.Trailer = http.Header{"X Y": nil} },
		func(r *http.Request) { r.URL.Opaque = "/a\nb" },
		func(r *http.Request) {
			r.Body, r.ContentLength, r.Trailer = io.NopCloser(strings.NewReader("x")), -1, http.Header{"Content-Length": nil}
		},
		func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("abc")), 10 },
		func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("abc")), 2 },
		func(r *http.Request) { // a body that can be had again, and fails again
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(errors.New("at a loss"))), nil }
			r.Body, _ = r.GetBody()
			r.ContentLength = 5
		},
	} {
		for range 6 {
			req := request(t, "PUT", "key", nil)
			change(req)
			body := req.Body
			resp, err := b.RoundTrip(req)
			if err == nil { // the server has answered before it had the body
				require.NotNil(t, body)
				require.NoError(t, resp.Body.Close())
			}
		}
	}
	require.Zero(t, b.Stats().Retries)
	for _, s := range all {
		require.Zero(t, of(b, s.name).Health.ConsecutiveLocal+of(b, s.name).Health.Ejections)
	}
}

func TestStatsOfATransportAtWork(t *testing.T) {
	var f fault
	f.set("a", status(503))
	names := letters(3)
	b := newTransport(t, httpbalancer.Options{Backends: named(names...), Wrap: f.wrap()})
	key := keyOf(t, "a", "b", "c")
	get(t, b, key)
	s := b.Stats()
	require.EqualValues(t, 1, s.Retries)
	require.Equal(t, 65537, s.Slots)
	require.EqualValues(t, 1, s.Tables)
	require.EqualValues(t, 1, of(b, "a").Picks)
	require.Equal(t, 1, of(b, "a").Health.ConsecutiveGateway)
	slots := 0
	for _, b := range s.Backends {
		slots += b.Slots
	}
	require.Equal(t, s.Slots, slots)
	require.Zero(t, s.InFlight+s.RetriesInFlight+int(s.Failed)+int(s.NoBackend)+int(s.NoKey)+int(s.OverBudget))
}
