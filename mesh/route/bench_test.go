package route

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/message"
)

// manyHosts makes 1,000 virtual hosts of 10 routes: of every ten hosts six have an exact domain,
// three a suffix and one a prefix, each of its own length. The routes are of every kind, and the
// last one is for all paths.
func manyHosts() *Table {
	rc := &config.RouteConfig{}
	for i := range 1000 {
		domain := fmt.Sprintf("service-%d.example.com", i)
		switch name := fmt.Sprintf("%0*d", 1+i%12, i); {
		case i%10 >= 9:
			domain = "internal-" + name + ".*"
		case i%10 >= 6:
			domain = "*.team-" + name + ".example.com"
		}
		regex, err := config.CompileRegex(`/items/[0-9]+/details`, true)
		if err != nil {
			panic(err)
		}
		h := &config.VirtualHost{Name: domain, Domains: []string{domain}}
		for _, m := range []config.RouteMatch{
			{Path: new("/healthz")},
			{Path: new("/login"), Headers: []config.HeaderMatch{{Name: ":method", String: &config.StringMatch{Exact: new("POST")}}}},
			{Prefix: new("/static/")},
			{Prefix: new("/api/v1/"), Headers: []config.HeaderMatch{{Name: "x-canary", String: &config.StringMatch{Exact: new("yes")}}}},
			{Prefix: new("/api/v1/")},
			{PathPrefix: new("/admin")},
			{Regex: regex},
			{Prefix: new("/search"), Query: []config.QueryMatch{{Name: "lang", String: &config.StringMatch{Exact: new("en")}}}},
			{Prefix: new("/grpc.Service/"), GRPC: true},
			{Prefix: new("/")},
		} {
			h.Routes = append(h.Routes, &config.Route{Match: m, Forward: &config.Forward{Cluster: "c"}})
		}
		rc.VirtualHosts = append(rc.VirtualHosts, h)
	}
	return New(rc)
}

func mixedRequests() (all []*message.Exchange) {
	for i, c := range []struct{ host, path string }{
		{"service-3.example.com", "/healthz"},
		{"service-512.example.com", "/api/v1/users/42?full=1"},
		{"www.team-000000008.example.com", "/static/app.js"},
		{"api.team-00000007.example.com", "/search?q=a&lang=en"},
		{"internal-0000000009.local", "/items/1234/details"},
		{"service-120.example.com", "/nothing/special"},
		{"service-995.example.com:80", "/"},
		{"service-1.example.com", "/items/1234/details?x"},
	} {
		ex := &message.Exchange{Request: message.Request{Method: "GET", Scheme: "http", Authority: c.host, Path: c.path}}
		for _, name := range []string{"user-agent", "accept", "accept-encoding", "cookie", "x-request-id", "x-forwarded-for", "x-forwarded-proto", fmt.Sprintf("x-%d", i)} {
			ex.Request.Fields.Add(name, "some value of usual length")
		}
		all = append(all, ex)
	}
	return all
}

func BenchmarkMatch(b *testing.B) {
	table, requests := manyHosts(), mixedRequests()
	b.Run("hosts=1000/routes=10/mixed", func(b *testing.B) {
		b.ReportAllocs()
		for i := range b.N {
			table.Match(requests[i%len(requests)], 0)
		}
	})
	for _, ex := range requests {
		b.Run("hosts=1000/routes=10/"+ex.Request.Authority+ex.Request.Path, func(b *testing.B) {
			for range b.N {
				table.Match(ex, 0)
			}
		})
	}
	for _, n := range []int{10, 1000} {
		var matches []config.RouteMatch
		for i := range n {
			matches = append(matches, config.RouteMatch{Path: new(fmt.Sprintf("/path/%d", i))})
		}
		many := routesOf(matches...)
		ex := &message.Exchange{Request: message.Request{Path: fmt.Sprintf("/path/%d", n-1)}}
		b.Run(fmt.Sprintf("paths=%d/last", n), func(b *testing.B) {
			for range b.N {
				many.Match(ex, 0)
			}
		})
	}
}

func TestMatchDoesNotAllocate(t *testing.T) {
	table, requests := manyHosts(), mixedRequests()
	for _, ex := range requests {
		_, r := table.Match(ex, 0)
		if ex.Request.Authority != "service-995.example.com:80" {
			require.NotNil(t, r, ex.Request.Authority)
		}
		assert.Zero(t, testing.AllocsPerRun(100, func() { table.Match(ex, 0) }), ex.Request.Authority)
	}
}

func static(text string) *format.Format {
	f, err := format.Parse(text)
	if err != nil {
		panic(err)
	}
	return f
}

// rewriting is a route with what is usual: two fields added to the request and one to the answer,
// one removed, and a hash of a header.
func rewriting() *Route {
	return New(&config.RouteConfig{VirtualHosts: []*config.VirtualHost{{
		Domains: []string{"*"},
		Routes:  []*config.Route{{Match: config.RouteMatch{Prefix: new("/")}, Forward: &config.Forward{Cluster: "c", Hash: hashpolicy.List{hashpolicy.Header("x-user"), config.SourceIP()}}}},
		Headers: config.HeaderMutations{
			Request:        []config.HeaderMutation{{Name: "x-a", Value: static("a")}, {Name: "x-b", Value: static("b"), Action: config.OverwriteOrAdd}},
			RequestRemove:  []string{"x-gone"},
			Response:       []config.HeaderMutation{{Name: "x-served-by", Value: static("mesh")}},
			ResponseRemove: []string{"x-powered-by"},
		},
	}}}).domains.any.routes[0].route
}

func rewriteOnce(r *Route, ex *message.Exchange, request, response message.Fields) {
	ex.Request.Fields = append(ex.Request.Fields[:0], request...)
	ex.Response.Fields = append(ex.Response.Fields[:0], response...)
	_, w := r.Cluster(ex, 0)
	r.RewriteRequest(ex, w, true)
	r.Hash(ex)
	r.RewriteResponse(ex, w)
}

func BenchmarkRewrite(b *testing.B) {
	r := rewriting()
	usual := mixedRequests()[0].Request.Fields
	ex := &message.Exchange{Request: message.Request{Path: "/"}, Remote: message.Address{Text: "192.0.2.1:5"}}
	b.ReportAllocs()
	for range b.N {
		rewriteOnce(r, ex, usual, usual)
	}
}

func TestStaticMutationsAndHashDoNotAllocate(t *testing.T) {
	r := rewriting()
	usual := mixedRequests()[0].Request.Fields
	ex := &message.Exchange{Request: message.Request{Path: "/"}, Remote: message.Address{Text: "192.0.2.1:5"}}
	assert.Zero(t, testing.AllocsPerRun(100, func() { rewriteOnce(r, ex, usual, usual) }))
}
