package route

import (
	"strings"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/mesh/message"
)

// Hash returns the hash of a request, if its policies give it one, and the values of Set-Cookie
// fields that the answer is to have. Envoy hashes what is sent: the request must be as
// [Route.RewriteRequest] has left it. The route must be one that forwards.
func (r *Route) Hash(ex *message.Exchange) (hash uint64, ok bool, cookies []string) {
	if len(r.Config.Forward.Hash) == 0 {
		return 0, false, nil
	}
	return r.Config.Forward.Hash.HashAndCookies(connected{ex})
}

// A connected is an exchange as hash policies see it: a hashpolicy.Request and a
// config.ClientRequest. A cookie is generated from the addresses of its connection, whereas
// source_ip is of the client, which may have been told by x-forwarded-for.
type connected struct{ ex *message.Exchange }

func (c connected) Header(name hashpolicy.Name, i int) (value string, count int) {
	lower := name.Lower()
	if strings.HasPrefix(lower, ":") {
		value = headerOf(&c.ex.Request, lower)
		if value == "" {
			return "", 0
		}
		if i > 0 {
			value = ""
		}
		return value, 1
	}
	for j := range c.ex.Request.Fields {
		if f := &c.ex.Request.Fields[j]; f.Name == lower {
			if count == i {
				value = f.Value
			}
			count++
		}
	}
	return value, count
}

func (c connected) Target() (path, query string, hasQuery bool) {
	return strings.Cut(c.ex.Request.Path, "?")
}

func (c connected) Remote() string {
	if c.ex.Downstream == nil {
		return ""
	}
	return c.ex.Downstream.Remote.Text
}

func (c connected) Local() string {
	if c.ex.Downstream == nil {
		return ""
	}
	return c.ex.Downstream.Local.Text
}

func (c connected) Client() string { return c.ex.Remote.Text }

// An unconnected is an exchange for which no cookie is generated.
type unconnected struct{ connected }

func (unconnected) Remote() string { return "" }
func (unconnected) Local() string  { return "" }
