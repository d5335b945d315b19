// Package route decides what becomes of a request: which virtual host and route it is for, which
// cluster it goes to, what is changed in its head before that, and what is answered if the route
// redirects it or answers itself.
//
// Two types matter. A [Table] is made once of a checked configuration and finds, for each
// request, a [Route]. That is asked in this order, which is Envoy's:
//
//	virtualHost, route := table.Match(ex, random)
//	cluster, weighted := route.Cluster(ex, random) // sees the request as it came
//	route.RewriteRequest(ex, weighted, originals)  // header mutations, then host and path
//	hash, ok, cookies := route.Hash(ex)            // sees it as it is sent
//	route.RewriteHost(ex, hostname, originals)     // once a host of the cluster is chosen
//	route.RewriteResponse(ex, weighted)
//
// or, of those that do not forward, [Route.Redirect] or [Route.Direct]. How paths are made normal
// before all that is in [PathRules].
//
// Nothing here waits or keeps anything of a request: all of it may be used by any number of
// goroutines, each with an exchange of its own. What is said of Envoy was recorded from version
// 1.40.0.
package route

import (
	"slices"
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A Table holds virtual hosts and their routes: Envoy's RouteConfiguration. It does not change.
type Table struct {
	// Config is what the table was made of.
	Config *config.RouteConfig

	domains domains
}

// A VirtualHost holds the routes of some domains. It does not change.
type VirtualHost struct {
	// Config is what the virtual host was made of.
	Config *config.VirtualHost

	table  *Table
	routes []matcher // in the order of the configuration

	// scanned are the routes to be tried for every path, and byPath those for one path only. Both
	// are indices in ascending order. Without many routes of the second kind all are scanned.
	scanned []int
	byPath  map[string][]int

	toHTTPS *Route // what require_tls sends requests to; nil: it does not
}

// A Route is what becomes of a request. It does not change.
type Route struct {
	// Config is what the route was made of. In the one that require_tls leads to it is nothing but
	// a redirect.
	Config *config.Route

	// VirtualHost is the one that the route is of.
	VirtualHost *VirtualHost

	// Retry is retry_policy of the route or else of the virtual host, nil for none.
	Retry *config.RetryPolicy

	// Mirrors are request_mirror_policies of the route or else of the virtual host.
	Mirrors []config.Mirror

	// RequestBodyBufferLimit is per_request_buffer_limit_bytes of the route or else of the virtual
	// host, nil for neither.
	RequestBodyBufferLimit *uint64

	weighted []Weighted // of a forward to weighted clusters

	matcher    matcher
	path, host *substitution // regex_rewrite, of the action that there is, and host_rewrite_path_regex
	redirect   redirect

	mutations    []*mutations // of the route, the virtual host and the table, in the order to be applied
	requireHTTPS bool         // it is a virtual host's toHTTPS
}

// A Weighted is one of the weighted clusters of a route. It does not change.
type Weighted struct {
	// Config is what it was made of.
	Config *config.WeightedCluster

	mutations *mutations
}

// New makes a table of a checked configuration, which must not be changed afterwards.
func New(rc *config.RouteConfig) *Table {
	t := &Table{Config: rc}
	ofTable := newMutations(&rc.Headers)
	for _, c := range rc.VirtualHosts {
		h := &VirtualHost{Config: c, table: t}
		ofHost := newMutations(&c.Headers)
		for _, r := range c.Routes {
			levels := []*mutations{newMutations(&r.Headers), ofHost, ofTable}
			if rc.MostSpecificWins {
				slices.Reverse(levels)
			}
			h.routes = append(h.routes, newRoute(h, r, levels).matcher)
		}
		h.index()
		if c.RequireTLS != config.TLSNone {
			toHTTPS := &config.Route{Redirect: &config.Redirect{HTTPS: true, Status: 301}}
			h.toHTTPS = &Route{Config: toHTTPS, VirtualHost: h, requireHTTPS: true}
		}
		for _, domain := range c.Domains {
			t.domains.add(domain, h)
		}
	}
	t.domains.finish()
	return t
}

func newRoute(h *VirtualHost, c *config.Route, levels []*mutations) *Route {
	r := &Route{
		Config: c, VirtualHost: h,
		Retry: h.Config.Retry, Mirrors: h.Config.Mirrors, RequestBodyBufferLimit: h.Config.RequestBodyBufferLimit,
	}
	r.matcher = newMatcher(r)
	for _, level := range levels {
		if level != nil {
			r.mutations = append(r.mutations, level)
		}
	}
	if c.RequestBodyBufferLimit != nil {
		r.RequestBodyBufferLimit = c.RequestBodyBufferLimit
	}
	if c.Redirect != nil {
		r.path = newSubstitution(c.Redirect.RegexRewrite)
		r.redirect = newRedirect(c.Redirect)
	}
	f := c.Forward
	if f == nil {
		return r
	}
	if f.Retry != nil {
		r.Retry = f.Retry
	}
	if len(f.Mirrors) > 0 {
		r.Mirrors = f.Mirrors
	}
	r.path = newSubstitution(f.RegexRewrite)
	r.host = newSubstitution(f.HostRewritePath)
	if f.Weighted != nil {
		for i := range f.Weighted.Clusters {
			cluster := &f.Weighted.Clusters[i]
			r.weighted = append(r.weighted, Weighted{Config: cluster, mutations: newMutations(&cluster.Headers)})
		}
	}
	return r
}

// Match finds the virtual host and the route that a request is for. Without a virtual host of its
// domain both are nil, and without a matching route that is nil: the answer is 404.
//
// Random is what runtime_fraction is decided by. It is to be drawn once for a request, and given to
// [Route.Cluster] as well, so that both decide as Envoy does.
func (t *Table) Match(ex *message.Exchange, random uint64) (*VirtualHost, *Route) {
	host := ex.Request.Authority
	if t.Config.IgnorePort {
		host = withoutPort(host)
	}
	h := t.domains.find(host)
	if h == nil || !strings.HasPrefix(ex.Request.Path, "/") {
		return h, nil // not even "*", of OPTIONS, gets further
	}
	if h.toHTTPS != nil && h.requiresHTTPS(&ex.Request) {
		return h, h.toHTTPS
	}
	return h, h.match(&ex.Request, random)
}

// requiresHTTPS returns whether a request is to be redirected. What has come by https is told by
// x-forwarded-proto, and what comes from within by the field that the connection manager sets for
// addresses of internal_address_config.
func (h *VirtualHost) requiresHTTPS(r *message.Request) bool {
	if proto, _ := r.Fields.Get("x-forwarded-proto"); proto == "https" {
		return false
	}
	if h.Config.RequireTLS == config.TLSExternalOnly {
		internal, _ := r.Fields.Get("x-envoy-internal")
		return internal != "true"
	}
	return true
}

// RateLimit returns the local rate limit of the weighted cluster that was chosen, if any, or else
// of the route or else of the virtual host: typed_per_filter_config. It is nil where the filter's
// own holds.
func (r *Route) RateLimit(w *Weighted) *config.LocalRateLimit {
	switch {
	case w != nil && w.Config.RateLimit != nil:
		return w.Config.RateLimit
	case r.Config.RateLimit != nil:
		return r.Config.RateLimit
	}
	return r.VirtualHost.Config.RateLimit
}

// IsGRPC returns whether a request is of gRPC, so that local replies to it are too.
func IsGRPC(ex *message.Exchange) bool { return isGRPC(&ex.Request) }

func isGRPC(r *message.Request) bool {
	if r.Method == "CONNECT" {
		return false
	}
	kind, _ := r.Fields.Get("content-type")
	after, ok := strings.CutPrefix(kind, "application/grpc")
	return ok && (after == "" || after[0] == '+')
}
