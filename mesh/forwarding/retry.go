package forwarding

import (
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// retryNames are the words of x-envoy-retry-on, grpcRetryNames those of x-envoy-retry-grpc-on.
var (
	retryNames = []retryName{
		{"5xx", config.Retry5xx},
		{"gateway-error", config.RetryGatewayError},
		{"connect-failure", config.RetryConnectFailure},
		{"envoy-ratelimited", config.RetryEnvoyRateLimited},
		{"retriable-4xx", config.RetryRetriable4xx},
		{"refused-stream", config.RetryRefusedStream},
		{"retriable-status-codes", config.RetryStatusCodes},
		{"retriable-headers", config.RetryHeaders},
		{"reset", config.RetryReset},
		{"reset-before-request", config.RetryResetBeforeRequest},
		{"http3-post-connect-failure", config.RetryHTTP3Connect},
	}
	grpcRetryNames = []retryName{
		{"cancelled", config.RetryGRPCCancelled},
		{"deadline-exceeded", config.RetryGRPCDeadlineExceeded},
		{"resource-exhausted", config.RetryGRPCResourceExhausted},
		{"unavailable", config.RetryGRPCUnavailable},
		{"internal", config.RetryGRPCInternal},
	}
)

type retryName struct {
	name string
	on   config.RetryOn
}

// retryOn reads a list of reasons for another attempt. It returns false if there is an unknown one.
func retryOn(list string, names []retryName) (on config.RetryOn, all bool) {
	all = true
next:
	for list != "" {
		var word string
		word, list = item(list)
		for i := range names {
			if names[i].name == word {
				on |= names[i].on
				continue next
			}
		}
		all = all && word == ""
	}
	return on, all
}

// retryHeaders is the memory for what a client says about retries.
type retryHeaders struct {
	statuses []int
	headers  []string
}

// read takes out of the fields what an internal client says about retries.
func (m *retryHeaders) read(fields *message.Fields, r *Retry) {
	if list, ok := fields.Get("x-envoy-retry-on"); ok {
		on, _ := retryOn(list, retryNames)
		r.On |= on
	}
	if list, ok := fields.Get("x-envoy-retry-grpc-on"); ok {
		on, _ := retryOn(list, grpcRetryNames)
		r.On |= on
	}
	if r.On != 0 {
		if text, ok := fields.Get("x-envoy-max-retries"); ok {
			if n, ok := number(text); ok {
				r.Max = uint32(n) // of larger numbers Envoy has the lower bits, too
			}
		}
	}
	m.statuses, m.headers = m.statuses[:0], m.headers[:0]
	if list, ok := fields.Get("x-envoy-retriable-status-codes"); ok {
		for list != "" {
			var text string
			text, list = item(list)
			if n, ok := number(text); ok && n < 1000 {
				m.statuses = append(m.statuses, int(n))
			}
		}
	}
	if list, ok := fields.Get("x-envoy-retriable-header-names"); ok {
		for list != "" {
			var name string
			if name, list = item(list); name != "" {
				m.headers = append(m.headers, strings.ToLower(name))
			}
		}
	}
	r.Statuses, r.Headers = m.statuses, m.headers
	all := *fields
	kept := 0
	for i := range all {
		switch all[i].Name {
		case "x-envoy-retry-on", "x-envoy-retry-grpc-on", "x-envoy-max-retries",
			"x-envoy-retriable-status-codes", "x-envoy-retriable-header-names":
			continue
		}
		all[kept] = all[i]
		kept++
	}
	clear(all[kept:])
	*fields = all[:kept]
}
