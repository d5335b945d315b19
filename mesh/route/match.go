package route

import (
	"regexp"
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A matcher says which requests a route is for.
type matcher struct {
	kind       pathKind
	ignoreCase bool
	more       bool   // there are conditions besides the path
	text       string // all of the path or its beginning, in lower case if case is ignored
	regex      *regexp.Regexp
	match      *config.RouteMatch
	route      *Route
}

type pathKind uint8

const (
	prefix        pathKind = iota
	whole                  // path
	segmentPrefix          // path_separated_prefix: what follows it, if anything, begins with a slash
	pattern                // safe_regex
)

func newMatcher(r *Route) matcher {
	m := &r.Config.Match
	t := matcher{
		match: m, route: r, ignoreCase: m.IgnoreCase && m.Regex == nil,
		more: len(m.Headers) > 0 || len(m.Query) > 0 || m.GRPC || m.Fraction != nil,
	}
	switch {
	case m.Prefix != nil:
		t.kind, t.text = prefix, *m.Prefix
	case m.Path != nil:
		t.kind, t.text = whole, *m.Path
	case m.PathPrefix != nil:
		t.kind, t.text = segmentPrefix, *m.PathPrefix
	default:
		t.kind, t.regex = pattern, m.Regex
	}
	if t.ignoreCase {
		t.text = lowerCase(t.text)
	}
	return t
}

// enoughPaths is how many routes for one path a virtual host has to have for an index of them.
// Fewer are compared faster than one is found.
const enoughPaths = 8

// index sets scanned and byPath.
func (h *VirtualHost) index() {
	byPath := map[string][]int{}
	paths := 0
	for i := range h.routes {
		if m := &h.routes[i]; m.kind == whole && !m.ignoreCase {
			byPath[m.text] = append(byPath[m.text], i)
			paths++
		}
	}
	if paths >= enoughPaths {
		h.byPath = byPath
	}
	for i := range h.routes {
		if m := &h.routes[i]; h.byPath == nil || m.kind != whole || m.ignoreCase {
			h.scanned = append(h.scanned, i)
		}
	}
}

// match returns the first route that a request is for, nil if there is none.
func (h *VirtualHost) match(r *message.Request, random uint64) *Route {
	path, query, _ := strings.Cut(r.Path, "?")
	if h.table.Config.IgnorePathParameters {
		path = withoutParameters(path)
	}
	indexed := h.byPath[path]
	for _, i := range h.scanned {
		for len(indexed) > 0 && indexed[0] < i {
			if m := &h.routes[indexed[0]]; m.matchesMore(r, query, random) {
				return m.route
			}
			indexed = indexed[1:]
		}
		if m := &h.routes[i]; m.matchesPath(path) && m.matchesMore(r, query, random) {
			return m.route
		}
	}
	for _, i := range indexed {
		if m := &h.routes[i]; m.matchesMore(r, query, random) {
			return m.route
		}
	}
	return nil
}

// withoutParameters takes off each segment of a path what begins with a semicolon.
func withoutParameters(path string) string {
	if strings.IndexByte(path, ';') < 0 {
		return path
	}
	b := make([]byte, 0, len(path))
	skip := false
	for i := range len(path) {
		if c := path[i]; c == ';' || c == '/' {
			skip = c == ';'
		}
		if !skip {
			b = append(b, path[i])
		}
	}
	return string(b)
}

// matchesPath is for a path without its query.
func (m *matcher) matchesPath(path string) bool {
	switch m.kind {
	case prefix:
		return m.begins(path)
	case whole:
		return len(path) == len(m.text) && m.begins(path)
	case segmentPrefix:
		return m.begins(path) && (len(path) == len(m.text) || path[len(m.text)] == '/')
	}
	return m.regex.MatchString(config.Widened(path))
}

// begins returns whether a path begins with the text, which all kinds but pattern have.
func (m *matcher) begins(path string) bool {
	if !m.ignoreCase {
		return strings.HasPrefix(path, m.text)
	}
	if len(path) < len(m.text) {
		return false
	}
	for i := range len(m.text) {
		c := path[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != m.text[i] {
			return false
		}
	}
	return true
}

// matchesMore returns whether a request meets the conditions besides the path.
func (m *matcher) matchesMore(r *message.Request, query string, random uint64) bool {
	if !m.more {
		return true
	}
	if f := m.match.Fraction; f != nil && random%uint64(f.Denominator) >= uint64(f.Numerator) {
		return false
	}
	if m.match.GRPC && !isGRPC(r) {
		return false
	}
	for i := range m.match.Headers {
		if !m.match.Headers[i].MatchesRequest(r) {
			return false
		}
	}
	for i := range m.match.Query {
		if !matchesQuery(&m.match.Query[i], query) {
			return false
		}
	}
	return true
}

// matchesQuery looks for the first parameter of a name. Name and value are compared as they
// stand in the query, where only & separates.
func matchesQuery(q *config.QueryMatch, query string) bool {
	value, present := parameter(query, q.Name)
	switch {
	case q.String != nil:
		return present && q.String.Matches(value)
	case q.Present != nil:
		return present == *q.Present
	}
	return present
}

func parameter(query, name string) (value string, present bool) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if key, value, _ := strings.Cut(pair, "="); key == name && pair != "" {
			return value, true
		}
	}
	return "", false
}
