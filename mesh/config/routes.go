package config

import (
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
)

// A routeBuilder makes the routes of one connection manager.
type routeBuilder struct {
	*builder
	limits  []string // names of the filters that limit a rate
	anyname bool     // validate_clusters is false: routes may name clusters that are not there
	maxBody uint32   // max_direct_response_body_size_bytes
}

func (r *routeBuilder) config(p *place, m *routev3.RouteConfiguration) *RouteConfig {
	c := &RouteConfig{
		Name:                 m.GetName(),
		MostSpecificWins:     m.GetMostSpecificHeaderMutationsWins(),
		IgnorePort:           m.GetIgnorePortInHostMatching(),
		IgnorePathParameters: m.GetIgnorePathParametersInPathMatching(),
		Headers:              r.mutations(p, m),
	}
	for _, name := range m.GetInternalOnlyHeaders() {
		c.InternalOnlyHeaders = append(c.InternalOnlyHeaders, strings.ToLower(name))
	}
	r.anyname = m.GetValidateClusters() != nil && !m.GetValidateClusters().GetValue()
	r.maxBody = uint32Or(m.GetMaxDirectResponseBodySizeBytes(), 4096)
	mirrors := r.mirrors(p, m.GetRequestMirrorPolicies())
	limit := r.rateLimit(p, m.GetTypedPerFilterConfig())

	domains := make(map[string]bool)
	for i, host := range m.GetVirtualHosts() {
		at := p.at("virtual_hosts", i)
		h := r.virtualHost(at, host)
		// What the table says holds where a virtual host says nothing.
		if len(host.GetRequestMirrorPolicies()) == 0 {
			h.Mirrors = mirrors
		}
		if h.RateLimit == nil {
			h.RateLimit = limit
		}
		for j, domain := range h.Domains {
			if domains[domain] {
				r.bad(at.at("domains", j), "%q is there already, in any case; each domain may be there once in a route_config", host.GetDomains()[j])
			}
			domains[domain] = true
		}
		c.VirtualHosts = append(c.VirtualHosts, h)
	}
	return c
}

func (r *routeBuilder) virtualHost(p *place, m *routev3.VirtualHost) *VirtualHost {
	h := &VirtualHost{
		Name:               m.GetName(),
		Headers:            r.mutations(p, m),
		Retry:              r.retryPolicy(p.to("retry_policy"), m.GetRetryPolicy()),
		Mirrors:            r.mirrors(p, m.GetRequestMirrorPolicies()),
		IncludeAttempts:    m.GetIncludeRequestAttemptCount(),
		AttemptsInResponse: m.GetIncludeAttemptCountInResponse(),
		RateLimit:          r.rateLimit(p, m.GetTypedPerFilterConfig()),
	}
	h.RequestBodyBufferLimit = bufferLimit(m)
	switch m.GetRequireTls() {
	case routev3.VirtualHost_EXTERNAL_ONLY:
		h.RequireTLS = TLSExternalOnly
	case routev3.VirtualHost_ALL:
		h.RequireTLS = TLSAll
	}
	for _, domain := range m.GetDomains() {
		h.Domains = append(h.Domains, strings.ToLower(domain))
	}
	h.Routes = make([]*Route, 0, len(m.GetRoutes()))
	for i, route := range m.GetRoutes() {
		h.Routes = append(h.Routes, r.route(p.at("routes", i), route))
	}
	return h
}

func (r *routeBuilder) route(p *place, m *routev3.Route) *Route {
	route := &Route{
		Name:       m.GetName(),
		Match:      r.routeMatch(p.to("match"), m.GetMatch()),
		Headers:    r.mutations(p, m),
		StatPrefix: m.GetStatPrefix(),
		RateLimit:  r.rateLimit(p, m.GetTypedPerFilterConfig()),
	}
	route.RequestBodyBufferLimit = bufferLimit(m)
	switch action := m.GetAction().(type) {
	case *routev3.Route_Route:
		route.Forward = r.forward(p.to("route"), action.Route)
	case *routev3.Route_Redirect:
		route.Redirect = r.redirect(p.to("redirect"), action.Redirect)
	case *routev3.Route_DirectResponse:
		route.Direct = r.directResponse(p.to("direct_response"), action.DirectResponse)
	}
	return route
}

func (r *routeBuilder) redirect(p *place, m *routev3.RedirectAction) *Redirect {
	d := &Redirect{
		HTTPS: m.GetHttpsRedirect(), Scheme: m.GetSchemeRedirect(),
		Host: m.GetHostRedirect(), Port: m.GetPortRedirect(),
		Path: m.GetPathRedirect(), StripQuery: m.GetStripQuery(),
		RegexRewrite: r.regexRewrite(p.to("regex_rewrite"), m.GetRegexRewrite()),
		Status:       301,
	}
	d.PrefixRewrite = textOrNil(m.GetPrefixRewrite())
	switch m.GetResponseCode() {
	case routev3.RedirectAction_FOUND:
		d.Status = 302
	case routev3.RedirectAction_SEE_OTHER:
		d.Status = 303
	case routev3.RedirectAction_TEMPORARY_REDIRECT:
		d.Status = 307
	case routev3.RedirectAction_PERMANENT_REDIRECT:
		d.Status = 308
	}
	return d
}

func (r *routeBuilder) directResponse(p *place, m *routev3.DirectResponseAction) *DirectResponse {
	d := &DirectResponse{Status: int(m.GetStatus())}
	if m.GetBody() != nil {
		at := p.to("body")
		d.Body = r.dataSource(at, m.GetBody())
		if len(d.Body) > int(r.maxBody) && r.maxBody > 0 { // 0 is no bound, as in Envoy
			r.bad(at, "the body has %d bytes; it may have at most %d, see max_direct_response_body_size_bytes", len(d.Body), r.maxBody)
		}
	}
	if m.GetBodyFormat() != nil {
		d.Format = r.bodyFormat(p.to("body_format"), m.GetBodyFormat())
	}
	return d
}

// textOrNil returns nil for an empty text, which is as good as none.
func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
