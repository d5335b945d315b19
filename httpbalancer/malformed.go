package httpbalancer

import (
	"net/http"
	"strings"
)

// malformed returns whether net/http refuses to send a request because of its
// method or its header: that is nobody's fault but the caller's. It is asked after
// an error only.
func malformed(req *http.Request) bool {
	return req.Method != "" && !isToken(req.Method) || badHeader(req.Header) || badHeader(req.Trailer)
}

func badHeader(header http.Header) bool {
	for name, values := range header {
		if !isToken(name) {
			return true
		}
		for _, value := range values {
			if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
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
