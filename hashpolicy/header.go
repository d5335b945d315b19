package hashpolicy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/maglev-lb/maglev"
)

// Header hashes a header: Envoy's header policy. Of several values all count,
// whatever their order: they are sorted by their bytes and hashed in a chain, each
// with the hash of those before as its seed. An empty value counts; a header that
// is absent gives no hash. Names are compared without case.
//
// The pseudo headers :path (with its query), :authority, :method and :scheme are
// headers too, and Host is :authority.
func Header(name string) Policy { return header("Header", name, nil) }

// HeaderRewrite is [Header] with Envoy's regex_rewrite: in each value every match of
// the pattern is replaced before it is hashed. The pattern is of RE2's syntax; \1
// to \9 in the substitution are its groups, \0 is the match, and \\ a backslash.
// (Go's regexp is RE2 in Go. What it lacks is \C.)
func HeaderRewrite(name, pattern, substitution string) Policy {
	const policy = "HeaderRewrite"
	re, err := regexp.Compile(pattern)
	if err != nil {
		return wrong(policy, "pattern", pattern, fmt.Sprintf("a regular expression of RE2's syntax (%v)", err))
	}
	template, err := expand(substitution, re.NumSubexp())
	if err != nil {
		return wrong(policy, "substitution", substitution, err.Error())
	}
	return header(policy, name, func(value string) string { return re.ReplaceAllString(value, template) })
}

// expand turns RE2's rewrite syntax into that of package regexp.
func expand(substitution string, groups int) (string, error) {
	var b strings.Builder
	for i := 0; i < len(substitution); i++ {
		c := substitution[i]
		switch {
		case c == '$':
			b.WriteString("$$")
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(substitution) && substitution[i+1] == '\\':
			b.WriteByte('\\')
			i++
		case i+1 < len(substitution) && substitution[i+1] >= '0' && int(substitution[i+1]-'0') <= min(groups, 9):
			fmt.Fprintf(&b, "${%c}", substitution[i+1])
			i++
		default:
			return "", fmt.Errorf(`text in which a backslash is followed by a backslash or the number of a group, from 0 to %d`, min(groups, 9))
		}
	}
	return b.String(), nil
}

func header(policy, name string, rewrite func(string) string) Policy {
	lower := strings.ToLower(name)
	if lower == "host" {
		lower = ":authority"
	}
	switch {
	case lower == ":path":
		if rewrite == nil {
			return Policy{name: policy, hash: hashPath}
		}
		return of(policy, func(r Request) (string, bool) {
			path, query, hasQuery := r.Target()
			if hasQuery {
				path += "?" + query
			}
			return rewrite(path), path != ""
		})
	case lower == ":authority", lower == ":method", lower == ":scheme":
		return of(policy, func(r Request) (string, bool) {
			value := r.Pseudo(lower)
			if value == "" {
				return "", false
			}
			if rewrite != nil {
				value = rewrite(value)
			}
			return value, true
		})
	case !isToken(name):
		return wrong(policy, "name", name, "a header's name, such as X-User, or :path, :authority, :method or :scheme")
	}
	of := nameOf(name)
	return Policy{name: policy, hash: func(r Request) (uint64, bool, string) {
		values := r.Header(of)
		if len(values) == 0 {
			return 0, false, ""
		}
		if rewrite == nil && len(values) == 1 {
			return maglev.XXHash(values[0], 0), true, ""
		}
		return hashValues(values, rewrite), true, ""
	}}
}

// hashValues sorts a copy of the values.
func hashValues(values []string, rewrite func(string) string) uint64 {
	var few [8]string
	sorted := append(few[:0], values...)
	if rewrite != nil {
		for i := range sorted {
			sorted[i] = rewrite(sorted[i])
		}
	}
	slices.Sort(sorted)
	hash := uint64(0)
	for _, value := range sorted {
		hash = maglev.XXHash(value, hash)
	}
	return hash
}

// hashPath hashes the path with its query, without putting them together.
func hashPath(r Request) (uint64, bool, string) {
	path, query, hasQuery := r.Target()
	if path == "" {
		return 0, false, ""
	}
	if !hasQuery {
		return maglev.XXHash(path, 0), true, ""
	}
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(path) // never fails
	_, _ = d.WriteString("?")
	_, _ = d.WriteString(query)
	return d.Sum64(), true, ""
}

// isToken returns whether a text is a token (RFC 9110, section 5.6.2), as names of
// headers and cookies are.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
