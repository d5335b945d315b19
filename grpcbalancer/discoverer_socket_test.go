package grpcbalancer_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/maglev-lb/maglev/grpcbalancer"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// serveHTTP starts a server that says its name, and returns its address.
func serveHTTP(t testing.TB, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// transport returns a Transport whose backends come from a resolver.
func transport(t testing.TB, builder resolver.Builder, target string) *httpbalancer.Transport {
	t.Helper()
	tr, err := httpbalancer.New(httpbalancer.Options{
		Discover: grpcbalancer.FromResolver(builder, target, "http"),
		Hash:     hashpolicy.List{hashpolicy.Header("X-User")},
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = tr.Close() })
	return tr
}

// get sends a request of a user and returns who has answered.
func get(t testing.TB, tr http.RoundTripper, user string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(short(t), http.MethodGet, "http://cache.example/", nil)
	require.NoError(t, err)
	req.Header.Set("X-User", user)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(text), nil
}

// A request of a user goes where a call of that user goes, as the backends of both have
// the same keys and weights.
func TestRequestsGoWhereCallsGo(t *testing.T) {
	var calls, requests []string
	names := make(map[string]string) // by the address of the gRPC server
	for i, s := range servers(t, 5) {
		name := fmt.Sprint("cache-", i)
		names[s.addr] = name
		parameters := fmt.Sprintf(";key=%s;weight=%d", name, i+1)
		calls = append(calls, s.addr+parameters)
		requests = append(requests, serveHTTP(t, name)+parameters)
	}
	c := dialTo(t, "maglev:///"+strings.Join(calls, ","))
	tr := transport(t, nil, "maglev:///"+strings.Join(requests, ","))
	for i := range 100 {
		user := "user-" + strconv.Itoa(i)
		called, err := c.call(grpcbalancer.WithKey(metadata.AppendToOutgoingContext(short(t), "x-user", user), user))
		require.NoError(t, err)
		got, err := get(t, tr, user)
		require.NoError(t, err)
		require.Equal(t, names[called], got)
	}
}

func TestATransportFollowsAResolver(t *testing.T) {
	a, b := serveHTTP(t, "a"), serveHTTP(t, "b")
	r := grpcbalancer.NewResolver()
	tr := transport(t, r, "maglev-manual:///cache.example")
	require.NoError(t, r.Update(backends(a)))
	got, err := get(t, tr, "user-42")
	require.NoError(t, err)
	require.Equal(t, "a", got)

	require.NoError(t, r.Update(nil)) // as discovery breaks: the last set stays
	require.Eventually(t, func() bool { return tr.Stats().DiscoveryErr != nil }, 20*time.Second, time.Millisecond)
	require.ErrorContains(t, tr.Stats().DiscoveryErr, "it has found none; the last set stays")
	got, err = get(t, tr, "user-42")
	require.NoError(t, err)
	require.Equal(t, "a", got)

	require.NoError(t, r.Update(backends(b)))
	require.Eventually(t, func() bool {
		got, err = get(t, tr, "user-42")
		return err == nil && got == "b" && tr.Stats().DiscoveryErr == nil
	}, 20*time.Second, time.Millisecond)
}

// An error of the resolver is seen, the last set stays, and the resolver is built again.
func TestAResolverThatFails(t *testing.T) {
	a, b := serveHTTP(t, "a"), serveHTTP(t, "b")
	r := manual.NewBuilderWithScheme("test")
	r.InitialState(resolver.State{Endpoints: endpoints(a)})
	built := make(chan resolver.ClientConn, 10)
	r.BuildCallback = func(_ resolver.Target, cc resolver.ClientConn, _ resolver.BuildOptions) { built <- cc }
	tr := transport(t, r, "test:///cache.example")
	got, err := get(t, tr, "user-42")
	require.NoError(t, err)
	require.Equal(t, "a", got)

	r.InitialState(resolver.State{Endpoints: endpoints(b)}) // for the next time
	(<-built).ReportError(fmt.Errorf("it is at a loss"))
	require.Eventually(t, func() bool { return tr.Stats().DiscoveryErr != nil }, 20*time.Second, time.Millisecond)
	require.ErrorContains(t, tr.Stats().DiscoveryErr, "it is at a loss")
	got, err = get(t, tr, "user-42")
	require.NoError(t, err)
	require.Contains(t, "ab", got) // b if it has been built again by now

	require.Eventually(t, func() bool {
		got, err = get(t, tr, "user-42")
		return err == nil && got == "b" && tr.Stats().DiscoveryErr == nil
	}, 20*time.Second, 10*time.Millisecond)
}

// gRPC's own resolver says at once where an IP address is, and looks up a name.
func TestATransportOverDNS(t *testing.T) {
	a := serveHTTP(t, "a")
	_, port, err := net.SplitHostPort(a)
	require.NoError(t, err)
	for _, target := range []string{"dns:///" + a, "dns:///localhost:" + port, "passthrough:///" + a} {
		tr := transport(t, nil, target)
		require.Eventually(t, func() bool { // localhost may be ::1 too, where nobody is
			got, err := get(t, tr, "user-42")
			return err == nil && got == "a"
		}, 20*time.Second, 10*time.Millisecond, target)
	}
}
