package httpbalancer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// The connection pool is not keyed by the URL's host: which is the same for all.
func TestEveryKeyReachesTheBackendOfTheTable(t *testing.T) {
	all := servers(t, 5, ok)
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(all...)})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 50 {
				key := strconv.Itoa(w*50 + i)
				backend, status := get(t, b, key)
				if want := order(t, key, namesOf(all...)...)[0]; backend != want || status != 200 {
					t.Errorf("key %s went to %s, not %s, with %d", key, backend, want, status)
				}
			}
		})
	}
	wg.Wait()
}

func TestOptionsHashWithHashAndWithKeyChooseTheBackend(t *testing.T) {
	names := letters(7)
	b := newTransport(t, httpbalancer.Options{
		Backends: named(names...),
		Hash:     hashpolicy.List{hashpolicy.Header("X-User")},
		Wrap: fake(func(name string, _ *http.Request) (*http.Response, error) {
			return answer(200, "X-Backend", name), nil
		}),
	})
	for i := range 50 {
		key := strconv.Itoa(i)
		want := order(t, key, names...)[0]
		other := request(t, "GET", "something else", nil)
		req := request(t, "GET", key, nil).WithContext(t.Context())
		req.Header.Set("X-User", key)
		hash, has := hashpolicy.List{hashpolicy.Header("X-User")}.Hash(hashpolicy.HTTP(req))
		require.True(t, has)
		other.Header.Set("X-User", "something else again")
		for _, req := range []*http.Request{
			req,
			other.WithContext(httpbalancer.WithKey(other.Context(), key)),
			other.WithContext(httpbalancer.WithHash(other.Context(), hash)),
		} {
			resp, err := b.RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, want, resp.Header.Get("X-Backend"))
		}
	}
}

func TestGeneratedCookieIsSetAndSticks(t *testing.T) {
	names := letters(9)
	b := newTransport(t, httpbalancer.Options{
		Backends: named(names...),
		Hash:     hashpolicy.List{hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "session"})},
		Wrap: fake(func(name string, _ *http.Request) (*http.Response, error) {
			return answer(200, "X-Backend", name, "Set-Cookie", "other=1"), nil
		}),
	})
	req := request(t, "GET", "", nil).WithContext(t.Context())
	resp, err := b.RoundTrip(req)
	require.NoError(t, err)
	require.Len(t, resp.Cookies(), 2)
	require.Equal(t, "session", resp.Cookies()[1].Name)
	for range 5 {
		again := req.Clone(t.Context())
		again.AddCookie(resp.Cookies()[1])
		next, err := b.RoundTrip(again)
		require.NoError(t, err)
		require.Equal(t, resp.Header.Get("X-Backend"), next.Header.Get("X-Backend"))
		require.Len(t, next.Cookies(), 1)
	}
}

func TestRequestWithoutKeyGoesAnywhereByWeightOrIsRefused(t *testing.T) {
	backends := named("light", "heavy")
	backends[1].Weight = 9
	opts := httpbalancer.Options{Backends: backends, Wrap: fake(func(name string, _ *http.Request) (*http.Response, error) {
		return answer(200, "X-Backend", name), nil
	})}
	b := newTransport(t, opts)
	count := make(map[string]int)
	req := request(t, "GET", "", nil).WithContext(t.Context())
	for range 2000 {
		resp, err := b.RoundTrip(req)
		require.NoError(t, err)
		count[resp.Header.Get("X-Backend")]++
	}
	// 200 of 2000 are expected, with a standard deviation of 13.4: six of them.
	require.InDelta(t, 200, count["light"], 81, "%v", count)

	opts.NoKey = httpbalancer.Refuse
	b = newTransport(t, opts)
	_, err := b.RoundTrip(req)
	require.ErrorIs(t, err, httpbalancer.ErrNoKey)
	require.EqualValues(t, 1, b.Stats().NoKey)
}

func TestCallersRequestIsNotTouched(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusServiceUnavailable) // so that it is tried again
	}))
	dead := "http://" + refusing(t)
	b := newTransport(t, httpbalancer.Options{Backends: append(backendsOf(s), httpbalancer.Backend{URL: dead})})
	for _, key := range []string{"1", "2", "3", "4"} {
		req := request(t, http.MethodPut, key, strings.NewReader("body"))
		req.Header.Set("X-Header", "value")
		req.Header.Set("Connection", "keep-alive")
		before, copied := *req, req.Clone(req.Context())
		header := maps.Clone(req.Header)
		resp, err := b.RoundTrip(req)
		if err == nil {
			require.Same(t, req, resp.Request)
			read(t, resp)
		}
		require.Same(t, before.URL, req.URL)
		require.Equal(t, copied.URL, req.URL)
		require.Equal(t, header, req.Header)
		require.Equal(t, before.Host, req.Host)
		require.Equal(t, before.Body, req.Body)
		require.NotNil(t, req.GetBody)
		req.GetBody, before.GetBody = nil, nil // functions cannot be compared
		require.Equal(t, before, *req)
	}
}

func TestHostIsTheCallers(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Host+" "+r.RequestURI)
	}))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s)})
	for _, c := range []struct{ url, host, want string }{
		{"http://service.example/a%2Fb?q=%20", "", "service.example /a%2Fb?q=%20"},
		{"http://service.example", "other.example", "other.example /"},
		{"https://service.example:8443/?", "", "service.example:8443 /?"},
		{"//service.example/path#fragment", "", "service.example /path"},
		{"/path", "", s.name + " /path"}, // it has none
	} {
		u, err := url.Parse(c.url)
		require.NoError(t, err)
		resp, err := b.RoundTrip((&http.Request{URL: u, Host: c.host, Header: http.Header{}}).WithContext(t.Context()))
		require.NoError(t, err)
		require.Equal(t, c.want, read(t, resp))
	}
}

func TestBodyIsAlwaysClosed(t *testing.T) {
	s := serve(t, http.HandlerFunc(ok))
	broken := func(resp *http.Response, err error) func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper {
		return func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper {
			return roundTripper(func(*http.Request) (*http.Response, error) { return resp, err })
		}
	}
	panics := func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper {
		return roundTripper(func(*http.Request) (*http.Response, error) { panic("on purpose") })
	}
	for name, c := range map[string]struct {
		opts   httpbalancer.Options
		closed bool
		change func(*http.Request)
		err    error // nil if it is not to fail, or with any
		fails  bool
		panics bool
	}{
		"success":           {opts: httpbalancer.Options{Backends: backendsOf(s)}},
		"no retries":        {opts: httpbalancer.Options{Backends: backendsOf(s), Retry: httpbalancer.Retry{Max: -1}}},
		"dial error":        {opts: httpbalancer.Options{Backends: []httpbalancer.Backend{{URL: "http://" + refusing(t)}}}, fails: true},
		"no backend":        {err: httpbalancer.ErrNoBackend},
		"no key":            {opts: httpbalancer.Options{NoKey: httpbalancer.Refuse}, err: httpbalancer.ErrNoKey, change: func(r *http.Request) { *r = *r.WithContext(t.Context()) }},
		"closed":            {opts: httpbalancer.Options{Backends: backendsOf(s)}, closed: true, err: httpbalancer.ErrClosed},
		"canceled":          {opts: httpbalancer.Options{Backends: backendsOf(s)}, err: context.Canceled, change: func(r *http.Request) { *r = *r.WithContext(canceled(r.Context())) }},
		"no URL":            {opts: httpbalancer.Options{Backends: backendsOf(s)}, err: httpbalancer.ErrRequest, change: func(r *http.Request) { r.URL = nil }},
		"no header":         {opts: httpbalancer.Options{Backends: backendsOf(s)}, err: httpbalancer.ErrRequest, change: func(r *http.Request) { r.Header = nil }},
		"bad method":        {opts: httpbalancer.Options{Backends: backendsOf(s)}, fails: true, change: func(r *http.Request) { r.Method = "B D" }},
		"neither":           {opts: httpbalancer.Options{Backends: backendsOf(s), Wrap: broken(nil, nil)}, fails: true},
		"panic in Wrap":     {opts: httpbalancer.Options{Backends: backendsOf(s), Wrap: panics}, panics: true},
		"panic in a policy": {opts: httpbalancer.Options{Backends: backendsOf(s), Wrap: fake(func(string, *http.Request) (*http.Response, error) { return answer(503), nil }), Retry: httpbalancer.Retry{Idempotent: func(*http.Request) bool { panic("on purpose") }}}, panics: true},
	} {
		for _, again := range []string{"with GetBody", "without"} {
			if again == "with GetBody" && name == "panic in a policy" {
				continue // the RoundTripper, which has not panicked, was to close it
			}
			t.Run(name+" "+again, func(t *testing.T) {
				b := newTransport(t, c.opts)
				if c.closed {
					require.NoError(t, b.Close())
				}
				out := &body{Reader: strings.NewReader("hello")}
				req := request(t, http.MethodPost, "key", out)
				if again == "with GetBody" {
					req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("hello")), nil }
				}
				if c.change != nil {
					c.change(req)
				}
				if c.panics {
					require.PanicsWithValue(t, "on purpose", func() { _, _ = b.RoundTrip(req) })
				} else if resp, err := b.RoundTrip(req); c.fails || c.err != nil {
					require.Error(t, err)
					require.Regexp(t, "^httpbalancer: ", err.Error())
					if c.err != nil {
						require.ErrorIs(t, err, c.err)
					}
				} else {
					require.NoError(t, err)
					require.Equal(t, "hello", read(t, resp))
				}
				eventually(t, func() bool { return out.closes() == 1 }, "the body was closed %d times", out.closes())
				require.Zero(t, inFlight(b))
				require.Zero(t, b.Stats().InFlight)
				require.Zero(t, b.Stats().RetriesInFlight)
			})
		}
	}
}

// A request is not in flight any longer than there is something to read.
func TestRequestWithoutResponseBodyIsDoneAtOnce(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Kind") {
		case "204":
			w.WriteHeader(http.StatusNoContent)
		case "304":
			w.WriteHeader(http.StatusNotModified)
		case "length":
			w.Header().Set("Content-Length", "0")
		default:
			_, _ = io.WriteString(w, "hello")
		}
	}))
	for _, protocol := range []string{"1", "2"} {
		opts := httpbalancer.Options{Backends: backendsOf(s)}
		if protocol == "2" {
			two := serve(t, s.Config.Handler, h2c)
			opts.Backends, opts.Transport = backendsOf(two), onlyH2C()
		}
		b := newTransport(t, opts)
		for _, c := range []struct{ method, kind string }{{"GET", "204"}, {"GET", "304"}, {"GET", "length"}, {"HEAD", ""}} {
			req := request(t, c.method, "key", nil)
			req.Header.Set("Kind", c.kind)
			resp, err := b.RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, protocol, strconv.Itoa(resp.ProtoMajor))
			require.Zero(t, inFlight(b), "%v", c)
		}
		for _, end := range []func(resp *http.Response){
			func(resp *http.Response) { require.NoError(t, resp.Body.Close()) },
			func(resp *http.Response) { _, _ = io.Copy(io.Discard, resp.Body) },
		} {
			resp, err := b.RoundTrip(request(t, "GET", "key", nil))
			require.NoError(t, err)
			require.Equal(t, 1, inFlight(b))
			end(resp)
			require.Zero(t, inFlight(b))
			_ = resp.Body.Close()
			require.Zero(t, inFlight(b))
		}
	}
}

// As many connections as workers, not as many as requests.
func TestConnectionsAreUsedAgain(t *testing.T) {
	const workers, perWorker = 16, 100
	for name, pattern := range map[string]*http.Transport{"default": nil, "pattern": {}} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, http.HandlerFunc(ok))
			b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s), Transport: pattern})
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for i := range perWorker {
						get(t, b, strconv.Itoa(i))
					}
				})
			}
			wg.Wait()
			_, opened := s.conns()
			// A worker that finds no idle connection dials, and may be given one
			// that has become idle meanwhile: the first time round this can happen
			// to each, later there are enough.
			require.LessOrEqual(t, opened, 2*workers)
		})
	}
}

func TestClientClosesIdleConnections(t *testing.T) {
	s := serve(t, http.HandlerFunc(ok))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s)})
	get(t, b, "key")
	open, _ := s.conns()
	require.Equal(t, 1, open)
	(&http.Client{Transport: b}).CloseIdleConnections()
	eventually(t, func() bool { open, _ := s.conns(); return open == 0 }, "the connection stays open")
	get(t, b, "key") // it goes on
}

func TestErrorsTellWhatWasWrong(t *testing.T) {
	cause := errors.New("cause")
	b := newTransport(t, httpbalancer.Options{Backends: named("a", "b"), Wrap: fake(func(string, *http.Request) (*http.Response, error) {
		return nil, cause
	})})
	_, err := b.RoundTrip(request(t, "GET", "key", nil))
	require.ErrorIs(t, err, cause)
	var e *httpbalancer.Error
	require.ErrorAs(t, err, &e)
	want := order(t, "key", "a", "b")
	require.Equal(t, httpbalancer.Error{Backend: want[0], Attempts: 3, Err: cause}, *e)
	require.EqualError(t, err, "httpbalancer: "+want[0]+", attempt 3: cause")
	_, err = b.RoundTrip(request(t, "POST", "key", bytes.NewReader([]byte("x"))))
	require.EqualError(t, err, "httpbalancer: "+want[0]+": cause")
}
