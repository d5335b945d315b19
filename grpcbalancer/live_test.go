package grpcbalancer_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/httpbalancer"
	"github.com/maglev-lb/maglev/internal/envoy"
)

// A fleetMember is a backend as an Envoy, an httpbalancer.Transport and the policy know it.
type fleetMember struct {
	addr   string
	key    string // "" if it has none but its address
	weight uint32 // 0 if it is not set
}

// serveBoth starts a server that answers gRPC and plain HTTP at one port, and says in a
// header who it is.
func serveBoth(t testing.TB) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	addr = l.Addr().String()
	calls := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if err := grpc.SetHeader(ctx, metadata.Pairs("x-backend", addr)); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}))
	healthpb.RegisterHealthServer(calls, health.NewServer())
	s := &http.Server{Protocols: new(http.Protocols), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			calls.ServeHTTP(w, r)
			return
		}
		w.Header().Set("X-Backend", addr)
	})}
	s.Protocols.SetUnencryptedHTTP2(true)
	s.Protocols.SetHTTP1(true)
	go func() { _ = s.Serve(l) }() // returns once the server is closed
	t.Cleanup(func() { _ = s.Close() })
	return addr
}

// A sender sends something with the key user in x-user and returns who has answered.
type sender func(t testing.TB, user string) string

// grpcSender makes calls.
func grpcSender(cc *grpc.ClientConn) sender {
	return func(t testing.TB, user string) string {
		t.Helper()
		var header metadata.MD
		_, err := healthpb.NewHealthClient(cc).Check(addHeader(short(t), "x-user", user), new(healthpb.HealthCheckRequest), grpc.Header(&header))
		require.NoError(t, err)
		require.Len(t, header.Get("x-backend"), 1)
		return header.Get("x-backend")[0]
	}
}

// httpSender sends requests.
func httpSender(client *http.Client, url string) sender {
	return func(t testing.TB, user string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(short(t), http.MethodGet, url, nil)
		require.NoError(t, err)
		req.Header.Set("X-User", user)
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
		return resp.Header.Get("X-Backend")
	}
}

// directly returns the policy and an httpbalancer.Transport, by themselves.
func directly(t testing.TB, fleet []fleetMember) (byGRPC, byHTTP sender) {
	t.Helper()
	var eps []resolver.Endpoint
	var backends []httpbalancer.Backend
	for _, m := range fleet {
		e := endpoints(m.addr)[0]
		if m.key != "" {
			e = withKey(e, m.key)
		}
		if m.weight > 0 {
			e = withWeight(e, m.weight)
		}
		eps = append(eps, e)
		backends = append(backends, httpbalancer.Backend{URL: "http://" + m.addr, Name: m.key, Weight: int(m.weight)})
	}
	pattern := &http.Transport{Protocols: new(http.Protocols)}
	pattern.Protocols.SetUnencryptedHTTP2(true)
	transport, err := httpbalancer.New(httpbalancer.Options{Backends: backends, Hash: hashpolicy.List{hashpolicy.Header("X-User")}, Transport: pattern})
	require.NoError(t, err)
	t.Cleanup(func() { _ = transport.Close() })
	return grpcSender(dial(t, byUser, eps).ClientConn), httpSender(&http.Client{Transport: transport}, "http://fleet/")
}

// through returns a gRPC client and an HTTP client of a proxy.
func through(t testing.TB, addr string) (byGRPC, byHTTP sender) {
	t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = cc.Close() })
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	return grpcSender(cc), httpSender(&http.Client{Transport: transport}, "http://"+addr+"/")
}

// findEnvoy returns the path of an Envoy.
func findEnvoy(t testing.TB) string {
	t.Helper()
	binary, err := envoy.Find(t.Context())
	if err != nil {
		if os.Getenv("MAGLEV_REQUIRE_LIVE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return binary
}

// Calls with the policy, requests with an httpbalancer.Transport, and both through a real
// Envoy with lb_policy MAGLEV reach the same backend with the same key.
func TestLiveAgreement(t *testing.T) {
	binary := findEnvoy(t)
	equal, weighted, keyed := make([]fleetMember, 10), make([]fleetMember, 10), make([]fleetMember, 10)
	for i := range 10 {
		addr := serveBoth(t)
		equal[i] = fleetMember{addr: addr}
		weighted[i] = fleetMember{addr: addr, weight: uint32(i + 1)}
		keyed[i] = fleetMember{addr: addr, weight: uint32(i % 3)}
		if i%2 == 0 {
			keyed[i].key = fmt.Sprint("cache-", i)
		}
	}
	sets := map[string][]fleetMember{"equal": equal, "weighted": weighted, "hash keys": keyed}
	proxy, err := envoy.Start(t.Context(), binary, maglevProxy(sets))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	listeners, err := proxy.Listeners(t.Context())
	require.NoError(t, err)

	for name, fleet := range sets {
		t.Run(name, func(t *testing.T) {
			grpcDirectly, httpDirectly := directly(t, fleet)
			grpcThrough, httpThrough := through(t, listeners[name])
			met := make(map[string]bool)
			for i := range 1000 {
				user := fmt.Sprint("user-", i)
				want := grpcThrough(t, user)
				require.Equal(t, want, httpThrough(t, user), "HTTP through Envoy, %s", user)
				require.Equal(t, want, grpcDirectly(t, user), "gRPC with the policy, %s", user)
				require.Equal(t, want, httpDirectly(t, user), "HTTP with the Transport, %s", user)
				met[want] = true
			}
			// The least of the weights is 1 of 55: its backend is not met with odds of 10^-8.
			require.Len(t, met, len(fleet))
		})
	}
}

// maglevProxy is the bootstrap of a proxy with a listener and a cluster for each set. It
// hashes x-user.
func maglevProxy(sets map[string][]fleetMember) map[string]any {
	type object = map[string]any
	var listeners, clusters []object
	for name, fleet := range sets {
		var members []object
		for _, m := range fleet {
			member := object{"endpoint": socket(netip.MustParseAddrPort(m.addr))}
			if m.key != "" {
				member["metadata"] = object{"filter_metadata": object{"envoy.lb": object{"hash_key": m.key}}}
			}
			if m.weight > 0 {
				member["load_balancing_weight"] = m.weight
			}
			members = append(members, member)
		}
		clusters = append(clusters, withHTTP2(object{
			"name": name, "type": "STATIC", "lb_policy": "MAGLEV", "connect_timeout": "5s",
			"load_assignment": object{"cluster_name": name, "endpoints": []object{{"lb_endpoints": members}}},
		}))
		route := object{"match": object{"prefix": "/"}, "route": object{
			"cluster":     name,
			"hash_policy": []object{{"header": object{"header_name": "x-user"}}},
		}}
		listeners = append(listeners, object{
			"name":    name,
			"address": socket(netip.MustParseAddrPort("127.0.0.1:0"))["address"],
			"filter_chains": []object{{"filters": []object{{"name": "hcm", "typed_config": object{
				"@type":        extensions + "filters.network.http_connection_manager.v3.HttpConnectionManager",
				"stat_prefix":  "test",
				"route_config": object{"virtual_hosts": []object{{"name": "all", "domains": []string{"*"}, "routes": []object{route}}}},
				"http_filters": []object{{"name": "router", "typed_config": object{"@type": extensions + "filters.http.router.v3.Router"}}},
			}}}}},
		})
	}
	return object{"static_resources": object{"listeners": listeners, "clusters": clusters}}
}

const extensions = "type.googleapis.com/envoy.extensions."

// withHTTP2 has a cluster speak HTTP/2.
func withHTTP2(cluster map[string]any) map[string]any {
	type object = map[string]any
	cluster["typed_extension_protocol_options"] = object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
		"@type":                extensions + "upstreams.http.v3.HttpProtocolOptions",
		"explicit_http_config": object{"http2_protocol_options": object{}},
	}}
	return cluster
}

// socket is what has an address.
func socket(addr netip.AddrPort) map[string]any {
	type object = map[string]any
	return object{"address": object{"socket_address": object{"address": addr.Addr().String(), "port_value": addr.Port()}}}
}
