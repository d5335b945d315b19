package hashpolicy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/maglev-lb/maglev"
)

type cookie struct {
	name   string
	suffix string // of a generated one: what follows its value; "" generates none
	err    error
}

// Cookie hashes the value of a cookie, without the quotes that may be around it:
// Envoy's cookie policy without a ttl. The first cookie of that name counts, on
// whichever line. There is no hash if there is none or it is empty. Names are
// compared with case.
func Cookie(name string) Policy {
	return Policy{kind: &cookie{name: name, err: checkCookie("Cookie: name", name)}}
}

// A NewCookie says what cookie is generated where one is missing.
type NewCookie struct {
	// Name is the cookie's. Required.
	Name string

	// TTL is its Max-Age, in whole seconds. Default (0): none, so that it lasts
	// for the browser's session.
	TTL time.Duration

	// Path is its Path, where browsers send it. Default (""): none, which to
	// them is the directory of the request's path.
	Path string

	// Attributes come after that. HttpOnly is always there. Default (nil):
	// none.
	Attributes []Attribute
}

// An Attribute is one of a cookie, such as {"SameSite", "Lax"}, or without a value
// {"Secure", ""}.
type Attribute struct{ Name, Value string }

// GeneratedCookie is [Cookie], and where there is none, or an empty one, one is
// generated: Envoy's cookie policy with a ttl. Its value is the XXH64 of the texts
// of both addresses of the connection that the request has come by, in 16
// hexadecimal digits, so that other requests on that connection go to the same
// backend. The caller puts it into the response, see [List.HashAndCookies]:
//
//	session="3e2a4b1d8c9f0a67"; Max-Age=3600; Path=/; SameSite=Lax; HttpOnly
//
// A request that has not come by a connection gets a random value, or no hash
// from [List.Hash], where it would be lost. To generate one allocates.
func GeneratedCookie(c NewCookie) Policy {
	return Policy{kind: &cookie{name: c.Name, suffix: c.suffix(), err: c.check()}}
}

func (c *NewCookie) check() error {
	const value = "a text without control characters and ;"
	switch {
	case !isToken(c.Name):
		return checkCookie("NewCookie.Name", c.Name)
	case c.TTL < 0 || c.TTL%time.Second != 0:
		return wrong("NewCookie.TTL", c.TTL, "whole seconds, or 0 for a browser's session")
	case !isAttributeValue(c.Path):
		return wrong("NewCookie.Path", c.Path, value)
	}
	for i, a := range c.Attributes {
		if !isToken(a.Name) {
			return wrong(fmt.Sprintf("NewCookie.Attributes[%d].Name", i), a.Name, "an attribute's name, such as SameSite")
		}
		if !isAttributeValue(a.Value) {
			return wrong(fmt.Sprintf("NewCookie.Attributes[%d].Value", i), a.Value, value)
		}
	}
	return nil
}

func checkCookie(field, name string) error {
	if !isToken(name) {
		return wrong(field, name, "a cookie's name, such as session")
	}
	return nil
}

func isAttributeValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f || c == ';' {
			return false
		}
	}
	return true
}

// suffix returns what of Set-Cookie follows the value, in Envoy's order.
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

func (c *cookie) check() error { return c.err }

func (c *cookie) hash(r Request, set bool) (uint64, string, bool) {
	if c.err != nil {
		return 0, "", false
	}
	if value := cookieOf(r, c.name); value != "" {
		return maglev.XXHash(value, 0), "", true
	}
	if c.suffix == "" {
		return 0, "", false
	}
	addresses := rand.Uint64()
	if remote := r.Remote(); remote != "" {
		addresses = maglev.XXHash(remote+r.Local(), 0)
	} else if !set {
		return 0, "", false
	}
	value := fmt.Sprintf("%016x", addresses)
	if !set {
		return maglev.XXHash(value, 0), "", true
	}
	return maglev.XXHash(value, 0), c.name + `="` + value + `"` + c.suffix, true
}

var cookieHeader = nameOf("Cookie")

// cookieOf returns the value of the first cookie of a name, "" if there is none. It
// reads as Envoy does: spaces before a name are no part of it, those after it and
// around a value are.
func cookieOf(r Request, name string) string {
	for i, count := 0, 1; i < count; i++ {
		var line string
		line, count = r.Header(cookieHeader, i)
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
