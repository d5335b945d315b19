package forwarding

import (
	"strconv"
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// Request is the second step of a request, after [Rules.Check] and the rules for paths: it makes
// of it what filters and routes see. ex.Remote and ex.RequestID are set. The random bits
// are for the ID of the request.
func (r *Rules) Request(ex *message.Exchange, s *State, random [2]uint64) {
	q := &ex.Request
	if r.h.StripPort != config.KeepPort || r.h.StripTrailingDot {
		q.Authority = r.host(ex)
	}
	r.clean(q, s)
	r.client(ex, s)
	if !s.Internal {
		r.distrust(q)
	}
	if r.h.AddUserAgent {
		r.userAgent(q)
	}
	if r.h.Via != "" {
		appendVia(&q.Fields, r.h.Via)
	}
	edge := r.h.UseRemoteAddress && !s.Internal
	if edge && ex.Remote.IP.IsValid() {
		q.Fields.Set("x-envoy-external-address", ipText(ex.Remote))
	}
	r.identify(ex, s, edge, random)
}

// clean takes away what ends here whoever the client is, but what Connection has named.
func (r *Rules) clean(q *message.Request, s *State) {
	all := q.Fields
	kept := 0
	for i := range all {
		switch f := &all[i]; f.Name {
		case "connection", "upgrade":
			if s.Upgrade == "" {
				continue
			}
		case "te":
			if s.Upgrade == "" && f.Value != "" {
				if !hasItem(f.Value, "trailers", false) {
					continue
				}
				f.Value = "trailers"
			}
		case "expect":
			if equal(f.Value, "100-continue") {
				continue
			}
		case "keep-alive", "proxy-connection", "transfer-encoding", "x-envoy-internal",
			"x-forwarded-client-cert": // there is no TLS, so no client with a certificate
			continue
		}
		all[kept] = all[i]
		kept++
	}
	clear(all[kept:])
	q.Fields = all[:kept]
}

// client finds out who the client is, and tells the backend.
func (r *Rules) client(ex *message.Exchange, s *State) {
	q := &ex.Request
	direct := ex.Downstream.Remote
	ex.Remote = direct
	forwarded, has := q.Fields.Get("x-forwarded-for")
	alone := false // the address is the only one there is
	if r.h.UseRemoteAddress {
		alone = !has
		if r.h.TrustedHops > 0 {
			if addr, _, ok := forwardedFor(forwarded, r.h.TrustedHops-1); ok {
				ex.Remote = addr
			}
		}
		if !r.h.SkipXFFAppend && direct.IP.IsValid() {
			peer := ipText(direct)
			if isLoopback(direct.IP) {
				peer = r.o.LocalAddress
			}
			q.Fields.AddJoined("x-forwarded-for", peer, true)
		}
		if r.h.TrustedHops == 0 {
			q.Fields.Set("x-forwarded-proto", "http")
		}
	} else if addr, only, ok := forwardedFor(forwarded, r.h.TrustedHops); ok {
		ex.Remote, alone = addr, only
	}
	proto, ok := q.Fields.Get("x-forwarded-proto")
	if !ok {
		proto = "http"
		q.Fields.Add("x-forwarded-proto", proto)
	}
	if r.h.AppendForwardedPort && ex.Downstream.Local.IP.IsValid() {
		if r.h.UseRemoteAddress && r.h.TrustedHops == 0 || !q.Fields.Has("x-forwarded-port") {
			q.Fields.Set("x-forwarded-port", strconv.Itoa(int(ex.Downstream.Local.Port)))
		}
	}
	switch {
	case r.h.Scheme != "":
		q.Scheme = r.h.Scheme
		q.Fields.Set("x-forwarded-proto", r.h.Scheme)
	case q.Scheme != "": // of an absolute target
	case strings.EqualFold(proto, "https"):
		q.Scheme = "https"
	default:
		q.Scheme = "http"
	}
	if s.Internal = alone && r.isInternal(ex.Remote); s.Internal {
		q.Fields.Add("x-envoy-internal", "true")
	}
}

// distrust takes away what only internal clients may say.
func (r *Rules) distrust(q *message.Request) {
	all := q.Fields
	kept := 0
	for i := range all {
		name := all[i].Name
		if len(name) > len("x-envoy-") && name[:len("x-envoy-")] == "x-envoy-" {
			switch name[len("x-envoy-"):] {
			case "retry-on", "retry-grpc-on", "max-retries", "retriable-status-codes", "retriable-header-names",
				"upstream-alt-stat-name", "upstream-rq-timeout-ms", "upstream-rq-per-try-timeout-ms",
				"upstream-rq-timeout-alt-response", "expected-rq-timeout-ms", "upstream-stream-duration-ms",
				"hedge-on-per-try-timeout", "force-trace", "ip-tags", "original-url":
				continue
			case "decorator-operation", "downstream-service-cluster", "downstream-service-node",
				"original-path", "original-host":
				if r.h.UseRemoteAddress {
					continue
				}
			}
		}
		all[kept] = all[i]
		kept++
	}
	clear(all[kept:])
	q.Fields = all[:kept]
	for _, name := range r.hidden {
		q.Fields.Remove(name)
	}
}

// userAgent tells backends which proxy it was that a request came by.
func (r *Rules) userAgent(q *message.Request) {
	q.Fields.Set("x-envoy-downstream-service-cluster", r.o.NodeCluster)
	if agent, _ := q.Fields.Get("user-agent"); agent == "" {
		q.Fields.Set("user-agent", r.o.NodeCluster)
	}
	if r.o.NodeID != "" {
		q.Fields.Set("x-envoy-downstream-service-node", r.o.NodeID)
	}
}

// appendVia adds the proxy to those that a message has come by (RFC 9110, section 7.6.3).
func appendVia(fields *message.Fields, via string) {
	if before, _ := fields.Get("via"); before != "" {
		via = before + ", " + via
	}
	fields.Set("via", via)
}

// Routable returns whether there can be a route for a request. There is none for one whose
// x-forwarded-proto is empty: it is answered as any other without a route.
func Routable(ex *message.Exchange) bool {
	proto, _ := ex.Request.Fields.Get("x-forwarded-proto")
	return proto != ""
}

// UpgradeAllowed returns whether the client may go on with the protocol that it asked for, by
// the configuration and that of the route, which forwards it. It may if it asked for none. Filters
// do not see a request that may not.
//
// Without a route that forwards, f is nil: then there is nothing to go on with, and the client gets
// the answer that it would have got without asking.
func (r *Rules) UpgradeAllowed(s *State, f *config.Forward) bool {
	if s.Upgrade == "" || f == nil {
		return true
	}
	for _, u := range f.Upgrades {
		if equal(u.Type, s.Upgrade) {
			return u.Enabled
		}
	}
	for _, u := range r.h.Upgrades {
		if equal(u.Type, s.Upgrade) {
			return u.Enabled
		}
	}
	return false
}
