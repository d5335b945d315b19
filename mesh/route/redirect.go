package route

import (
	"strconv"
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A redirect holds what of a config.Redirect is made once.
type redirect struct {
	port     string // ":8080", "" for none
	hasQuery bool   // path_redirect has one, which takes the place of the request's
}

func newRedirect(c *config.Redirect) redirect {
	r := redirect{hasQuery: strings.Contains(c.Path, "?")}
	if c.Port != 0 {
		r.port = ":" + strconv.FormatUint(uint64(c.Port), 10)
	}
	return r
}

// Redirect returns where a route with a redirect sends a request, and the status to say so with. A
// rewrite of the path is made in the request, with x-envoy-original-path, for those who log it.
func (r *Route) Redirect(ex *message.Exchange, originals bool) (location string, status int) {
	request := &ex.Request
	c := r.Config.Redirect
	if r.requireHTTPS {
		return "https://" + request.Authority + request.Path, c.Status
	}
	r.rewritePath(request, c.PrefixRewrite, originals)

	scheme := request.Scheme
	switch {
	case c.Scheme != "":
		scheme = c.Scheme
	case c.HTTPS:
		scheme = "https"
	}
	host := c.Host
	if host == "" {
		host = hostFor(request, scheme, r.redirect.port)
	}
	path, query := request.Path, ""
	if c.Path != "" {
		if !r.redirect.hasQuery {
			_, query = cutQuery(path)
		}
		path = c.Path
	}
	if c.StripQuery && !r.redirect.hasQuery {
		path, _, _ = strings.Cut(path, "?")
		query = ""
	}
	slash := ""
	if !strings.HasPrefix(path, "/") {
		slash = "/"
	}
	return scheme + "://" + host + r.redirect.port + slash + path + query, c.Status
}

// hostFor returns the host of a request as it is in another URL: without its port if another is
// given, or if the scheme changes and the port was the default of the old one, which is that
// in x-forwarded-proto.
func hostFor(request *message.Request, scheme, port string) string {
	host := request.Authority
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || host[0] == '[' && host[colon-1] != ']' {
		return host
	}
	old, _ := request.Fields.Get("x-forwarded-proto")
	if port != "" ||
		old != scheme && (old == "https" && host[colon:] == ":443" || old == "http" && host[colon:] == ":80") {
		return host[:colon]
	}
	return host
}

// cutQuery splits a path before its query, which has the question mark.
func cutQuery(path string) (before, query string) {
	if i := strings.IndexByte(path, '?'); i >= 0 {
		return path[:i], path[i:]
	}
	return path, ""
}
