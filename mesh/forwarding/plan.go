package forwarding

import (
	"strconv"
	"strings"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A Plan is how a request is sent on: what its route says, and what an internal client says in
// x-envoy-* fields.
type Plan struct {
	// Timeout is for the whole of it, from when the request has been read. 0: none.
	Timeout time.Duration
	// PerTry and PerTryIdle are for one attempt. 0: none.
	PerTry, PerTryIdle time.Duration
	// Hedge is whether an attempt goes on when PerTry is over and another one begins.
	Hedge bool
	// MaxDuration is of the stream, from its beginning, if HasMaxDuration. It may be 0:
	// then it is over at once.
	MaxDuration    time.Duration
	HasMaxDuration bool
	// UpstreamDuration is how long an attempt may take with its answer, if HasUpstreamDuration, in
	// place of the cluster's. 0: without end.
	UpstreamDuration    time.Duration
	HasUpstreamDuration bool
	// NoContentOnTimeout is that a timeout is answered by 204 in place of 504.
	NoContentOnTimeout bool
	// AltStatName is the name of further statistics. "" is none.
	AltStatName string
}

// Plan is the last step of a request before the mutations of its route: it takes out of it what
// an internal client asks for, and tells the backend how long it has. The policy is the one that
// counts, of the route or its virtual host, or nil. A refusal is that of strict_check_headers.
func (r *Rules) Plan(ex *message.Exchange, s *State, vh *config.VirtualHost, f *config.Forward, policy *config.RetryPolicy) (Plan, *Refusal) {
	q := &ex.Request
	if refusal := r.strict(q.Fields); refusal != nil {
		return Plan{}, refusal
	}
	var p Plan
	r.maxDuration(q, s, f, &p)
	legacyGRPC := s.GRPC && f.MaxStream == nil && f.MaxGRPCTimeout != nil
	switch {
	case legacyGRPC:
		p.Timeout = legacyTimeout(q.Fields, f)
	case f.MaxStream == nil:
		p.Timeout = f.Timeout
	}
	if policy != nil {
		p.PerTry, p.PerTryIdle = policy.PerTry, policy.PerTryIdle
	}
	if s.Internal {
		r.overrides(q, s, &p)
	}
	if p.PerTry >= p.Timeout && p.Timeout != 0 {
		p.PerTry = 0
	}
	r.expect(q, s, f, &p, 0)
	if vh != nil && vh.IncludeAttempts {
		q.Fields.Set("x-envoy-attempt-count", "1")
	}
	return p, nil
}

// overrides reads what an internal client says about timeouts.
func (r *Rules) overrides(q *message.Request, s *State, p *Plan) {
	if v, ok := q.Fields.Get("x-envoy-hedge-on-per-try-timeout"); ok {
		p.Hedge = v == "true"
		q.Fields.Remove("x-envoy-hedge-on-per-try-timeout")
	}
	expected, given := q.Fields.Get("x-envoy-expected-rq-timeout-ms")
	if given && r.h.Router.RespectExpectedTimeout {
		if ms, ok := number(expected); ok {
			p.Timeout = milliseconds(ms)
		}
	} else if ms, ok := takeNumber(&q.Fields, "x-envoy-upstream-rq-timeout-ms"); ok {
		p.Timeout = milliseconds(ms)
	}
	if ms, ok := takeNumber(&q.Fields, "x-envoy-upstream-rq-per-try-timeout-ms"); ok {
		p.PerTry = milliseconds(ms)
	}
	if ms, ok := takeNumber(&q.Fields, "x-envoy-upstream-stream-duration-ms"); ok {
		p.UpstreamDuration, p.HasUpstreamDuration = milliseconds(ms), true
	}
	if q.Fields.Has("x-envoy-upstream-rq-timeout-alt-response") {
		p.NoContentOnTimeout = true
		q.Fields.Remove("x-envoy-upstream-rq-timeout-alt-response")
	}
	if name, ok := q.Fields.Get("x-envoy-upstream-alt-stat-name"); ok {
		p.AltStatName = name
		q.Fields.Remove("x-envoy-upstream-alt-stat-name")
	}
}

// expect tells the backend how long it has.
func (r *Rules) expect(q *message.Request, s *State, f *config.Forward, p *Plan, elapsed time.Duration) {
	left := p.PerTry
	if left == 0 || p.Hedge {
		left = p.Timeout
	}
	if p.Timeout > 0 {
		if elapsed >= p.Timeout {
			left = time.Millisecond // 0 would be no end
		} else {
			left = min(left, p.Timeout-elapsed)
		}
	}
	ms := left.Milliseconds()
	if ms <= 0 {
		return
	}
	if !r.h.Router.SuppressEnvoyHeaders {
		q.Fields.Set("x-envoy-expected-rq-timeout-ms", s.milliseconds(ms))
	}
	if s.GRPC && f.MaxStream == nil && f.MaxGRPCTimeout != nil {
		q.Fields.Set("grpc-timeout", grpcTimeoutText(left))
	}
}

// Again makes the request ready for a further attempt: its number, from 2, and how long it is since
// the request was read.
func (r *Rules) Again(ex *message.Exchange, s *State, vh *config.VirtualHost, f *config.Forward, p *Plan, attempt int, elapsed time.Duration) {
	if vh != nil && vh.IncludeAttempts {
		ex.Request.Fields.Set("x-envoy-attempt-count", strconv.Itoa(attempt))
	}
	r.expect(&ex.Request, s, f, p, elapsed)
}

// strict refuses fields of strict_check_headers that cannot be read.
func (r *Rules) strict(fields message.Fields) *Refusal {
	for _, name := range r.h.Router.StrictCheckHeaders {
		name = strings.ToLower(name)
		value, ok := fields.Get(name)
		if !ok {
			continue
		}
		switch name {
		case "x-envoy-retry-on":
			_, ok = config.ParseRetryOn(value, config.RetryOnHTTP)
		case "x-envoy-retry-grpc-on":
			_, ok = config.ParseRetryOn(value, config.RetryOnGRPC)
		default:
			_, ok = number(value)
		}
		if !ok {
			return &Refusal{
				Status:  400,
				Body:    "invalid header '" + name + "' with value '" + value + "'",
				Details: "request_headers_failed_strict_check{" + name + "}",
				Flags:   message.InvalidRequestHeaders,
			}
		}
	}
	return nil
}

// takeNumber removes a field and returns the number that it has been.
func takeNumber(fields *message.Fields, name string) (uint64, bool) {
	value, ok := fields.Get(name)
	if !ok {
		return 0, false
	}
	fields.Remove(name)
	return number(value)
}

// number reads a number as Envoy does: with blanks around it, and maybe a plus.
func number(text string) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(trim(text), "+"), 10, 64)
	return n, err == nil
}

// milliseconds returns a duration of ms, or the longest there is.
func milliseconds(ms uint64) time.Duration {
	const most = uint64(1<<63-1) / uint64(time.Millisecond)
	return time.Duration(min(ms, most)) * time.Millisecond
}
