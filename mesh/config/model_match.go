package config

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/maglev-lb/maglev/mesh/message"
)

// Matches returns whether a text is one that the match is for.
func (m *StringMatch) Matches(text string) bool {
	switch {
	case m.Exact != nil:
		return len(text) == len(*m.Exact) && (text == *m.Exact || m.IgnoreCase && equalFold(text, *m.Exact))
	case m.Prefix != nil:
		n := len(*m.Prefix)
		return len(text) >= n && (text[:n] == *m.Prefix || m.IgnoreCase && equalFold(text[:n], *m.Prefix))
	case m.Suffix != nil:
		n := len(text) - len(*m.Suffix)
		return n >= 0 && (text[n:] == *m.Suffix || m.IgnoreCase && equalFold(text[n:], *m.Suffix))
	case m.Contains != nil && m.IgnoreCase:
		for i := 0; i+len(*m.Contains) <= len(text); i++ {
			if equalFold(text[i:i+len(*m.Contains)], *m.Contains) {
				return true
			}
		}
		return false
	case m.Contains != nil:
		return strings.Contains(text, *m.Contains)
	case m.Regex != nil:
		return m.Regex.MatchString(Widened(text))
	}
	return false
}

// equalFold compares two texts of one length without the case of ASCII letters.
func equalFold(a, b string) bool {
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// MatchesRequest returns whether a request has a header as it is asked for. Of several lines one
// that matches is enough. (Envoy joins the lines of some names as it reads them, see
// [message.JoinedInRequest]; lines of others it takes one by one.)
func (m *HeaderMatch) MatchesRequest(r *message.Request) bool {
	switch m.Name {
	case ":authority", "host":
		return m.matchesOne(r.Authority)
	case ":path":
		return m.matchesOne(r.Path)
	case ":method":
		return m.matchesOne(r.Method)
	case ":scheme":
		return m.matchesOne(r.Scheme)
	}
	return m.matches(r.Fields)
}

// MatchesResponse is MatchesRequest for an answer.
func (m *HeaderMatch) MatchesResponse(r *message.Response) bool {
	if m.Name == ":status" {
		return m.matchesOne(strconv.Itoa(r.Status))
	}
	return m.matches(r.Fields)
}

func (m *HeaderMatch) matchesOne(value string) bool {
	return m.verdict(true, m.matchesValue(value))
}

func (m *HeaderMatch) matches(fields message.Fields) bool {
	present := false
	for i := range fields {
		if fields[i].Name == m.Name {
			present = true
			if m.matchesValue(fields[i].Value) {
				return m.verdict(true, true)
			}
		}
	}
	return m.verdict(present, false)
}

// matchesValue returns whether a line's value is asked for. All are where presence is.
func (m *HeaderMatch) matchesValue(value string) bool {
	switch {
	case m.String != nil:
		return m.String.Matches(value)
	case m.Range != nil:
		return m.Range.matches(value)
	}
	return true
}

// verdict returns what follows from a header that is there, or not, and of which a line has
// matched, or none. One that is absent does not match even inverted, unless it is taken for empty.
func (m *HeaderMatch) verdict(present, matched bool) bool {
	if m.String == nil && m.Range == nil {
		asked := m.Present == nil || *m.Present
		return (present || m.MissingAsEmpty) == asked != m.Invert
	}
	if !present {
		return m.MissingAsEmpty && m.matchesValue("") != m.Invert
	}
	return matched != m.Invert
}

// matches returns whether a text is a decimal number in the range. A + before it is allowed.
func (r *Range) matches(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && r.Start <= n && n < r.End
}

// CompileRegex compiles a pattern as Envoy's RE2 reads it: it works on bytes, so that of é, which is
// two, a . matches one, and [é] is either of them. Package regexp works on UTF-8,
// therefore each byte of the pattern is made the character of that number, and a text
// has to be [Widened] in the same way. Whole says that all of a text has to match.
func CompileRegex(pattern string, whole bool) (*regexp.Regexp, error) {
	re, err := regexp.Compile(Widened(pattern))
	if err != nil || !whole {
		return re, err
	}
	return regexp.Compile(`\A(?:` + Widened(pattern) + `)\z`)
}

// Widened returns a text in which each byte is a character, as a regular expression of
// [CompileRegex] has to be given it. ASCII stays as it is.
func Widened(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return widened(s)
		}
	}
	return s
}

func widened(s string) string {
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}
