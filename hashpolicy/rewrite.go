package hashpolicy

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// A rewrite replaces all matches. Nil leaves a text as it is.
//
// Envoy's RE2 works on bytes: it takes pattern and text for Latin-1, so that . is one
// byte of the two that é has. Package regexp works on UTF-8, so it is given each
// byte as the character of that number.
type rewrite struct {
	pattern  *regexp.Regexp
	template string // in the syntax of package regexp
}

// newRewrite returns an error that says which of the two is wrong.
func newRewrite(pattern, substitution string) (*rewrite, error) {
	re, err := regexp.Compile(widened(pattern))
	if err != nil {
		return nil, wrong("HeaderRewrite: pattern", pattern, fmt.Sprintf("a regular expression (%v)", err))
	}
	template, err := expand(substitution, re.NumSubexp())
	if err != nil {
		return nil, wrong("HeaderRewrite: substitution", substitution, err.Error())
	}
	return &rewrite{re, widened(template)}, nil
}

func (w *rewrite) of(text string) string {
	if w == nil {
		return text
	}
	return narrowed(w.pattern.ReplaceAllString(widened(text), w.template))
}

// widened returns a text in which each byte is a character.
func widened(s string) string {
	if isASCII(s) {
		return s
	}
	runes := make([]rune, len(s))
	for i := range len(s) {
		runes[i] = rune(s[i])
	}
	return string(runes)
}

// narrowed is the inverse of widened.
func narrowed(s string) string {
	if isASCII(s) {
		return s
	}
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// expand turns a substitution in RE2's syntax, for a pattern with so many groups,
// into one in that of package regexp. An error says what it must be. (Envoy
// takes any, and then leaves out the rewrite, or all that follows.)
func expand(substitution string, groups int) (string, error) {
	groups = min(groups, 9)
	var b strings.Builder
	for rest := substitution; ; {
		text, after, ok := strings.Cut(rest, `\`)
		b.WriteString(strings.ReplaceAll(text, "$", "$$"))
		switch {
		case !ok:
			return b.String(), nil
		case after != "" && after[0] == '\\':
			b.WriteByte('\\')
		case after != "" && '0' <= after[0] && int(after[0]-'0') <= groups:
			b.WriteString("${" + after[:1] + "}")
		case groups == 0:
			return "", errors.New(`a text in which what follows a backslash is another or 0, as the pattern has no groups`)
		default:
			return "", fmt.Errorf(`a text in which what follows a backslash is another or a group's number, 0 to %d`, groups)
		}
		rest = after[1:]
	}
}
