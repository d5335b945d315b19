package grpcbalancer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/resolver"
	_ "google.golang.org/grpc/xds" // its policies

	"github.com/maglev-lb/maglev/httpbalancer"
)

func TestEndpointsAsBackends(t *testing.T) {
	named := endpoint("", 0, "10.0.0.5:1")
	named.Addresses[0].ServerName = "e.example:9"
	own := endpoint("", 0, "10.0.0.6:1")
	own.Addresses[0].ServerName = "10.0.0.6:1"
	bare := endpoint("", 0, "10.0.0.7:1")
	bare.Addresses[0].ServerName = "fd00::7"
	chosen := endpoint("", 0, "10.0.0.8:1")
	chosen.Addresses[0].ServerName = "10.0.0.8"
	all := []resolver.Endpoint{
		endpoint("", 2, "10.0.0.1:1"), endpoint("", 3, "10.0.0.1:1"),
		endpoint("k", 0, "10.0.0.2:1", "10.0.0.3:1"),
		endpoint("", 0, "[fe80::1%eth0]:1"), endpoint("", 0, "cache-d:1"), named, own, bare, chosen, endpoint("nobody", 7),
	}
	want := []httpbalancer.Backend{
		{Name: "10.0.0.1:1", URL: "http://10.0.0.1:1", Weight: 5},
		{Name: "10.0.0.5:1", URL: "http://10.0.0.5:1", Weight: 1},
		{Name: "10.0.0.6:1", URL: "http://10.0.0.6:1", Weight: 1},
		{Name: "10.0.0.7:1", URL: "http://10.0.0.7:1", Weight: 1},
		{Name: "10.0.0.8:1", URL: "http://10.0.0.8:1", Weight: 1},
		{Name: "[fe80::1%eth0]:1", URL: "http://[fe80::1%25eth0]:1", Weight: 1},
		{Name: "cache-d:1", URL: "http://cache-d:1", Weight: 1},
		{Name: "k", URL: "http://10.0.0.2:1", Weight: 1},
	}
	got, err := (&discoverer{scheme: "http"}).backends(new(Config).rowsOf(all), "cache.example:1")
	require.NoError(t, err)
	require.Equal(t, want, got)

	// Nobody but an address that is its own name leaves it to the Transport.
	for authority, names := range map[string][]string{
		"cache.example:1": {"cache.example", "e.example", "", "fd00::7", "10.0.0.8", "cache.example", "cache.example", "cache.example"},
		"cache-d":         {"cache-d", "e.example", "", "fd00::7", "10.0.0.8", "cache-d", "cache-d", "cache-d"},
		"[fd00::1]":       {"fd00::1", "e.example", "", "fd00::7", "10.0.0.8", "fd00::1", "fd00::1", "fd00::1"},
		nameless:          {"", "e.example", "", "fd00::7", "10.0.0.8", "", "", ""},
	} {
		got, err = (&discoverer{scheme: "https"}).backends(new(Config).rowsOf(all), authority)
		require.NoError(t, err)
		for i, b := range got {
			require.Equal(t, names[i], b.ServerName, "%s of %s", b.URL, authority)
			require.Equal(t, "https"+want[i].URL[len("http"):], b.URL)
		}
	}

	require.Equal(t, "a%b:1", ownName("a%b:1")) // of another resolver

	_, err = (&discoverer{target: "maglev:unix:/run/s", scheme: "http"}).backends(new(Config).rowsOf([]resolver.Endpoint{endpoint("", 0, "unix:/run/s")}), "")
	require.ErrorIs(t, err, ErrBackend)
	require.ErrorContains(t, err, `grpcbalancer: FromResolver: maglev:unix:/run/s: address "unix:/run/s": backend not usable: a URL cannot`)
}

func TestBadDiscoverers(t *testing.T) {
	for _, c := range []struct {
		builder              resolver.Builder
		target, scheme, want string
	}{
		{nil, "dns:///a:1", "", `grpcbalancer: FromResolver: scheme "": option out of range: it must be "http" or "https"`},
		{nil, "dns:///a:1", "HTTP", `scheme "HTTP": option out of range`},
		{nil, "", "http", `target "": option out of range: it must have the scheme of a resolver, such as dns:///cache.example:8080`},
		{nil, "10.0.0.1:80", "http", `target "10.0.0.1:80": option out of range: parse`},
		{nil, "zookeeper:///a", "http", `no resolver is registered for its scheme; import the package that has it, or pass it`},
		{nil, "maglev-manual:///a", "http", `no resolver is registered for its scheme; import the package that has it, or pass it`},
		{NewResolver(), "dns:///a:1", "http", `its scheme must be that of the resolver, as in maglev-manual:///cache.example`},
	} {
		_, err := httpbalancer.New(httpbalancer.Options{Discover: FromResolver(c.builder, c.target, c.scheme)})
		require.ErrorIs(t, err, httpbalancer.ErrOption)
		require.ErrorContains(t, err, c.want)
	}
	d := FromResolver(nil, "maglev:///a", "http")
	err := d.Discover(t.Context(), nil)
	require.ErrorContains(t, err, `grpcbalancer: FromResolver: maglev:///a: grpcbalancer: target: backend 1 (a): address "a"`)
}

// A scripted resolver says what a test wants it to.
type scripted struct {
	cc     resolver.ClientConn
	name   string // the authority it has been told
	asked  chan time.Time
	closed chan struct{}
}

func (*scripted) Scheme() string { return "scripted" }

func (s *scripted) Build(_ resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	opts.MetricsRecorder.RegisterAsyncReporter(nil)()
	s.cc, s.name, s.asked, s.closed = cc, opts.Authority, make(chan time.Time, 100), make(chan struct{})
	return s, nil
}

func (s *scripted) ResolveNow(resolver.ResolveNowOptions) { s.asked <- time.Now() }
func (s *scripted) Close()                                { close(s.closed) }

// discover runs a Discoverer over a scripted resolver.
func discover(t *testing.T) (s *scripted, sets chan []httpbalancer.Backend, end func() error) {
	t.Helper()
	s, sets = new(scripted), make(chan []httpbalancer.Backend, 100)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		result <- FromResolver(s, "scripted:///cache", "http").Discover(ctx, func(b []httpbalancer.Backend) error {
			sets <- b
			if len(b) == 0 {
				return errors.New("it is refused")
			}
			return nil
		})
	}()
	synctest.Wait()
	return s, sets, func() error {
		cancel()
		return <-result
	}
}

func TestAResolverIsAskedAgainAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, end := discover(t)
		last := time.Now()
		for range 5 {
			at := <-s.asked
			require.GreaterOrEqual(t, at.Sub(last), 30*time.Second)
			require.LessOrEqual(t, at.Sub(last), 33*time.Second)
			last = at
		}
		require.ErrorIs(t, end(), context.Canceled)
		<-s.closed
		require.NoError(t, s.cc.UpdateState(resolver.State{Endpoints: []resolver.Endpoint{endpoint("", 0, "a:1")}})) // too late
		s.cc.ReportError(errors.New("too late"))
	})
}

func TestWhatAResolverSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, sets, end := discover(t)
		require.NoError(t, s.cc.UpdateState(resolver.State{Endpoints: []resolver.Endpoint{endpoint("", 0, "a:1")}}))
		require.Equal(t, "a:1", (<-sets)[0].Name)

		// Addresses count if there are no endpoints, with the attributes they bring.
		keyed := endpoint("k", 3, "c:1")
		addresses := []resolver.Address{{Addr: "b:1"}, {Addr: "c:1", BalancerAttributes: keyed.Attributes}}
		require.NoError(t, s.cc.UpdateState(resolver.State{Addresses: addresses}))
		want := []httpbalancer.Backend{{Name: "b:1", URL: "http://b:1", Weight: 1}, {Name: "k", URL: "http://c:1", Weight: 3}}
		require.Equal(t, want, <-sets)
		//lint:ignore SA1019 resolvers of long ago call it
		s.cc.NewAddress(addresses)
		require.Equal(t, want, <-sets)
		require.NoError(t, s.cc.UpdateState(resolver.State{Addresses: addresses, Endpoints: []resolver.Endpoint{endpoint("", 0, "a:1")}}))
		require.Equal(t, "a:1", (<-sets)[0].Name)

		// The Transport is told of a set of nobody, which it refuses; the resolver too.
		require.Error(t, s.cc.UpdateState(resolver.State{}))
		require.Empty(t, <-sets)

		// What was wrong for a moment only is not an error.
		s.cc.ReportError(errors.New("it is at a loss"))
		time.Sleep(grace / 2)
		require.NoError(t, s.cc.UpdateState(resolver.State{Endpoints: []resolver.Endpoint{endpoint("", 0, "d:1")}}))
		require.Equal(t, "d:1", (<-sets)[0].Name)
		time.Sleep(time.Minute)
		require.ErrorIs(t, end(), context.Canceled)

		// So it is at the very last moment.
		for range 100 {
			s, sets, end = discover(t)
			s.cc.ReportError(errors.New("it is at a loss"))
			time.Sleep(settle)
			require.NoError(t, s.cc.UpdateState(resolver.State{Endpoints: []resolver.Endpoint{endpoint("", 0, "d:1")}}))
			synctest.Wait()
			select {
			case <-s.closed:
				require.EqualError(t, end(), "grpcbalancer: FromResolver: scripted:///cache: it is at a loss")
			default:
				require.Equal(t, "d:1", (<-sets)[0].Name)
				require.ErrorIs(t, end(), context.Canceled)
			}
		}

		s, _, end = discover(t)
		s.cc.ReportError(errors.New("it is at a loss"))
		<-s.closed
		require.EqualError(t, end(), "grpcbalancer: FromResolver: scripted:///cache: it is at a loss")
	})
}

// A resolver is told the authority that it would have in a channel.
func TestAuthoritiesOfResolvers(t *testing.T) {
	for target, want := range map[string]string{
		"scripted:///cache.example:8080": "cache.example:8080",
		"scripted:///:8080":              "localhost:8080",
		"scripted:///a/b":                "a%2Fb",
	} {
		s := new(scripted)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, FromResolver(s, target, "http").Discover(ctx, nil), context.Canceled)
		require.Equal(t, want, s.name)
	}
}

func TestServiceConfigsWithoutBackends(t *testing.T) {
	for config, want := range map[string]string{
		`{}`: "the resolver has returned no endpoints with addresses",
		`[]`: "the service config: json: cannot unmarshal",
		`{"loadBalancingConfig":[{"mine":{}},{"yours":{}}]}`:                                                                                  "the service config has none but policies that are not registered: mine, yours; import",
		`{"loadBalancingConfig":[{"mine":{}},{"round_robin":{}}]}`:                                                                            "round_robin: no children to pick from",
		`{"loadBalancingConfig":[{"maglev":{}}]}`:                                                                                             "the resolver has returned no endpoints with addresses",
		`{"loadBalancingConfig":[{"maglev":{"tableSize":4}}]}`:                                                                                "tableSize 4",
		`{"loadBalancingConfig":[{"xds_cluster_manager_experimental":{"children":{"cluster:b":{},"cluster:a":{}}}}]}`:                         "xDS routes to 2 clusters (cluster:a, cluster:b); there must be one",
		`{"loadBalancingConfig":[{"xds_cluster_manager_experimental":{"children":{"cluster:a":{"childPolicy":[{"cds_experimental":{}}]}}}}]}`: "cluster:a: bad resolver state",
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _, end := discover(t)
			_ = s.cc.UpdateState(resolver.State{ServiceConfig: s.cc.ParseServiceConfig(config)})
			time.Sleep(grace + time.Millisecond)
			select {
			case <-s.closed:
			default:
				require.Fail(t, "it goes on", config)
			}
			require.ErrorContains(t, end(), want, config)
		})
	}
}
