// Package forwarding is what an HTTP connection manager does to the heads of messages on
// their way through a proxy, apart from what routes say: it takes away what ends here,
// tells the backend who the client is, believes a client no more than the configuration
// does, and makes the proxy's own answers. All of it is pure functions of an exchange and
// the configuration, after Envoy, whose order of fields it keeps.
//
// A request goes through [Rules.Check], the rules for paths, [Rules.Request], the choice of
// a route, [Rules.UpgradeAllowed], and, if it is to be sent on, [Rules.Plan], the route's
// mutations, and [Rules.Retries]. A further attempt goes through [Rules.Again]. An answer
// of a backend goes through [Rules.Answer], the route's mutations, [CountAttempts], and
// [Rules.Response]; one that the proxy gives goes through the same but [Rules.LocalReply]
// in place of the first two.
package forwarding

import (
	"net/netip"
	"strconv"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// Options are what Rules need to know beside the HTTP connection manager. The zero value is of
// a program without a name that knows no address of its own.
type Options struct {
	// NodeID and NodeCluster are who the proxy is: node.id and node.cluster. add_user_agent tells
	// backends. Default: "".
	NodeID, NodeCluster string
	// LocalAddress stands in x-forwarded-for for clients at 127.0.0.1 and ::1: the first
	// address of the machine that is not of its loopback. Default: 127.0.0.1.
	LocalAddress string
	// Clock writes the date. Default: one of its own.
	Clock *Clock
}

// Rules are those of an HTTP connection manager. They do not change, and any number of
// goroutines may use them. Use [New] to make them.
type Rules struct {
	h         *config.HTTP
	o         Options
	internal  []netip.Prefix
	hidden    []string // internal_only_headers
	reply     replyFormat
	edgeHTTPS bool // whether a https target is refused on plain text
}

// New returns the rules of an HTTP connection manager.
func New(h *config.HTTP, o Options) *Rules {
	r := &Rules{h: h, o: o, edgeHTTPS: h.UseRemoteAddress && h.TrustedHops == 0}
	if r.o.LocalAddress == "" {
		r.o.LocalAddress = "127.0.0.1"
	}
	if r.o.Clock == nil {
		r.o.Clock = new(Clock)
	}
	for _, p := range h.InternalAddresses {
		if addr, err := netip.ParseAddr(p.Addr); err == nil {
			if prefix, err := addr.Prefix(p.Bits); err == nil {
				r.internal = append(r.internal, prefix)
			}
		}
	}
	if h.Routes != nil {
		r.hidden = h.Routes.InternalOnlyHeaders
	}
	r.reply = newReplyFormat(h.LocalReply)
	return r
}

// A State is what is known of an exchange between the steps. The zero value is that of a new one;
// it may be used again for the next by [State.Reset].
type State struct {
	// Upgrade is the protocol that the client wants to go on with, as it wrote it: "websocket".
	// "" is none.
	Upgrade string
	// Internal is whether the request comes from an internal address.
	Internal bool
	// GRPC is whether it is a gRPC request.
	GRPC bool

	force   bool // x-envoy-force-trace: the request's ID stands in the answer
	local   message.LocalReply
	timeout string // of timeoutMs, which often is the same again
	ms      int64
	retries retryHeaders
}

// Reset makes the state that of a new exchange, and keeps its memory.
func (s *State) Reset() {
	*s = State{timeout: s.timeout, ms: s.ms, retries: s.retries}
}

// milliseconds returns a number as text.
func (s *State) milliseconds(ms int64) string {
	if s.timeout == "" || s.ms != ms {
		s.ms, s.timeout = ms, strconv.FormatInt(ms, 10)
	}
	return s.timeout
}

// A Refusal is a request that is not served: the answer to give, by [Rules.LocalReply].
type Refusal = Reply

func refuse(status int, details string) *Refusal { return &Refusal{Status: status, Details: details} }

// refuseCodec refuses what Envoy's codec does: with the reason as the body.
func refuseCodec(status int, details string) *Refusal {
	return &Refusal{Status: status, Body: http1.Reason(status), Details: details,
		Flags: message.DownstreamProtocolError, Close: true}
}

// The refusals there are.
var (
	refusedUnderscore = refuseCodec(400, "http1.unexpected_underscore")
	refusedConnection = refuseCodec(400, "http1.connection_header_rejected")
	refusedHTTPS      = refuseCodec(403, "http1.https_url_on_plaintext_connection")
	refusedHost       = refuse(400, "missing_host_header")
	refusedQuery      = refuse(400, "query_missing_content_type")
	refusedFragment   = refuse(400, "path_normalization_failed")
	// RefusedPath answers a request whose path does not begin with a slash.
	RefusedPath = refuse(404, "absolute_path_rejected")
	// RefusedUpgrade answers a request for an upgrade that is not allowed. The route's mutations
	// of answers apply to it.
	RefusedUpgrade = &Refusal{Status: 403, Details: "upgrade_failed", Close: true}
)
