package route

import (
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

const (
	originalHost  = "x-envoy-original-host"
	originalPath  = "x-envoy-original-path"
	forwardedHost = "x-forwarded-host"
)

// RewriteRequest changes the head of a request that is to be forwarded, to the weighted cluster
// that [Route.Cluster] has returned if any. First come header mutations, of the weighted cluster,
// of the route, of the virtual host and of the table (with most_specific_header_mutations_wins the
// last three in reverse), which see host and path as they were; then the host is rewritten, and
// then the path, of which host_rewrite_path_regex still sees the old one. The host that a weighted
// cluster sets is there before the route's mutations.
//
// Originals says whether x-envoy-original-path and x-envoy-original-host tell what was replaced:
// they do unless the router's suppress_envoy_headers is set. A weighted cluster's host never does.
//
// Mutations may set fields that the router heeds after them, such as x-envoy-retry-on. Those
// that depend on a cluster's or route's name see the ones in the exchange.
func (r *Route) RewriteRequest(ex *message.Exchange, w *Weighted, originals bool) {
	request := &ex.Request
	if w != nil {
		if w.mutations != nil {
			w.mutations.request.apply(&request.Fields, ex)
		}
		if w.Config.HostRewrite != nil {
			request.Authority = *w.Config.HostRewrite
		}
	}
	for _, level := range r.mutations {
		level.request.apply(&request.Fields, ex)
	}
	if host := r.newHost(request); host != "" {
		r.setHost(request, host, originals)
	}
	r.rewritePath(request, r.Config.Forward.PrefixRewrite, originals)
}

// RewriteHost is auto_host_rewrite: where the route has it, the host becomes the hostname of the
// endpoint that a request goes to, unless that is "". Originals is that of [Route.RewriteRequest].
func (r *Route) RewriteHost(ex *message.Exchange, hostname string, originals bool) {
	if r.Config.Forward.AutoHostRewrite && hostname != "" {
		r.setHost(&ex.Request, hostname, originals)
	}
}

// RewriteResponse makes the response header mutations. Envoy makes them when
// x-envoy-upstream-service-time is set, and before the fields date and server are. It makes them on
// what it answers itself too once a route is chosen, but not on 404 without one, and not on the
// redirect of require_tls; there, the status in %RESPONSE_CODE% is still 0.
func (r *Route) RewriteResponse(ex *message.Exchange, w *Weighted) {
	if w != nil && w.mutations != nil {
		w.mutations.response.apply(&ex.Response.Fields, ex)
	}
	for _, level := range r.mutations {
		level.response.apply(&ex.Response.Fields, ex)
	}
}

// newHost returns "" if the host is to stay.
func (r *Route) newHost(request *message.Request) string {
	f := r.Config.Forward
	switch {
	case f.HostRewrite != nil:
		return *f.HostRewrite
	case f.HostRewriteHeader != "":
		return headerOf(request, f.HostRewriteHeader)
	case r.host != nil:
		path, _, _ := strings.Cut(request.Path, "?")
		return r.host.in(path)
	}
	return ""
}

func (r *Route) setHost(request *message.Request, host string, originals bool) {
	old := request.Authority
	if old != "" {
		if originals {
			request.Fields.Set(originalHost, old)
		}
		if r.Config.Forward.AppendForwardedHost {
			appendForwardedHost(&request.Fields, old)
		}
	}
	request.Authority = host
}

// appendForwardedHost adds a host to x-forwarded-host, unless it is the last one there.
func appendForwardedHost(fields *message.Fields, host string) {
	value, _ := fields.Get(forwardedHost)
	value = strings.TrimRight(value, ",")
	if last := value[strings.LastIndexByte(value, ',')+1:]; last != host {
		fields.AddJoined(forwardedHost, host, true)
	}
}

// rewritePath is prefix_rewrite, if there is one, or else regex_rewrite. The query stays.
func (r *Route) rewritePath(request *message.Request, prefix *string, originals bool) {
	path := request.Path
	end := strings.IndexByte(path, '?')
	if end < 0 {
		end = len(path)
	}
	switch {
	case prefix != nil && *prefix != "":
		if r.matcher.kind != pattern {
			if !r.matcher.begins(path) {
				return // it has matched without the parameters that are in it
			}
			end = len(r.matcher.text)
		}
		request.Path = *prefix + path[end:]
	case r.path != nil:
		rewritten := r.path.in(path[:end])
		if rewritten == "" {
			return // Envoy has no empty path either
		}
		request.Path = rewritten + path[end:]
	default:
		return
	}
	if originals {
		request.Fields.Set(originalPath, path)
	}
}

// A substitution replaces all matches of a pattern: RE2's GlobalReplace.
type substitution struct {
	rewrite *config.RegexRewrite
	parts   []part
	void    bool // it asks for a group that there is not, and replaces nothing
}

// A part of what is put in place of a match: a text, and then a group if that is not negative.
type part struct {
	text  string
	group int
}

// newSubstitution returns nil for none. In a substitution \0 to \9 are the groups, and \\ is a
// backslash. What begins with another backslash is left out to the end, as in Envoy.
func newSubstitution(rewrite *config.RegexRewrite) *substitution {
	if rewrite == nil {
		return nil
	}
	s := &substitution{rewrite: rewrite}
	for rest := rewrite.Substitution; rest != ""; {
		text, after, escaped := strings.Cut(rest, `\`)
		p := part{text: text, group: -1}
		rest = ""
		if escaped && after != "" {
			switch c := after[0]; {
			case '0' <= c && c <= '9':
				p.group, rest = int(c-'0'), after[1:]
			case c == '\\':
				p.text, rest = text+`\`, after[1:]
			}
		}
		s.parts = append(s.parts, p)
	}
	s.void = highestGroup(rewrite.Substitution) > rewrite.Regex.NumSubexp()
	return s
}

func highestGroup(substitution string) int {
	highest := 0
	for i := 0; i+1 < len(substitution); i++ {
		if substitution[i] == '\\' {
			i++
			if c := substitution[i]; '0' <= c && c <= '9' {
				highest = max(highest, int(c-'0'))
			}
		}
	}
	return highest
}

// in returns what becomes of a text.
func (s *substitution) in(text string) string {
	if s.void {
		return text
	}
	matches := s.rewrite.Regex.FindAllStringSubmatchIndex(text, -1)
	if len(matches) == 0 {
		return text
	}
	b := make([]byte, 0, 2*len(text))
	rest := 0
	for _, match := range matches {
		b = append(b, text[rest:match[0]]...)
		rest = match[1]
		for _, p := range s.parts {
			b = append(b, p.text...)
			if p.group >= 0 && match[2*p.group] >= 0 {
				b = append(b, text[match[2*p.group]:match[2*p.group+1]]...)
			}
		}
	}
	return string(append(b, text[rest:]...))
}
