package config

import (
	"time"

	healthcheckv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	localratelimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// httpFilters reads the filters, and returns the names of those that limit a rate.
func (b *builder) httpFilters(p *place, filters []*hcmv3.HttpFilter, h *HTTP) (limits []string) {
	const routerLast = "the last HTTP filter has to be the router, envoy.filters.http.router"
	if len(filters) == 0 {
		b.bad(p, "http_filters is missing; %s", routerLast)
	}
	for i, filter := range filters {
		at := p.at("http_filters", i)
		typed := at.to("typed_config")
		last := i == len(filters)-1
		config := b.any(filter.GetTypedConfig())
		router, isRouter := config.(*routerv3.Router)
		if isRouter != last && config != nil {
			b.bad(at, "%q is %s filter; %s", filter.GetName(), map[bool]string{true: "the last", false: "not the last"}[last], routerLast)
		}
		switch config := config.(type) {
		case nil:
			if filter.GetTypedConfig() == nil && !at.isThere(b.root, "config_discovery") {
				b.missing(at, "typed_config")
			}
		case *routerv3.Router:
			h.Router = Router{
				SuppressEnvoyHeaders:   router.GetSuppressEnvoyHeaders(),
				StrictCheckHeaders:     router.GetStrictCheckHeaders(),
				RespectExpectedTimeout: router.GetRespectExpectedRqTimeout(),
			}
		case *localratelimitv3.LocalRateLimit:
			h.Filters = append(h.Filters, b.localRateLimit(typed, config))
			limits = append(limits, filter.GetName())
		case *healthcheckv3.HealthCheck:
			if f := b.healthCheckFilter(typed, config); f != nil {
				h.Filters = append(h.Filters, f)
			}
		default:
			b.wrongType(typed, filter.GetTypedConfig(), "router.v3.Router", "local_ratelimit.v3.LocalRateLimit", "health_check.v3.HealthCheck")
		}
	}
	return limits
}

func (b *builder) localRateLimit(p *place, m *localratelimitv3.LocalRateLimit) *LocalRateLimit {
	l := &LocalRateLimit{
		StatPrefix:                     m.GetStatPrefix(),
		Enabled:                        Fraction{0, 100},
		Enforced:                       Fraction{0, 100},
		Status:                         429,
		ResponseHeaders:                b.headersToAdd(p.to("response_headers_to_add"), m.GetResponseHeadersToAdd()),
		RequestHeaders:                 b.headersToAdd(p.to("request_headers_to_add_when_not_enforced"), m.GetRequestHeadersToAddWhenNotEnforced()),
		PerConnection:                  m.GetLocalRateLimitPerDownstreamConnection(),
		RateLimitHeaders:               m.GetEnableXRatelimitHeaders() != 0,
		RateLimitedAsResourceExhausted: m.GetRateLimitedAsResourceExhausted(),
	}
	if m.GetFilterEnabled() != nil {
		l.Enabled = b.fraction(m.GetFilterEnabled())
	}
	if m.GetFilterEnforced() != nil {
		l.Enforced = b.fraction(m.GetFilterEnforced())
	}
	// A status below 400 is as good as none.
	if code := int(m.GetStatus().GetCode()); code >= 400 {
		l.Status = code
	}
	if bucket := m.GetTokenBucket(); bucket != nil {
		l.Bucket = b.tokenBucket(p.to("token_bucket"), bucket)
	}
	return l
}

func (b *builder) tokenBucket(p *place, m *typev3.TokenBucket) *TokenBucket {
	t := &TokenBucket{
		MaxTokens:     m.GetMaxTokens(),
		TokensPerFill: uint32Or(m.GetTokensPerFill(), 1),
		FillInterval:  m.GetFillInterval().AsDuration(),
	}
	if m.GetFillInterval() != nil && t.FillInterval < 50*time.Millisecond {
		b.bad(p.to("fill_interval"), "%s is not allowed; it has to be at least 0.05s", durationText(t.FillInterval))
	}
	return t
}

func (b *builder) healthCheckFilter(p *place, m *healthcheckv3.HealthCheck) *HealthCheckFilter {
	if m.GetPassThroughMode().GetValue() {
		b.bad(p.to("pass_through_mode"), "true is unsupported; it is false")
	}
	f := &HealthCheckFilter{Headers: b.headerMatches(p, "headers", m.GetHeaders())}
	for name, percent := range m.GetClusterMinHealthyPercentages() {
		if f.MinHealthy == nil {
			f.MinHealthy = make(map[string]float64)
		}
		f.MinHealthy[name] = percent.GetValue()
	}
	return f
}

// A perFilter is typed_per_filter_config of a route, or of what holds routes.
type perFilter = map[string]*anypb.Any

// rateLimit reads the limit of a route, which takes the place of the filter's own. One for
// a filter that is not there has no effect.
func (r *routeBuilder) rateLimit(p *place, m perFilter) *LocalRateLimit {
	at := p.to("typed_per_filter_config")
	var limit *LocalRateLimit
	for name, value := range m {
		inner := at.to(quotedField(name))
		config, ok := r.any(value).(*localratelimitv3.LocalRateLimit)
		if !ok {
			r.wrongType(inner, value, "local_ratelimit.v3.LocalRateLimit")
			continue
		}
		l := r.localRateLimit(inner, config)
		if l.Bucket == nil {
			r.missing(inner, "token_bucket")
		}
		for _, filter := range r.limits {
			if filter != name {
				continue
			}
			if limit == nil && len(r.limits) == 1 {
				limit = l
			} else {
				r.bad(inner, "unsupported with more than one local_ratelimit filter")
			}
		}
	}
	return limit
}
