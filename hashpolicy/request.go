package hashpolicy

import (
	"net"
	"net/http"
	"net/textproto"
	"strings"
)

// A Request is what policies see of a request. It is small, and gives parts as they
// are, so that an http.Request, gRPC metadata and a list of header lines fit
// without being copied. [HTTP] makes one of an http.Request.
type Request interface {
	// Header returns the values of a header, one for each line, in their
	// order; nil if there is none. They must not be changed.
	Header(name Name) []string

	// Pseudo returns :method, :scheme or :authority, "" if there is none.
	Pseudo(name string) string

	// Target returns the path and the query as they stand on the wire, still
	// encoded, and whether there is a query, which may be empty.
	Target() (path, query string, hasQuery bool)

	// Remote and Local return the addresses of the connection that the request
	// has come by, such as "10.0.0.1:5000" and "[::1]:80", "" if it has not
	// come by any.
	Remote() string
	Local() string
}

// A Name is the name of a header in its two spellings, so that no request needs
// to convert it.
type Name struct {
	Canonical string // X-User, as in http.Header
	Lower     string // x-user, as in HTTP/2 and gRPC metadata
}

func nameOf(header string) Name {
	return Name{textproto.CanonicalMIMEHeaderKey(header), strings.ToLower(header)}
}

// HTTP returns an http.Request as a [Request], a server's or a client's. Its Remote
// is RemoteAddr, which httputil.ReverseProxy leaves in the requests that it sends,
// and its Local http.LocalAddrContextKey. It costs no allocation.
func HTTP(req *http.Request) Request { return httpRequest{req} }

// httpRequest is a pointer, and so fits into an interface.
type httpRequest struct{ *http.Request }

func (r httpRequest) Header(name Name) []string { return r.Request.Header[name.Canonical] }

func (r httpRequest) Pseudo(name string) string {
	switch name {
	case ":method":
		if r.Method == "" {
			return http.MethodGet
		}
		return r.Method
	case ":authority":
		if r.Host == "" && r.URL != nil {
			return r.URL.Host
		}
		return r.Host
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
	u := r.URL
	if u == nil {
		return "", "", false
	}
	switch {
	case u.Opaque != "":
		path = u.Opaque
	default:
		path = u.EscapedPath()
		if path == "" {
			path = "/"
		}
	}
	return path, u.RawQuery, u.RawQuery != "" || u.ForceQuery
}

func (r httpRequest) Remote() string { return r.RemoteAddr }

func (r httpRequest) Local() string {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return addr.String()
	}
	return ""
}
