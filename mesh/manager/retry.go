package manager

import (
	"slices"
	"strconv"
	"time"

	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/retry"
)

// retries is what remains of a request's retries.
type retries struct {
	policy  *config.RetryPolicy // of the route; nil: none
	asked   forwarding.Retry    // what the route and the client together say
	left    uint32
	made    int
	backoff retry.Backoff
	breaker *cluster.Retries
	counted bool // at the breaker
	judged  judgement
	tried   []*cluster.Host // for the predicate previous_hosts
}

// start prepares the retries of a request.
func (r *retries) start(p *config.RetryPolicy, asked forwarding.Retry, breaker *cluster.Retries) {
	r.policy, r.asked, r.left, r.breaker = p, asked, asked.Max, breaker
	if p != nil {
		r.backoff = retry.Backoff{Base: p.BaseInterval, Max: p.MaxInterval}
	}
}

// A judgement is whether there is to be another attempt.
type judgement uint8

const (
	final    judgement = iota // there is nothing to be tried again
	again                     // another attempt
	exceeded                  // there would be one, but there have been as many as there may be
	refused                   // there would be one, but a circuit breaker does not allow for it
)

// judge decides on another attempt.
func (s *stream) judge(a *attempt) judgement {
	r := &s.retries
	r.end()
	r.judged = final
	if r.asked.On == 0 || a.informed || !s.repeatable(false) {
		return final
	}
	counts, onRoute := s.cluster.Stats, s.routeCounts
	if onRoute == nil {
		onRoute = noRouteCounts
	}
	switch {
	case !r.wants(a, &s.ex.Response):
		if r.made > 0 && a.failure == noFailure {
			counts.RetrySuccess.Inc()
			onRoute.RetrySuccess.Inc()
		}
	case r.left == 0:
		r.judged = exceeded
		counts.RetryLimit.Inc()
		onRoute.RetryLimit.Inc()
	case !r.breaker.TryAcquire():
		r.judged = refused
		counts.RetryOverflow.Inc()
		onRoute.RetryOverflow.Inc()
	case !s.repeatable(true): // too much of it has come meanwhile
		r.breaker.Release()
	default:
		r.judged, r.counted = again, true
		r.left--
		r.made++
		counts.Retries.Inc()
		onRoute.Retries.Inc()
	}
	return r.judged
}

// end counts a retry out, if one is under way.
func (r *retries) end() {
	if r.counted {
		r.counted = false
		r.breaker.Release()
	}
}

// wants returns whether the policy is for what has come of an attempt.
func (r *retries) wants(a *attempt, response *message.Response) bool {
	on := r.asked.On
	switch a.failure {
	case noFailure:
		return r.wantsAnswer(response)
	case connectFailed, connectTimeout:
		return on&(onReset|config.RetryResetBeforeRequest|config.RetryConnectFailure) != 0
	case cutOff, badAnswer:
		return on&onReset != 0 || on&config.RetryResetBeforeRequest != 0 && !a.sent
	case timedOut:
		return (a.cause == perTryTimeout || a.cause == tryIdleTimeout || a.cause == upstreamTimeout) &&
			on&onReset != 0
	}
	return false
}

// wantsAnswer returns whether the policy is for an answer.
func (r *retries) wantsAnswer(response *message.Response) bool {
	on := r.asked.On
	if response.Fields.Has("x-envoy-ratelimited") {
		return on&config.RetryEnvoyRateLimited != 0
	}
	status := response.Status
	switch {
	case on&config.Retry5xx != 0 && status >= 500 && status < 600:
		return true
	case on&config.RetryGatewayError != 0 && status >= 502 && status <= 504:
		return true
	case on&config.RetryRetriable4xx != 0 && status == 409:
		return true
	case on&config.RetryStatusCodes != 0 && (slices.Contains(r.asked.Statuses, status) ||
		r.policy != nil && slices.Contains(r.policy.Statuses, status)):
		return true
	case on&config.RetryHeaders != 0 && r.wantsHeaders(response):
		return true
	}
	if on&config.RetryOnGRPC == 0 {
		return false
	}
	value, ok := response.Fields.Get("grpc-status")
	if !ok {
		return false
	}
	switch value {
	case "1":
		return on&config.RetryGRPCCancelled != 0
	case "4":
		return on&config.RetryGRPCDeadlineExceeded != 0
	case "8":
		return on&config.RetryGRPCResourceExhausted != 0
	case "13":
		return on&config.RetryGRPCInternal != 0
	case "14":
		return on&config.RetryGRPCUnavailable != 0
	}
	return false
}

// onReset are the reasons that no answer at all is one of.
const onReset = config.Retry5xx | config.RetryGatewayError | config.RetryReset

// wantsHeaders returns whether an answer has one of the retriable headers.
func (r *retries) wantsHeaders(response *message.Response) bool {
	for _, name := range r.asked.Headers {
		if response.Fields.Has(name) {
			return true
		}
	}
	if r.policy != nil {
		for i := range r.policy.Headers {
			if r.policy.Headers[i].MatchesResponse(response) {
				return true
			}
		}
	}
	return false
}

// delay returns how long to wait before the attempt that judge has allowed for.
func (r *retries) delay(response *message.Response, counts *cluster.Stats, now time.Time) time.Duration {
	if r.policy != nil {
		for _, h := range r.policy.ResetHeaders {
			if d, ok := resetAfter(h, response, now); ok && d <= r.policy.ResetMax {
				counts.RetryRateLimited.Inc()
				return d
			}
		}
	}
	counts.RetryExponential.Inc()
	return r.backoff.Delay(r.made)
}

// resetAfter reads a field that says when to try again.
func resetAfter(h config.ResetHeader, response *message.Response, now time.Time) (time.Duration, bool) {
	value, ok := response.Fields.Get(h.Name)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n <= 0 {
		return 0, false
	}
	if h.UnixTime {
		return max(time.Unix(n, 0).Sub(now), 0), n >= now.Unix()
	}
	return time.Duration(n) * time.Second, true
}
