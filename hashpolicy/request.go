package hashpolicy

import (
	"fmt"
	"net/textproto"
	"strings"
)

// A Request is what policies see of a request. It gives parts as they are, so that
// an http.Request, gRPC metadata and a list of header lines fit without being
// copied. What implements it is best a pointer, a map, or a struct of one such, as
// others allocate when they become an interface.
//
// To agree with an Envoy, it gives the headers as that has them: cookie fields of
// HTTP/2 joined by "; ", and with what Envoy itself adds or takes away.
type Request interface {
	// Header returns value i of a header, counted from 0 in the order of the
	// wire, and how many there are, 0 if the header is absent. Each value is a
	// line, without space around it and as it is on the wire: gRPC's binary
	// metadata (-bin) in base64. Where there is no value i it is "".
	//
	// A name that begins with a colon is that of a pseudo-header, ":method",
	// ":scheme", ":authority" or ":protocol". In HTTP/1, ":authority" is the
	// Host. Asked for "Host" or for ":path", policies do not come here but
	// to ":authority" and Target.
	Header(name Name, i int) (value string, count int)

	// Target returns the path and the query as they stand on the wire, still
	// encoded, and whether there is a query, which may be empty. A request
	// without a path has "".
	Target() (path, query string, hasQuery bool)

	// Remote and Local return the addresses of the connection that the request
	// has come by, the client's and the one that it has connected to, such as
	// "192.0.2.7:53124" and "[2001:db8::1]:443"; "" if it has not come by any.
	Remote() string
	Local() string
}

// A Name is the name of a header in its two spellings, so that no request has to
// convert it. The zero Name is that of no header.
type Name struct {
	canonical, lower string
	joins            bool // Envoy makes several lines one value
}

// NewName returns a header's name, given in any case, for functions that are made
// a policy by [Func]. "Host" becomes ":authority". For what cannot be a header's
// name, or is ":path", which is [Request].Target, the error wraps [ErrPolicy].
func NewName(header string) (Name, error) {
	name := nameOf(header)
	if name.lower == "" || name.lower == ":path" {
		return Name{}, fmt.Errorf("hashpolicy: %w", wrong("NewName: header", header, nameAllowed))
	}
	return name, nil
}

// Canonical returns the name as in http.Header, "X-User". Those of pseudo-headers
// are in lower case.
func (n Name) Canonical() string { return n.canonical }

// Lower returns the name as in HTTP/2 and gRPC metadata, "x-user".
func (n Name) Lower() string { return n.lower }

// String returns the name in lower case.
func (n Name) String() string { return n.lower }

const nameAllowed = `a header's name, such as "X-User", or one of ":authority", ":method", ":scheme" and ":protocol"`

// nameOf returns the zero Name for what cannot be one.
func nameOf(header string) Name {
	lower := strings.ToLower(header)
	switch lower {
	case "host":
		lower = ":authority"
	case ":authority", ":method", ":path", ":protocol", ":scheme":
	default:
		if !isToken(header) {
			return Name{}
		}
	}
	return Name{textproto.CanonicalMIMEHeaderKey(lower), lower, joins[lower]}
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2), as the names of
// headers and cookies are.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
