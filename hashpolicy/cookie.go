package hashpolicy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/maglev-lb/maglev"
)

// Cookie hashes the value of a cookie, without the quotes around it: Envoy's
// cookie policy without a ttl. The first cookie of the name counts, of all Cookie
// lines; an empty one is as good as none. Names are compared with case.
func Cookie(name string) Policy {
	if !isToken(name) {
		return wrong("Cookie", "name", name, "a cookie's name, such as session")
	}
	return of("Cookie", func(r Request) (string, bool) {
		value := cookie(r, name)
		return value, value != ""
	})
}

// A NewCookie says what cookie is generated where one is missing.
type NewCookie struct {
	// Name is the cookie's. Required.
	Name string

	// TTL is its Max-Age, in whole seconds. Default (0): it lasts for the
	// browser's session.
	TTL time.Duration

	// Path is where the browser sends it. Default (""): where it comes from.
	Path string

	// Attributes are put after that, such as {"SameSite", "Lax"} and {"Secure",
	// ""}. HttpOnly is always there. Default (nil): none.
	Attributes []Attribute
}

// An Attribute is one of a cookie, without a value if that is empty.
type Attribute struct{ Name, Value string }

// GeneratedCookie is [Cookie], and where there is none one is generated: Envoy's
// cookie policy with a ttl. Its value is the XXH64 of the texts of the addresses of
// both ends of the connection, as 16 hexadecimal digits, so that what the same connection
// asks next goes to the same backend even if the client does not keep the cookie. A
// request that has not come by a connection gets a random one. The caller puts it
// into the response, see [List.HashAndCookies].
func GeneratedCookie(c NewCookie) Policy {
	const policy = "GeneratedCookie"
	switch {
	case !isToken(c.Name):
		return wrong(policy, "NewCookie.Name", c.Name, "a cookie's name, such as session")
	case c.TTL < 0 || c.TTL%time.Second != 0:
		return wrong(policy, "NewCookie.TTL", c.TTL.String(), "whole seconds, or 0 for the browser's session")
	case !isAttributeValue(c.Path):
		return wrong(policy, "NewCookie.Path", c.Path, "visible ASCII characters and blanks without ;")
	}
	for i, a := range c.Attributes {
		if !isToken(a.Name) {
			return wrong(policy, fmt.Sprintf("NewCookie.Attributes[%d].Name", i), a.Name, "an attribute's name, such as SameSite")
		}
		if !isAttributeValue(a.Value) {
			return wrong(policy, fmt.Sprintf("NewCookie.Attributes[%d].Value", i), a.Value, "visible ASCII characters and blanks without ;")
		}
	}
	suffix := c.suffix()
	return Policy{name: policy, hash: func(r Request) (uint64, bool, string) {
		if value := cookie(r, c.Name); value != "" {
			return maglev.XXHash(value, 0), true, ""
		}
		value := fmt.Sprintf("%016x", addresses(r))
		return maglev.XXHash(value, 0), true, c.Name + `="` + value + `"` + suffix
	}}
}

// suffix returns what of Set-Cookie comes after the value, in Envoy's order.
func (c *NewCookie) suffix() string {
	var b strings.Builder
	if c.TTL > 0 {
		fmt.Fprintf(&b, "; Max-Age=%d", c.TTL/time.Second)
	}
	if c.Path != "" {
		b.WriteString("; Path=" + c.Path)
	}
	for _, a := range c.Attributes {
		b.WriteString("; " + a.Name)
		if a.Value != "" {
			b.WriteString("=" + a.Value)
		}
	}
	b.WriteString("; HttpOnly")
	return b.String()
}

func addresses(r Request) uint64 {
	remote := r.Remote()
	if remote == "" {
		return rand.Uint64()
	}
	return maglev.XXHash(remote+r.Local(), 0)
}

// isAttributeValue returns whether a text is an av-octet sequence (RFC 6265,
// section 4.1.1).
func isAttributeValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == ';' {
			return false
		}
	}
	return true
}

var cookieHeader = nameOf("Cookie")

// cookie returns the value of the first cookie of a name, "" if there is none. It
// reads as Envoy does: blanks before a name are skipped, and none after it.
func cookie(r Request, name string) string {
	for _, line := range r.Header(cookieHeader) {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			key, value, ok := strings.Cut(strings.TrimLeft(pair, " "), "=")
			if !ok || key != name {
				continue
			}
			if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
				value = value[1 : len(value)-1]
			}
			return value
		}
	}
	return ""
}
