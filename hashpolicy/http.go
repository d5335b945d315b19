package hashpolicy

import (
	"net"
	"net/http"
	"net/textproto"
	"strings"
)

// HTTP returns an http.Request as a [Request], one that a server has received or
// one that is about to be sent. That costs no allocation.
//
// The path and the query are those of URL, as net/http would send them, and not
// those of RequestURI, which a reverse proxy leaves as they came. So what it
// encodes as it sends a path, such as " and {, is hashed encoded, even where a
// client has sent it as it is, and Envoy hashes that. A path with encoded
// characters allocates, and so does an opaque URL with a query in both parts.
//
// The authority is Host, or else that of URL. Remote is RemoteAddr and Local is
// http.LocalAddrContextKey in the context; the outgoing requests of
// httputil.ReverseProxy keep both, those of a client have neither. Headers are
// found under canonical keys only; what net/http keeps elsewhere, such as
// Transfer-Encoding, or adds when it sends the request, such as a User-Agent, is
// absent. An Envoy that the request passes has rules of its own for some: it takes
// ":scheme" from x-forwarded-proto, and drops Connection and what that names.
func HTTP(req *http.Request) Request { return httpRequest{req} }

// HTTPRequest returns the http.Request that [HTTP] was given, for a [Func] that
// needs more of it than a Request has, such as its context. For another's Request it
// returns nil.
func HTTPRequest(r Request) *http.Request {
	h, _ := r.(httpRequest)
	return h.Request
}

// httpRequest is a pointer, and so fits into an interface.
type httpRequest struct{ *http.Request }

func (r httpRequest) Header(name Name, i int) (value string, count int) {
	if r.Request == nil || name.lower == "" {
		return "", 0
	}
	if name.lower[0] == ':' {
		if value := r.pseudo(name.lower); value != "" {
			if i != 0 {
				value = ""
			}
			return value, 1
		}
	}
	values := r.Request.Header[name.canonical]
	if uint(i) >= uint(len(values)) {
		return "", len(values)
	}
	return textproto.TrimString(values[i]), len(values)
}

func (r httpRequest) pseudo(name string) string {
	switch name {
	case ":authority":
		if r.Host == "" && r.URL != nil {
			return r.URL.Host
		}
		return r.Host
	case ":method":
		if r.Method == "" {
			return http.MethodGet
		}
		return r.Method
	case ":scheme":
		switch {
		case r.URL != nil && r.URL.Scheme != "":
			return r.URL.Scheme
		case r.TLS != nil:
			return "https"
		}
		return "http"
	}
	return ""
}

func (r httpRequest) Target() (path, query string, hasQuery bool) {
	if r.Request == nil || r.URL == nil {
		return "", "", false
	}
	u := r.URL
	query, hasQuery = u.RawQuery, u.RawQuery != "" || u.ForceQuery
	if path = u.Opaque; path == "" {
		path = u.EscapedPath()
	} else {
		if start, more, ok := strings.Cut(path, "?"); ok {
			if hasQuery {
				more += "?" + query
			}
			path, query, hasQuery = start, more, true
		}
		if rest, ok := strings.CutPrefix(path, "//"); ok {
			// The authority comes first.
			path = rest[indexOrEnd(rest, '/'):]
		}
	}
	if path == "" {
		if r.Method == http.MethodConnect {
			return "", "", false
		}
		path = "/"
	}
	return path, query, hasQuery
}

// indexOrEnd returns where a byte is, or the length of s if it is not there.
func indexOrEnd(s string, c byte) int {
	if i := strings.IndexByte(s, c); i >= 0 {
		return i
	}
	return len(s)
}

func (r httpRequest) Remote() string {
	if r.Request == nil {
		return ""
	}
	return r.RemoteAddr
}

func (r httpRequest) Local() string {
	if r.Request == nil {
		return ""
	}
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return addr.String()
	}
	return ""
}
