package hashpolicy_test

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/internal/envoy"
	"github.com/stretchr/testify/require"
)

// A live is an Envoy before ten backends, and the table that it should have.
type live struct {
	addresses map[string]string // by host listened on
	table     *maglev.Table
}

// startEnvoy starts it with a route for each case. The backends answer with their
// own names.
func startEnvoy(t *testing.T, hosts []string, routes []envoy.Route) *live {
	binary, err := envoy.Find(t.Context())
	if err != nil {
		if os.Getenv("MAGLEV_REQUIRE_LIVE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	var addresses []netip.AddrPort
	var backends []maglev.Backend
	for range 10 {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		name := listener.Addr().String()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, name)
		})}
		go server.Serve(listener)
		t.Cleanup(func() { server.Close() })
		addresses = append(addresses, netip.MustParseAddrPort(name))
		backends = append(backends, maglev.Backend{Name: name})
	}
	proxy, err := envoy.Start(t.Context(), binary, envoy.HashRoutes(hosts, routes, addresses))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	l := new(live)
	l.addresses, err = proxy.Listeners(t.Context())
	require.NoError(t, err)
	l.table, err = maglev.New(backends, maglev.Options{})
	require.NoError(t, err)
	return l
}

// A client is a connection to the Envoy.
type client struct {
	net.Conn
	answers *bufio.Reader
}

// dial connects from an address of its own, if that is not "".
func (l *live) dial(t *testing.T, from, host string) *client {
	var dialer net.Dialer
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	conn, err := dialer.DialContext(t.Context(), "tcp", l.addresses[host])
	require.NoError(t, err)
	return &client{conn, bufio.NewReader(conn)}
}

// send returns the name of the backend that has answered, and the cookies set.
func (c *client) send(t *testing.T, w *wire, route string) (backend string, cookies []string) {
	w.remote, w.local = c.LocalAddr().String(), c.RemoteAddr().String()
	routed := *w
	routed.fields = append([]field{{"x-route", route}}, w.fields...)
	_, err := io.WriteString(c, routed.String())
	require.NoError(t, err)
	resp, err := http.ReadResponse(c.answers, nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", w, body)
	return string(body), resp.Header.Values("Set-Cookie")
}

// backend returns where a hash goes.
func (l *live) backend(hash uint64) string { return l.table.Backend(l.table.Lookup(hash)).Name }

// hashes returns the hash of a request as both kinds of Request have it.
func hashes(t *testing.T, list hashpolicy.List, w *wire) (hash uint64, ok bool, cookies []string) {
	hash, ok, cookies = list.HashAndCookies(w)
	ofHTTP, okHTTP, cookiesHTTP := list.HashAndCookies(hashpolicy.HTTP(w.http(t)))
	require.Equal(t, ok, okHTTP, "as an http.Request: %s", w)
	require.Equal(t, hash, ofHTTP, "as an http.Request: %s", w)
	require.Equal(t, cookies, cookiesHTTP, "as an http.Request: %s", w)
	return hash, ok, cookies
}

func TestLiveHashes(t *testing.T) {
	var routes []envoy.Route
	for _, c := range liveCases {
		routes = append(routes, envoy.Route{Name: c.name, Policy: c.envoy})
	}
	l := startEnvoy(t, []string{"127.0.0.1"}, routes)
	for _, c := range liveCases {
		t.Run(c.name, func(t *testing.T) {
			require.NoError(t, c.list.Validate())
			conn := l.dial(t, "", "127.0.0.1")
			defer conn.Close()
			seen := make(map[string]bool)
			for i := range cmp.Or(c.keys, 250) {
				w := c.request(i)
				got, cookies := conn.send(t, w, c.name)
				seen[got] = true
				hash, ok, ours := hashes(t, c.list, w)
				require.Equal(t, cookies, ours, "cookies of %s", w)
				require.Equal(t, !c.none, ok, "whether there is a hash of %s", w)
				if ok {
					require.Equal(t, got, l.backend(hash), "key %d: %s", i, w)
				}
			}
			if c.none {
				// Random: that one of ten is never met has odds of 10 * 0.9^250.
				require.Len(t, seen, 10)
			}
		})
	}
}

// Each key is a client at an address of its own.
func TestLiveSourceIP(t *testing.T) {
	l := startEnvoy(t, []string{"127.0.0.1"}, []envoy.Route{{Name: "source", Policy: []object{sourceIP()}}})
	list := hashpolicy.List{hashpolicy.SourceIP()}
	for i := range 1000 {
		conn := l.dial(t, fmt.Sprintf("127.%d.%d.%d", 1+i%7, i%256, 1+i/4), "127.0.0.1")
		w := get("/")
		got, _ := conn.send(t, w, "source")
		conn.Close()
		hash, ok, _ := hashes(t, list, w)
		require.True(t, ok)
		require.Equal(t, got, l.backend(hash), "from %s", w.remote)
	}
}

// What a connection generates depends on its addresses, so each cookie takes one.
func TestLiveGeneratedCookies(t *testing.T) {
	hosts := []string{"127.0.0.1"}
	if probe, err := net.Listen("tcp6", "[::1]:0"); err == nil {
		probe.Close()
		hosts = append(hosts, "::1")
	}
	name := "sid"
	cases := []struct {
		name  string
		envoy []object
		list  hashpolicy.List
		sets  int
	}{
		{"session", []object{cookie(object{"name": name, "ttl": "0s"})},
			hashpolicy.List{hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: name})}, 1},
		{"all", []object{cookie(object{"name": name, "ttl": "3600s", "path": "/a b", "attributes": []object{
			{"name": "SameSite", "value": "Lax"}, {"name": "Secure"}}})},
			hashpolicy.List{hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: name, TTL: time.Hour, Path: "/a b", Attributes: []hashpolicy.Attribute{
				{Name: "SameSite", Value: "Lax"}, {Name: "Secure"}}})}, 1},
		{"two", []object{cookie(object{"name": name, "ttl": "1s"}), sourceIP(), cookie(object{"name": "b", "ttl": "0s", "path": "/"})},
			hashpolicy.List{hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: name, TTL: time.Second}), hashpolicy.SourceIP(),
				hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "b", Path: "/"})}, 2},
		{"terminal", []object{terminal(sourceIP()), cookie(object{"name": name, "ttl": "0s"})},
			hashpolicy.List{hashpolicy.SourceIP().Terminal(), hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: name})}, 0},
	}
	var routes []envoy.Route
	for _, c := range cases {
		routes = append(routes, envoy.Route{Name: c.name, Policy: c.envoy})
	}
	l := startEnvoy(t, hosts, routes)
	for _, c := range cases {
		for _, host := range hosts {
			t.Run(c.name+"/"+host, func(t *testing.T) {
				require.NoError(t, c.list.Validate())
				for range 400 / len(hosts) {
					conn := l.dial(t, "", host)
					w := get("/", field{"cookie", name + "="})
					got, cookies := conn.send(t, w, c.name)
					again, _ := conn.send(t, w, c.name)
					conn.Close()
					require.Equal(t, got, again, "two requests on one connection")
					hash, ok, ours := hashes(t, c.list, w)
					require.True(t, ok)
					require.Len(t, ours, c.sets)
					require.Equal(t, cookies, ours)
					require.Equal(t, got, l.backend(hash), "from %s to %s", w.remote, w.local)
					hash2, ok2 := c.list.Hash(w)
					require.True(t, ok2)
					require.Equal(t, hash, hash2, "Hash and HashAndCookies")
				}
			})
		}
	}
}

// Which headers Envoy joins is nowhere written down: the test asks about all that
// are in use.
func TestLiveJoinedHeaders(t *testing.T) {
	var routes []envoy.Route
	for _, name := range headerNames {
		routes = append(routes, envoy.Route{Name: name, Policy: []object{header(name)}})
	}
	l := startEnvoy(t, []string{"127.0.0.1"}, routes)
	conn := l.dial(t, "", "127.0.0.1")
	defer conn.Close()
	for _, name := range headerNames {
		list := hashpolicy.List{hashpolicy.Header(name)}
		for i := range 20 { // odds of 10^-20 to agree by chance
			w := get("/", field{name, fmt.Sprintf("z-%d", i)}, field{name, fmt.Sprintf("a-%d", i)}, field{name, "m"})
			got, _ := conn.send(t, w, name)
			hash, ok, _ := hashes(t, list, w)
			require.True(t, ok)
			require.Equal(t, got, l.backend(hash), "%s", w)
		}
	}
}

// headerNames are those that a client can send without Envoy taking them out.
var headerNames = strings.Fields(`
	accept accept-charset accept-datetime accept-encoding accept-language
	access-control-request-headers access-control-request-method
	access-control-request-private-network age allow authentication
	authorization b3 baggage cache-control cdn-loop content-encoding content-md5
	content-type cookie cookie2 date dnt early-data etag expires forwarded from
	grpc-accept-encoding grpc-encoding grpc-message
	grpc-previous-rpc-attempts grpc-status grpc-timeout idempotency-key if-match
	if-modified-since if-none-match if-range if-schedule-tag-match
	if-unmodified-since last-modified link location max-forwards origin pragma
	prefer priority proxy-authenticate proxy-authorization proxy-status range
	referer sec-fetch-mode sec-websocket-extensions sec-websocket-key
	sec-websocket-version server set-cookie sw8 traceparent tracestate
	upgrade-insecure-requests user-agent vary via warning www-authenticate
	x-amzn-trace-id x-api-key x-b3-flags x-b3-parentspanid x-b3-sampled
	x-b3-spanid x-b3-traceid x-client-trace-id x-cloud-trace-context
	x-correlation-id x-csrf-token x-datadog-trace-id x-envoy-cluster
	x-envoy-decorator-operation x-envoy-downstream-service-cluster
	x-envoy-downstream-service-node x-envoy-external-address
	x-envoy-fault-delay-request x-envoy-is-timeout-retry x-envoy-livenessprobe
	x-envoy-original-dst-host x-envoy-original-host x-envoy-original-path
	x-envoy-peer-metadata x-forwarded-client-cert x-forwarded-for
	x-forwarded-host x-forwarded-port x-forwarded-proto x-forwarded-scheme
	x-grpc-web x-http-method-override x-original-url x-ot-span-context
	x-powered-by x-real-ip x-request-id x-requested-with x-squash-debug x-user`)
