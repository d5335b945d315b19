package httpbalancer

import (
	"net/http"
	"strings"
)

// malformed returns whether net/http refuses to send a request because of its
// method or its header: that is nobody's fault but the caller's. It is asked after
// an error only.
func malformed(req *http.Request) bool {
	for name := range req.Trailer {
		switch http.CanonicalHeaderKey(name) {
		case "Transfer-Encoding", "Trailer", "Content-Length":
			return true
		}
	}
	return req.Method != "" && !isToken(req.Method) || badHeader(req.Header) || badHeader(req.Trailer) ||
		req.URL != nil && strings.ContainsFunc(req.URL.RequestURI(), isControl)
}

// refusedUnsent returns whether an error is one of net/http's about the caller's
// request, for which it has no names.
func refusedUnsent(err error) bool {
	text := err.Error()
	for _, known := range [...]string{
		"http: ContentLength=",              // and a body of another length
		"http: Request.ContentLength=",      // and no body
		"invalid Connection request header", // over HTTP/2
		"invalid Upgrade request header",
		"invalid Transfer-Encoding request header",
		"invalid request :path",
		"http2: request body larger than", // what it was said to be
		"request header list larger than", // what the peer takes
	} {
		if strings.Contains(text, known) {
			return true
		}
	}
	return false
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

func badHeader(header http.Header) bool {
	for name, values := range header {
		if !isToken(name) {
			return true
		}
		for _, value := range values {
			if strings.ContainsFunc(value, func(c rune) bool { return isControl(c) && c != '\t' }) {
				return true
			}
		}
	}
	return false
}

// isToken returns whether a text is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}
