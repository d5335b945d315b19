package hashpolicy_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/stretchr/testify/require"
)

func named(t *testing.T, name string) hashpolicy.Name {
	n, err := hashpolicy.NewName(name)
	require.NoError(t, err)
	return n
}

func TestHTTPHeader(t *testing.T) {
	req := httptest.NewRequest("GET", "/", nil)
	req.Header = http.Header{"X-User": {" a\t", "b"}, "x-lower": {"v"}, "X-None": {}}
	r := hashpolicy.HTTP(req)
	for _, test := range []struct {
		name  string
		i     int
		value string
		count int
	}{
		{"x-user", 0, "a", 2}, // as net/http sends it
		{"x-user", 1, "b", 2},
		{"x-user", 2, "", 2},
		{"x-user", -1, "", 2},
		{"x-none", 0, "", 0},
		{"x-lower", 0, "", 0},
		{":method", 0, "GET", 1},
		{":method", 1, "", 1},
		{":protocol", 0, "", 0},
	} {
		value, count := r.Header(named(t, test.name), test.i)
		require.Equal(t, test.count, count, "%s %d", test.name, test.i)
		require.Equal(t, test.value, value, "%s %d", test.name, test.i)
	}
}

// A client's request: what net/http would send.
func TestHTTPOfAClient(t *testing.T) {
	for _, test := range []struct{ url, path, query, authority string }{
		{"http://host.test", "/", "-", "host.test"},
		{"https://host.test:8443/a b?q=1#f", "/a%20b", "q=1", "host.test:8443"},
		{"http://host.test/a%2fb?", "/a%2fb", "", "host.test"},
		{"http://host.test?q", "/", "q", "host.test"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), "", test.url, nil)
		require.NoError(t, err)
		r := hashpolicy.HTTP(req)
		path, query, has := r.Target()
		require.Equal(t, test.path, path, test.url)
		require.Equal(t, test.query != "-", has, test.url)
		require.Equal(t, strings.TrimPrefix(test.query, "-"), query, test.url)
		wire := new(strings.Builder)
		require.NoError(t, req.Write(wire))
		sent, _, _ := strings.Cut(wire.String(), "\r\n")
		if has {
			path += "?" + query
		}
		require.Equal(t, "GET "+path+" HTTP/1.1", sent)

		authority, _ := r.Header(named(t, "host"), 0)
		require.Equal(t, test.authority, authority)
		method, _ := r.Header(named(t, ":method"), 0)
		require.Equal(t, "GET", method)
		scheme, _ := r.Header(named(t, ":scheme"), 0)
		require.Equal(t, req.URL.Scheme, scheme)
		require.Empty(t, r.Remote())
		require.Empty(t, r.Local())

		req.Host = "other.test"
		authority, _ = r.Header(named(t, "host"), 0)
		require.Equal(t, "other.test", authority)
	}
}

func TestHTTPTargets(t *testing.T) {
	for _, test := range []struct {
		req        *http.Request
		path       string
		query      string
		hasQuery   bool
		wantNoPath bool
	}{
		{req: &http.Request{}},
		{req: &http.Request{URL: &url.URL{}}, path: "/"},
		{req: &http.Request{URL: &url.URL{Path: "*"}, Method: "OPTIONS"}, path: "*"},
		{req: &http.Request{URL: &url.URL{Host: "a:1"}, Method: "CONNECT"}},
		{req: &http.Request{URL: &url.URL{Path: "/masque"}, Method: "CONNECT"}, path: "/masque"},
		{req: &http.Request{URL: &url.URL{Opaque: "/a%2Fb", RawQuery: "q"}}, path: "/a%2Fb", query: "q", hasQuery: true},
		{req: &http.Request{URL: &url.URL{Opaque: "//host/a//b"}}, path: "/a//b"},
		{req: &http.Request{URL: &url.URL{Opaque: "//host"}}, path: "/"},
		{req: &http.Request{URL: &url.URL{Opaque: "/a?b"}}, path: "/a", query: "b", hasQuery: true},
		{req: &http.Request{URL: &url.URL{Opaque: "//host?b=/c", RawQuery: "q"}}, path: "/", query: "b=/c?q", hasQuery: true},
		// A reverse proxy leaves RequestURI as it came.
		{req: &http.Request{URL: &url.URL{Path: "/new"}, RequestURI: "/old?q"}, path: "/new"},
	} {
		path, query, has := hashpolicy.HTTP(test.req).Target()
		require.Equal(t, test.path, path)
		require.Equal(t, test.query, query)
		require.Equal(t, test.hasQuery, has)
		_, ok := hashpolicy.List{hashpolicy.Header(":path"), hashpolicy.Path(), hashpolicy.PathPrefix(1)}.Hash(hashpolicy.HTTP(test.req))
		require.Equal(t, test.path != "", ok, "no path gives no hash")
	}
}

// Not one of the policies may panic at requests that are hardly there.
func TestHTTPOfNothing(t *testing.T) {
	list := hashpolicy.List{hashpolicy.Header("a"), hashpolicy.Header("host"), hashpolicy.Header(":path"), hashpolicy.Cookie("a"),
		hashpolicy.QueryParameter("a"), hashpolicy.Path(), hashpolicy.PathPrefix(1), hashpolicy.SourceIP()}
	requireNothing := func(req *http.Request) {
		_, ok := list.Hash(hashpolicy.HTTP(req))
		require.False(t, ok)
	}
	requireNothing(nil)
	requireNothing(new(http.Request))
	scheme, _ := hashpolicy.HTTP(new(http.Request)).Header(named(t, ":scheme"), 0)
	require.Equal(t, "http", scheme)
	scheme, _ = hashpolicy.HTTP(&http.Request{TLS: new(tls.ConnectionState)}).Header(named(t, ":scheme"), 0)
	require.Equal(t, "https", scheme)
	require.Empty(t, hashpolicy.HTTP(nil).Local())
	_, count := hashpolicy.HTTP(nil).Header(named(t, ":scheme"), 0)
	require.Zero(t, count)
}

func TestHTTPRequest(t *testing.T) {
	req := httptest.NewRequest("GET", "/", nil)
	require.Same(t, req, hashpolicy.HTTPRequest(hashpolicy.HTTP(req)))
	require.Nil(t, hashpolicy.HTTPRequest(get("/")))
	require.Nil(t, hashpolicy.HTTPRequest(nil))
}

// The balancer under a reverse proxy sees the client's addresses.
func TestHTTPUnderAReverseProxy(t *testing.T) {
	list := hashpolicy.List{hashpolicy.SourceIP(), hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "sid"}), hashpolicy.Header(":path")}
	type result struct {
		hash   uint64
		cookie string
	}
	outer, inner := make(chan result, 1), make(chan result, 1)
	ask := func(req *http.Request) result {
		hash, _, cookies := list.HashAndCookies(hashpolicy.HTTP(req))
		return result{hash, strings.Join(cookies, "")}
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "backend.test"})
			r.Out.URL.Path = "/rewritten"
		},
		Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
			inner <- ask(req)
			return &http.Response{StatusCode: 204, Body: http.NoBody, Request: req, Header: http.Header{}}, nil
		}),
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		same := r.Clone(r.Context())
		same.URL.Path = "/rewritten"
		outer <- ask(same)
		proxy.ServeHTTP(w, r)
	}))
	defer server.Close()
	resp, err := server.Client().Get(server.URL + "/original?q")
	require.NoError(t, err)
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	out, in := <-outer, <-inner
	require.Equal(t, out, in)
	require.NotEmpty(t, in.cookie)
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// A context may hold anything under the key.
func TestHTTPLocalOfAnotherType(t *testing.T) {
	ctx := context.WithValue(t.Context(), http.LocalAddrContextKey, "no address")
	require.Empty(t, hashpolicy.HTTP((&http.Request{}).WithContext(ctx)).Local())
	ctx = context.WithValue(t.Context(), http.LocalAddrContextKey, net.Addr(&net.UnixAddr{Name: "/run/s", Net: "unix"}))
	require.Equal(t, "/run/s", hashpolicy.HTTP((&http.Request{}).WithContext(ctx)).Local())
}
