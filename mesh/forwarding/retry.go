package forwarding

import (
	"slices"
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A Retry is what a route and a request together say about further attempts.
type Retry struct {
	On  config.RetryOn // 0: there are none
	Max uint32         // how many there may be

	// Statuses and Headers are those of the request alone, for retriable-status-codes and
	// retriable-headers; the policy has more. They are of use until the next exchange.
	Statuses []int
	Headers  []string // names, in lower case
}

// retryHeaders is the memory for what a request says about retries.
type retryHeaders struct {
	statuses []int
	headers  []string
}

// Retries is the step of a request after the mutations of its route: it takes out of it
// what it says about further attempts, be it from an internal client or from the route. The
// policy is the one that counts, of the route or its virtual host, or nil.
func (r *Rules) Retries(ex *message.Exchange, s *State, policy *config.RetryPolicy) Retry {
	retry := Retry{Max: 1}
	if policy != nil {
		retry.On, retry.Max = policy.On, policy.Max
	}
	most, given := s.retries.read(&ex.Request.Fields, &retry)
	if policy != nil && len(policy.RequestHeaders) > 0 && !slices.ContainsFunc(policy.RequestHeaders,
		func(m config.HeaderMatch) bool { return m.MatchesRequest(&ex.Request) }) {
		retry.On = 0
	}
	if given && retry.On != 0 {
		retry.Max = uint32(most) // of larger numbers Envoy has the lower bits, too
	}
	return retry
}

// read takes out of the fields what they say about retries, and returns x-envoy-max-retries.
func (m *retryHeaders) read(fields *message.Fields, r *Retry) (most uint64, given bool) {
	m.statuses, m.headers = m.statuses[:0], m.headers[:0]
	all := *fields
	kept := 0
	for i := range all {
		switch list := all[i].Value; all[i].Name {
		case "x-envoy-retry-on":
			on, _ := config.ParseRetryOn(list, config.RetryOnHTTP)
			r.On |= on
		case "x-envoy-retry-grpc-on":
			on, _ := config.ParseRetryOn(list, config.RetryOnGRPC)
			r.On |= on
		case "x-envoy-max-retries":
			most, given = number(list)
		case "x-envoy-retriable-status-codes":
			for list != "" {
				var text string
				text, list = item(list)
				if n, ok := number(text); ok && n < 1000 {
					m.statuses = append(m.statuses, int(n))
				}
			}
		case "x-envoy-retriable-header-names":
			for list != "" {
				var name string
				if name, list = item(list); name != "" {
					m.headers = append(m.headers, strings.ToLower(name))
				}
			}
		case "x-envoy-hedge-on-per-try-timeout":
		default:
			all[kept] = all[i]
			kept++
		}
	}
	clear(all[kept:])
	*fields = all[:kept]
	r.Statuses, r.Headers = m.statuses, m.headers
	return most, given
}
