package forwarding

import (
	"strconv"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// Answer is the first step of a backend's answer, before the mutations of the route: took
// is how long it is since the whole of the request had been read. If it has not been yet,
// took is negative, and the client is not told. It returns false if the body is not for the
// client: a WebSocket that was not to be has none.
func (r *Rules) Answer(ex *message.Exchange, s *State, took time.Duration) (body bool) {
	a := &ex.Response
	a.Fields.Join(message.JoinedInResponse)
	body = true
	if s.Upgrade != "" && a.Status >= 200 && a.Status < 400 && equal(s.Upgrade, "websocket") {
		ex.Details = "websocket_handshake_unsuccessful"
		a.Fields.Remove("content-length")
		a.Fields.Remove("content-type")
		body = false
	}
	if !r.h.Router.SuppressEnvoyHeaders && took >= 0 {
		a.Fields.Set("x-envoy-upstream-service-time", strconv.FormatInt(took.Milliseconds(), 10))
	}
	return body
}

// Overloaded is a step of the proxy's answer to a request that a circuit breaker has
// stopped, after the mutations of the route: it tells the client so.
func (r *Rules) Overloaded(ex *message.Exchange) {
	if !r.h.Router.SuppressEnvoyHeaders {
		ex.Response.Fields.Set("x-envoy-overloaded", "true")
	}
}

// CountAttempts is the step after the mutations of the route, for answers of backends, and for the
// proxy's own if they come after the choice of a cluster: it tells the client how many
// attempts there were.
func CountAttempts(ex *message.Exchange, vh *config.VirtualHost) {
	if vh != nil && vh.AttemptsInResponse {
		ex.Response.Fields.Set("x-envoy-attempt-count", strconv.Itoa(max(1, ex.Attempts)))
	}
}

// Response is the last step of any answer: what is left is what the client gets. The body
// is how its end is known here; returned is how it is to be told to the client, for which a
// field content-length may be missing: see [NeedsLength].
func (r *Rules) Response(ex *message.Exchange, s *State, body http1.Body, now time.Time) http1.Body {
	a := &ex.Response
	upgraded := s.Upgrade != "" && isUpgrade(a.Fields)
	all := a.Fields
	kept := 0
	for i := range all {
		switch all[i].Name {
		case "connection", "upgrade":
			if !upgraded {
				continue
			}
		case "keep-alive", "proxy-connection", "transfer-encoding":
			continue
		case "content-length":
			if a.Status == 204 || a.Status < 200 {
				continue
			}
		}
		all[kept] = all[i]
		kept++
	}
	clear(all[kept:])
	a.Fields = all[:kept]
	if !a.Fields.Has("date") {
		a.Fields.Add("date", r.o.Clock.Date(now))
	}
	switch r.h.ServerHeader {
	case config.OverwriteServer:
		a.Fields.Set("server", r.h.ServerName)
	case config.AppendIfAbsentServer:
		if !a.Fields.Has("server") {
			a.Fields.Add("server", r.h.ServerName)
		}
	}
	if r.h.RequestIDInResponse || s.force {
		if id, ok := ex.Request.Fields.Get("x-request-id"); ok {
			a.Fields.Set("x-request-id", id)
		}
	}
	if r.h.Via != "" {
		appendVia(&a.Fields, r.h.Via)
	}
	return framing(ex, body)
}

// framing returns how the end of an answer's body is told to the client.
func framing(ex *message.Exchange, body http1.Body) http1.Body {
	a := &ex.Response
	switch {
	case a.Status < 200 || a.Status == 204 || a.Status == 304:
		return http1.NoBody
	case ex.Request.Method == "HEAD":
		// Nobody knows how long the body would be, so it would be in chunks.
		if !a.Fields.Has("content-length") {
			return http1.InChunks
		}
		return http1.NoBody
	case body == http1.UntilClose, body > 0 && !a.Fields.Has("content-length"):
		return http1.InChunks // the length is not known, or a mutation has taken it away
	}
	return body
}

// NeedsLength returns whether an answer has to say that it has no body: those that could have one,
// and have no other way to tell its end.
func NeedsLength(ex *message.Exchange, body http1.Body) bool {
	status := ex.Response.Status
	return body == http1.NoBody && status >= 200 && status != 204 && status != 304 &&
		ex.Request.Method != "HEAD" && !ex.Response.Fields.Has("content-length")
}

// isUpgrade returns whether an answer goes on with another protocol.
func isUpgrade(fields message.Fields) bool {
	names, _ := fields.Get("connection")
	return fields.Has("upgrade") && hasItem(names, "upgrade", true)
}
