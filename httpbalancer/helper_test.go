package httpbalancer_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/httpbalancer"
	"github.com/maglev-lb/maglev/internal/refuse"
)

// A server is a backend on a real socket. It names itself in X-Backend and counts
// its connections.
type server struct {
	*httptest.Server
	name string // host:port

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	opened int
}

// serve starts a server. What configure changes is changed before it starts.
func serve(t testing.TB, h http.Handler, configure ...func(*httptest.Server)) *server {
	s := &server{open: make(map[net.Conn]struct{})}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Backend", s.name)
		h.ServeHTTP(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch state {
		case http.StateNew:
			s.opened++
			s.open[c] = struct{}{}
		case http.StateClosed, http.StateHijacked:
			delete(s.open, c)
		}
	}
	for _, f := range configure {
		f(s.Server)
	}
	s.name = s.Listener.Addr().String()
	if s.TLS != nil || s.EnableHTTP2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// conns returns how many connections are open, and how many ever were.
func (s *server) conns() (open, opened int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open), s.opened
}

// servers starts n of them.
func servers(t testing.TB, n int, h http.HandlerFunc) []*server {
	all := make([]*server, n)
	for i := range all {
		all[i] = serve(t, h)
	}
	return all
}

func backendsOf(servers ...*server) []httpbalancer.Backend {
	all := make([]httpbalancer.Backend, len(servers))
	for i, s := range servers {
		all[i].URL = s.URL
	}
	return all
}

func namesOf(servers ...*server) []string {
	all := make([]string, len(servers))
	for i, s := range servers {
		all[i] = s.name
	}
	return all
}

// h2c has a server speak HTTP/2 without TLS, HTTP/1 too.
func h2c(s *httptest.Server) {
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
}

// onlyH2C is a pattern of transports that speak HTTP/2 without TLS.
func onlyH2C() *http.Transport {
	t := &http.Transport{Protocols: new(http.Protocols)}
	t.Protocols.SetUnencryptedHTTP2(true)
	return t
}

func ok(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// newTransport is New, and closes the Transport at the test's end.
func newTransport(t testing.TB, opts httpbalancer.Options) *httpbalancer.Transport {
	b, err := httpbalancer.New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// request returns one with a key, to a URL whose host is none of the backends'.
func request(t testing.TB, method, key string, body io.Reader) *http.Request {
	ctx := httpbalancer.WithKey(t.Context(), key)
	req, err := http.NewRequestWithContext(ctx, method, "http://service.example/path?q=1", body)
	require.NoError(t, err)
	return req
}

// get sends a GET and returns which backend has answered with what.
func get(t testing.TB, b http.RoundTripper, key string) (backend string, status int) {
	resp, err := b.RoundTrip(request(t, http.MethodGet, key, nil))
	require.NoError(t, err)
	read(t, resp)
	return resp.Header.Get("X-Backend"), resp.StatusCode
}

// read reads the body of a response to its end.
func read(t testing.TB, resp *http.Response) string {
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return string(body)
}

// order returns the names in the order in which a key prefers them, by the table
// alone.
func order(t testing.TB, key string, names ...string) []string {
	backends := make([]maglev.Backend, len(names))
	for i, name := range names {
		backends[i].Name = name
	}
	table, err := maglev.New(backends, maglev.Options{})
	require.NoError(t, err)
	var all []string
	for i := range table.Candidates(maglev.XXHash(key, 0)) {
		all = append(all, names[i])
	}
	return all
}

// keyOf returns a key that goes to the first of the names.
func keyOf(t testing.TB, names ...string) string {
	for i := range 1000 {
		if key := "key-" + strconv.Itoa(i); order(t, key, names...)[0] == names[0] {
			return key
		}
	}
	require.FailNow(t, "no key goes to the first backend")
	return ""
}

// eventually waits for what another goroutine is about to bring about. It starts
// none itself, so that they can be counted.
func eventually(t testing.TB, cond func() bool, format string, args ...any) {
	t.Helper()
	for begin := time.Now(); !cond(); time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			require.FailNow(t, fmt.Sprintf(format, args...))
		}
	}
}

// inFlight returns the requests in flight at all backends together.
func inFlight(b *httpbalancer.Transport) (n int) {
	for _, s := range b.Stats().Backends {
		n += s.InFlight
	}
	return n
}

// A roundTripper is a function as an http.RoundTripper.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// fake makes an Options.Wrap of what a backend, known by its Name, answers.
func fake(f func(backend string, req *http.Request) (*http.Response, error)) func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper {
	return func(b httpbalancer.Backend, _ http.RoundTripper) http.RoundTripper {
		return roundTripper(func(req *http.Request) (*http.Response, error) {
			resp, err := f(b.Name, req)
			if req.Body != nil {
				_ = req.Body.Close()
			}
			return resp, err
		})
	}
}

// named returns backends with names, for fakes.
func named(names ...string) []httpbalancer.Backend {
	all := make([]httpbalancer.Backend, len(names))
	for i, name := range names {
		all[i] = httpbalancer.Backend{Name: name, URL: "http://192.0.2." + strconv.Itoa(i+1)}
	}
	return all
}

func letters(n int) []string { return strings.Split("abcdefghijklmnop"[:n], "") }

// answer returns a response of a fake.
func answer(status int, header ...string) *http.Response {
	resp := &http.Response{StatusCode: status, ContentLength: -1, Header: make(http.Header), Body: http.NoBody}
	for i := 0; i < len(header); i += 2 {
		resp.Header.Set(header[i], header[i+1])
	}
	return resp
}

// A body is a request's body that counts how often it is closed.
type body struct {
	io.Reader
	mu     sync.Mutex
	closed int
}

func (b *body) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed++
	return nil
}

func (b *body) closes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// refusing returns the address of a port that refuses connections.
func refusing(t testing.TB) string {
	port, err := refuse.Take()
	require.NoError(t, err)
	t.Cleanup(func() { _ = port.Close() })
	return port.Addr()
}

// canceled returns a context that has ended.
func canceled(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
