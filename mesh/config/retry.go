package config

import (
	"strings"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	omitcanaryv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_canary_hosts/v3"
	previoushostsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
)

// retryReasons are the names of the reasons in retry_on, of HTTP and of gRPC.
var retryReasons = map[string]RetryOn{
	"5xx":                        Retry5xx,
	"gateway-error":              RetryGatewayError,
	"reset":                      RetryReset,
	"reset-before-request":       RetryResetBeforeRequest,
	"connect-failure":            RetryConnectFailure,
	"envoy-ratelimited":          RetryEnvoyRateLimited,
	"retriable-4xx":              RetryRetriable4xx,
	"refused-stream":             RetryRefusedStream,
	"retriable-status-codes":     RetryStatusCodes,
	"retriable-headers":          RetryHeaders,
	"cancelled":                  RetryGRPCCancelled,
	"deadline-exceeded":          RetryGRPCDeadlineExceeded,
	"resource-exhausted":         RetryGRPCResourceExhausted,
	"unavailable":                RetryGRPCUnavailable,
	"internal":                   RetryGRPCInternal,
	"http3-post-connect-failure": RetryHTTP3Connect,
}

// ParseRetryOn reads reasons separated by commas, as in retry_on and x-envoy-retry-on:
// those among a set, such as [RetryOnGRPC]. Others are passed over, as Envoy does; it
// returns whether there were none.
func ParseRetryOn(list string, among RetryOn) (on RetryOn, all bool) {
	all = true
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		reason := retryReasons[name] & among
		on |= reason
		all = all && (reason != 0 || name == "")
	}
	return on, all
}

func (b *builder) retryPolicy(p *place, m *routev3.RetryPolicy) *RetryPolicy {
	if m == nil {
		return nil
	}
	on, _ := ParseRetryOn(m.GetRetryOn(), RetryOnHTTP|RetryOnGRPC)
	r := &RetryPolicy{
		On:             on,
		Max:            uint32Or(m.GetNumRetries(), 1),
		PerTry:         m.GetPerTryTimeout().AsDuration(),
		PerTryIdle:     m.GetPerTryIdleTimeout().AsDuration(),
		BaseInterval:   25 * time.Millisecond,
		HostAttempts:   1,
		Headers:        b.headerMatches(p, "retriable_headers", m.GetRetriableHeaders()),
		RequestHeaders: b.headerMatches(p, "retriable_request_headers", m.GetRetriableRequestHeaders()),
	}
	for _, status := range m.GetRetriableStatusCodes() {
		r.Statuses = append(r.Statuses, int(status))
	}
	if n := m.GetHostSelectionRetryMaxAttempts(); n > 0 {
		r.HostAttempts = uint32(min(n, 1<<20))
	}
	r.MaxInterval = 10 * r.BaseInterval
	if backOff := m.GetRetryBackOff(); backOff != nil {
		// Intervals are in whole milliseconds, at least one.
		r.BaseInterval = max(milliseconds(backOff.GetBaseInterval()), time.Millisecond)
		r.MaxInterval = 10 * r.BaseInterval
		if backOff.GetMaxInterval() != nil {
			r.MaxInterval = max(milliseconds(backOff.GetMaxInterval()), time.Millisecond)
		}
		if r.MaxInterval < r.BaseInterval {
			b.bad(p.to("retry_back_off").to("max_interval"), "%s is not allowed; it has to be at least base_interval, %s", durationText(r.MaxInterval), durationText(r.BaseInterval))
		}
	}
	if limited := m.GetRateLimitedRetryBackOff(); limited != nil {
		r.ResetMax = durationOr(limited.GetMaxInterval(), 300*time.Second)
		for _, h := range limited.GetResetHeaders() {
			r.ResetHeaders = append(r.ResetHeaders, ResetHeader{
				Name: strings.ToLower(h.GetName()), UnixTime: h.GetFormat() == routev3.RetryPolicy_UNIX_TIMESTAMP,
			})
		}
	}
	b.retryHosts(p, m, r)
	return r
}

func (b *builder) retryHosts(p *place, m *routev3.RetryPolicy, r *RetryPolicy) {
	for i, predicate := range m.GetRetryHostPredicate() {
		at := p.at("retry_host_predicate", i)
		switch b.any(predicate.GetTypedConfig()).(type) {
		case nil:
			if predicate.GetTypedConfig() == nil {
				b.missing(at, "typed_config")
			}
		case *previoushostsv3.PreviousHostsPredicate:
			r.PreviousHosts = true
		case *omitcanaryv3.OmitCanaryHostsPredicate:
			r.OmitCanary = true
		default:
			b.wrongType(at.to("typed_config"), predicate.GetTypedConfig(), "previous_hosts.v3.PreviousHostsPredicate", "omit_canary_hosts.v3.OmitCanaryHostsPredicate")
		}
	}
}
