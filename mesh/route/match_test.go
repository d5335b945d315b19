package route

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// routesOf makes a table of one virtual host whose routes match so.
func routesOf(matches ...config.RouteMatch) *Table {
	h := &config.VirtualHost{Name: "v", Domains: []string{"*"}}
	for i, m := range matches {
		h.Routes = append(h.Routes, &config.Route{Name: fmt.Sprint(i), Match: m, Forward: &config.Forward{Cluster: "c"}})
	}
	return New(&config.RouteConfig{VirtualHosts: []*config.VirtualHost{h}})
}

func routeOf(t *Table, r message.Request, random uint64) string {
	_, route := t.Match(&message.Exchange{Request: r}, random)
	if route == nil {
		return "none"
	}
	return route.Config.Name
}

// fields makes fields of names and their values.
func fields(pairs ...string) (f message.Fields) {
	for i := 0; i < len(pairs); i += 2 {
		f.Add(pairs[i], pairs[i+1])
	}
	return f
}

func TestFirstMatchWinsAmongManyPaths(t *testing.T) {
	var matches []config.RouteMatch
	for i := range 20 {
		matches = append(matches, config.RouteMatch{Path: new(fmt.Sprintf("/p%d", i))})
	}
	matches[3] = config.RouteMatch{Prefix: new("/p1")}                                                                // before /p10 to /p19
	matches[12] = config.RouteMatch{Path: new("/p2"), Headers: []config.HeaderMatch{{Name: "x"}}}                     // a second one of that path
	matches[2] = config.RouteMatch{Path: new("/p2"), Headers: []config.HeaderMatch{{Name: "x", Present: new(false)}}} // and its first
	table := routesOf(matches...)
	require.NotNil(t, table.domains.any.byPath)
	for _, c := range []struct{ path, want string }{
		{"/p0", "0"}, {"/p1", "1"}, {"/p1?q", "1"}, {"/p2", "2"}, {"/p4", "4"}, {"/p14", "3"}, {"/p12", "3"}, {"/p9", "9"}, {"/p20", "none"}, {"/", "none"},
	} {
		assert.Equal(t, c.want, routeOf(table, message.Request{Path: c.path}, 0), c.path)
	}
	assert.Equal(t, "12", routeOf(table, message.Request{Path: "/p2", Fields: message.Fields{{Name: "x"}}}, 0))
}

func TestRuntimeFraction(t *testing.T) {
	table := routesOf(config.RouteMatch{Prefix: new("/"), Fraction: &config.Fraction{Numerator: 25, Denominator: 100}}, config.RouteMatch{Prefix: new("/")})
	for _, c := range []struct {
		random uint64
		want   string
	}{{0, "0"}, {24, "0"}, {25, "1"}, {99, "1"}, {100, "0"}, {124, "0"}, {125, "1"}} {
		assert.Equal(t, c.want, routeOf(table, message.Request{Path: "/"}, c.random), c.random)
	}
}

func TestNoRouteIsForAPathWithoutSlash(t *testing.T) {
	table := routesOf(config.RouteMatch{Prefix: new("")})
	assert.Equal(t, "0", routeOf(table, message.Request{Path: "/"}, 0))
	assert.Equal(t, "none", routeOf(table, message.Request{Path: "*", Method: "OPTIONS"}, 0))
	assert.Equal(t, "none", routeOf(table, message.Request{}, 0))
}

func TestRequireTLS(t *testing.T) {
	table := tableOf(func(rc *config.RouteConfig) {
		rc.VirtualHosts[0].RequireTLS = config.TLSAll
		rc.VirtualHosts[1].RequireTLS = config.TLSExternalOnly
	}, "all", "external", "none")
	for _, c := range []struct {
		host   string
		fields message.Fields
		want   bool
	}{
		{"all", fields("x-forwarded-proto", "http"), true},
		{"all", fields("x-forwarded-proto", "https"), false},
		{"all", fields("x-envoy-internal", "true"), true},
		{"external", fields("x-envoy-internal", "true"), false},
		{"external", nil, true},
		{"none", nil, false},
	} {
		ex := &message.Exchange{Request: message.Request{Scheme: "http", Authority: c.host, Path: "/a?b", Fields: c.fields}}
		_, r := table.Match(ex, 0)
		require.NotNil(t, r)
		require.Equal(t, c.want, r.Config.Redirect != nil, c)
		if c.want {
			location, status := r.Redirect(ex, true)
			assert.Equal(t, "https://"+c.host+"/a?b", location)
			assert.Equal(t, 301, status)
		}
	}
}

func TestPoliciesOfTheVirtualHost(t *testing.T) {
	ofHost, ofRoute := &config.RetryPolicy{Max: 1}, &config.RetryPolicy{Max: 2}
	limit, limitOfCluster := &config.LocalRateLimit{Status: 429}, &config.LocalRateLimit{Status: 503}
	table := New(&config.RouteConfig{VirtualHosts: []*config.VirtualHost{{
		Domains: []string{"*"}, Retry: ofHost, Mirrors: []config.Mirror{{Cluster: "m"}}, RequestBodyBufferLimit: new(uint64(7)), RateLimit: limit,
		Routes: []*config.Route{
			{Match: config.RouteMatch{Prefix: new("/own")}, Forward: &config.Forward{Retry: ofRoute, Mirrors: []config.Mirror{{Cluster: "n"}}}, RequestBodyBufferLimit: new(uint64(8))},
			{Match: config.RouteMatch{Prefix: new("/")}, Forward: &config.Forward{}},
		},
	}}})
	_, own := table.Match(&message.Exchange{Request: message.Request{Path: "/own"}}, 0)
	_, other := table.Match(&message.Exchange{Request: message.Request{Path: "/"}}, 0)
	assert.Same(t, ofRoute, own.Retry)
	assert.Same(t, ofHost, other.Retry)
	assert.Equal(t, "n", own.Mirrors[0].Cluster)
	assert.Equal(t, "m", other.Mirrors[0].Cluster)
	assert.EqualValues(t, 8, *own.RequestBodyBufferLimit)
	assert.EqualValues(t, 7, *other.RequestBodyBufferLimit)
	assert.Same(t, limit, own.RateLimit(nil))
	assert.Same(t, limitOfCluster, own.RateLimit(&Weighted{Config: &config.WeightedCluster{RateLimit: limitOfCluster}}))
}
