package httpbalancer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/httpbalancer"
)

func TestTraceSeesEveryAttempt(t *testing.T) {
	s := serve(t, http.HandlerFunc(ok))
	dead := refusing(t)
	b := newTransport(t, httpbalancer.Options{Backends: append(backendsOf(s), httpbalancer.Backend{URL: "http://" + dead})})
	var mu sync.Mutex
	var got []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprintf(format, args...))
	}
	trace := &httptrace.ClientTrace{
		GetConn:     func(hostPort string) { note("get %s", hostPort) },
		ConnectDone: func(_, addr string, err error) { note("connect %s %t", addr, err == nil) },
		GotConn:     func(info httptrace.GotConnInfo) { note("got %s", info.Conn.RemoteAddr()) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			note("wrote %v", info.Err)
		},
		GotFirstResponseByte: func() { note("first byte") },
	}
	req := request(t, "GET", keyOf(t, dead, s.name), nil)
	resp, err := b.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	require.NoError(t, err)
	read(t, resp)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{
		"get " + dead, "connect " + dead + " false",
		"get " + s.name, "connect " + s.name + " true", "got " + s.name, "wrote <nil>", "first byte",
	}, got)
}

func TestInformationalResponsesPass(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusProcessing)
		_, _ = io.WriteString(w, "hello")
	}))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s)})
	var got []int
	var link string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
		got = append(got, code)
		link = header.Get("Link")
		return nil
	}}
	req := request(t, "GET", "key", nil)
	resp, err := b.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	require.NoError(t, err)
	require.Equal(t, "hello", read(t, resp))
	require.Equal(t, []int{103, 102}, got)
	require.Equal(t, "</style.css>; rel=preload", link)

	// And on through a proxy.
	target, err := url.Parse("http://service.example")
	require.NoError(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Transport: b, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	defer proxy.Close()
	got = nil
	req, err = http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", proxy.URL, nil)
	require.NoError(t, err)
	resp, err = proxy.Client().Do(req)
	require.NoError(t, err)
	require.Equal(t, "hello", read(t, resp))
	require.Equal(t, []int{103, 102}, got)
}

func TestRedirectsAndCookiesThroughClient(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/":
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "42"})
			http.Redirect(w, r, "/next?q=1", http.StatusTemporaryRedirect)
		case "/next":
			got, _ := io.ReadAll(r.Body)
			c, _ := r.Cookie("session")
			_, _ = fmt.Fprintf(w, "%s%s %s %s", r.Host, r.URL, c, got)
		}
	})
	all := []*server{serve(t, h), serve(t, h), serve(t, h)}
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(all...), Hash: hashpolicy.List{hashpolicy.Cookie("session")}})
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := &http.Client{Transport: b, Jar: jar}
	seen := make(map[string]bool)
	for range 5 {
		resp, err := client.Post("http://service.example/", "text/plain", strings.NewReader("body"))
		require.NoError(t, err)
		require.Equal(t, "service.example/next?q=1 session=42 body", read(t, resp))
		require.Equal(t, "http://service.example/next?q=1", resp.Request.URL.String())
		seen[resp.Header.Get("X-Backend")] = true
	}
	require.Len(t, seen, 1)
}

func TestClientsTimeoutIsATimeout(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	for name, opts := range map[string]httpbalancer.Options{
		"plain":           {},
		"per-try timeout": {Retry: httpbalancer.Retry{PerTryTimeout: time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			opts.Backends = backendsOf(s)
			b := newTransport(t, opts)
			client := &http.Client{Transport: b, Timeout: 50 * time.Millisecond}
			_, err := client.Get("http://service.example/")
			var e *url.Error
			require.ErrorAs(t, err, &e)
			require.True(t, e.Timeout())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			var ours *httpbalancer.Error
			if errors.As(err, &ours) { // http.Client replaces it in part
				require.True(t, ours.Timeout())
			}
			require.Zero(t, b.Stats().Retries)
			require.Zero(t, b.Stats().Backends[0].Health.ConsecutiveLocal)
		})
	}
}

func TestErrorOfAPerTryTimeoutIsATimeout(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s), Retry: httpbalancer.Retry{PerTryTimeout: 10 * time.Millisecond}})
	_, err := (&http.Client{Transport: b}).Get("http://service.example/")
	var e *url.Error
	require.ErrorAs(t, err, &e)
	require.True(t, e.Timeout())
	require.ErrorContains(t, err, "Options.Retry.PerTryTimeout")
	require.NotErrorIs(t, err, context.DeadlineExceeded) // that is the caller's
}

// An instrumented is what tracing libraries do: they clone the request, give it a
// header and a context of their own, and wrap the response's body.
type instrumented struct {
	next http.RoundTripper
	name string

	mu    sync.Mutex
	spans []string
}

type spanKey struct{}

func (i *instrumented) RoundTrip(req *http.Request) (*http.Response, error) {
	i.mu.Lock()
	span := fmt.Sprintf("%s%d", i.name, len(i.spans))
	parent, _ := req.Context().Value(spanKey{}).(string)
	i.spans = append(i.spans, fmt.Sprintf("%s of %q at %s, resend %d", span, parent, req.URL.Host, httpbalancer.Resend(req.Context())))
	i.mu.Unlock()
	req = req.Clone(context.WithValue(req.Context(), spanKey{}, span))
	req.Header.Set("Traceparent", span)
	resp, err := i.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if w, ok := resp.Body.(io.Writer); ok {
		resp.Body = struct {
			io.Writer
			io.ReadCloser
		}{w, resp.Body}
	} else {
		resp.Body = struct{ io.ReadCloser }{resp.Body}
	}
	return resp, nil
}

func TestInstrumentationOutsideAndInside(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Traceparent"))
	}))
	dead := refusing(t)
	inside := &instrumented{name: "inside"}
	b := newTransport(t, httpbalancer.Options{
		Backends: append(backendsOf(s), httpbalancer.Backend{URL: "http://" + dead}),
		Wrap: func(_ httpbalancer.Backend, next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(req *http.Request) (*http.Response, error) {
				inside.mu.Lock()
				inside.next = next
				inside.mu.Unlock()
				return inside.RoundTrip(req)
			})
		},
	})
	outside := &instrumented{name: "outside", next: b}
	req := request(t, "GET", keyOf(t, dead, s.name), nil)
	resp, err := outside.RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, "inside1", read(t, resp))
	require.Empty(t, req.Header)
	require.Equal(t, []string{`outside0 of "" at service.example, resend 0`}, outside.spans)
	require.Equal(t, []string{
		`inside0 of "outside0" at ` + dead + `, resend 0`,
		`inside1 of "outside0" at ` + s.name + `, resend 1`,
	}, inside.spans)
	require.Zero(t, inFlight(b))
}

func TestReverseProxyOverTheTransport(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.Copy(w, r.Body)
		w.Header().Set("X-Sum", "42")
	})
	all := []*server{serve(t, h), serve(t, h), serve(t, h)}
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(all...), Hash: hashpolicy.List{hashpolicy.SourceIP()}})
	target, err := url.Parse("http://service.example")
	require.NoError(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Transport: b, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	defer proxy.Close()
	seen := make(map[string]bool)
	for range 10 {
		resp, err := proxy.Client().Post(proxy.URL, "text/plain", io.NopCloser(strings.NewReader("hello")))
		require.NoError(t, err)
		require.Equal(t, "hello", read(t, resp))
		require.Equal(t, "42", resp.Trailer.Get("X-Sum"))
		seen[resp.Header.Get("X-Backend")] = true
	}
	require.Len(t, seen, 1, "one client, one backend")
}
