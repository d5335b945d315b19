package forwarding

import (
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/route"
)

// Check is the first step of a request, as it came from the client: it refuses what is no request
// to serve, and takes away the fields that end at this connection (RFC 9110, section 7.6.1).
// It returns nil if the request may go on.
func (r *Rules) Check(ex *message.Exchange, head http1.Head, s *State) *Refusal {
	q := &ex.Request
	refusal := r.codec(q, head, s)
	if refusal != nil {
		if refusal.Flags != 0 { // Envoy has never seen more than bytes
			*q = message.Request{Fields: q.Fields[:0]}
		}
		return refusal
	}
	s.GRPC = route.IsGRPC(ex)
	if head.Minor == 0 && q.Authority == "" {
		q.Authority, q.NoHost = r.h.DefaultHostForHTTP10, q.NoHost && r.h.DefaultHostForHTTP10 == ""
		if q.Authority == "" {
			return refusedHost
		}
	}
	if q.Method == "QUERY" && !q.Fields.Has("content-type") {
		return refusedQuery
	}
	if q.Method != "CONNECT" {
		switch {
		case q.Path == "" || q.Path[0] != '/':
			return RefusedPath
		case strings.IndexByte(q.Path, '#') >= 0:
			return refusedFragment
		}
	}
	return nil
}

// codec is what Envoy does before it takes the head for a request.
func (r *Rules) codec(q *message.Request, head http1.Head, s *State) *Refusal {
	if r.h.HeadersWithUnderscores != config.AllowUnderscores {
		if refusal := r.underscores(&q.Fields); refusal != nil {
			return refusal
		}
	}
	q.Fields.Join(message.JoinedInRequest)
	if head.Connection {
		if refusal := connection(q, head.Upgrade, s); refusal != nil {
			return refusal
		}
	}
	if q.Scheme == "https" && r.edgeHTTPS {
		return refusedHTTPS
	}
	return nil
}

// underscores refuses fields with an underscore in their name, or takes them away.
func (r *Rules) underscores(fields *message.Fields) *Refusal {
	all := *fields
	kept := 0
	for i := range all {
		if strings.IndexByte(all[i].Name, '_') >= 0 {
			if r.h.HeadersWithUnderscores == config.RejectUnderscores {
				return refusedUnderscore
			}
			continue
		}
		all[kept] = all[i]
		kept++
	}
	clear(all[kept:])
	*fields = all[:kept]
	return nil
}

// maxNominated and maxTE bound what Connection names.
const (
	maxNominated = 10
	maxTE        = 256
)

// connection does what the field Connection says: the fields that it names end here. For an
// upgrade it stays as it is.
func connection(q *message.Request, upgrade bool, s *State) *Refusal {
	if upgrade {
		if to, ok := q.Fields.Get("upgrade"); ok {
			if !strings.EqualFold(to, "h2c") {
				s.Upgrade = to
				if to == "" {
					s.Upgrade = " " // which is none that could be allowed
				}
				return nil
			}
			// HTTP/2 is not offered that way, and what would be smuggled in by it
			// ends here.
			q.Fields.Remove("upgrade")
			q.Fields.Remove("http2-settings")
		}
	}
	names, _ := q.Fields.Get("connection")
	if count(names) >= maxNominated {
		return refusedConnection
	}
	for names != "" {
		var name string
		name, names = item(names)
		switch {
		case name == "" || equal(name, "close") || equal(name, "keep-alive") || equal(name, "upgrade") ||
			equal(name, "http2-settings") || equal(name, "connection"):
		case name[0] == ':' || equal(name, "x-forwarded-for") || equal(name, "x-forwarded-host") || equal(name, "x-forwarded-proto"):
			return refusedConnection
		case equal(name, "host"):
			q.Authority, q.NoHost = "", true
			q.Fields.Remove("connection")
			return refusedHost
		case equal(name, "te"):
			if te, ok := q.Fields.Get("te"); ok && len(te) >= maxTE {
				return refusedConnection
			} else if hasItem(te, "trailers", true) {
				q.Fields.Set("te", "trailers")
			} else {
				q.Fields.Remove("te")
			}
		default:
			removeFold(&q.Fields, name)
		}
	}
	return nil
}

// removeFold removes the fields of a name, which may be in any case.
func removeFold(fields *message.Fields, name string) {
	for i := range *fields {
		if equal((*fields)[i].Name, name) {
			fields.Remove((*fields)[i].Name)
			return
		}
	}
}

// equal compares names without regard to the case of ASCII letters.
func equal(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// item returns the first item of a list, and what is behind its comma.
func item(list string) (first, rest string) {
	first, rest, _ = strings.Cut(list, ",")
	return trim(first), rest
}

// count returns how many items a list has, without empty ones.
func count(list string) (n int) {
	for list != "" {
		var first string
		if first, list, _ = strings.Cut(list, ","); first != "" {
			n++
		}
	}
	return n
}

// hasItem returns whether a list has an item.
func hasItem(list, text string, anyCase bool) bool {
	for list != "" {
		var first string
		first, list = item(list)
		if first == text || anyCase && equal(first, text) {
			return true
		}
	}
	return false
}

// trim takes blanks off both ends.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
