package route

import "strings"

// normalPath makes a path without a query normal, by RFC 3986, section 6.2.2, and the URL
// standard that browsers follow, as Envoy does:
//
//   - Segments "." and "..", also with %2e for a dot, are taken away, the latter with the segment
//     before it, which may be an empty one. Parameters of such a segment go with it, but only if
//     its dots are not escaped: "/a/..;x/b" becomes "/b".
//   - A backslash becomes a slash.
//   - Escaped letters, digits and - . _ ~ are decoded. What else is escaped stays as it is.
//   - What may not stand in a path becomes escaped. Of a % that escapes nothing, only one that would
//     escape something together with what was decoded after it does: "%%34%31" becomes "%2541".
//   - A zero byte, escaped or not, is not allowed.
//
// It returns false for a path that cannot be made normal.
func normalPath(path string) (string, bool) {
	if isNormal(path) {
		return path, true
	}
	n := normalizer{in: withoutDotParameters(path)}
	n.out = make([]byte, 0, len(n.in)+16)
	n.loose = -1
	for n.next < len(n.in) {
		if !n.step() {
			return path, false
		}
	}
	return string(n.out), true
}

// isNormal returns whether a path is normal already, and false also for some that are.
func isNormal(path string) bool {
	for i := range len(path) {
		if c := path[i]; c == '%' || c == '\\' || c == '.' && path[i-1] == '/' || mustEscape(c) {
			return false
		}
	}
	return true
}

// withoutDotParameters takes the parameters off segments that are "." or ".." but for these. Only a
// slash ends them.
func withoutDotParameters(path string) string {
	if !strings.Contains(path, ".;") {
		return path
	}
	var b strings.Builder
	for i, segment := range strings.Split(path, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		if dots, _, ok := strings.Cut(segment, ";"); ok && (dots == "." || dots == "..") {
			segment = dots
		}
		b.WriteString(segment)
	}
	return b.String()
}

type normalizer struct {
	in    string
	next  int // of in: what has not been read
	out   []byte
	loose int // where the last % that escapes nothing is in out, -1 for nowhere
}

// step reads a character, an escape sequence or a segment of dots. It returns false for what is not
// allowed.
func (n *normalizer) step() bool {
	c := n.in[n.next]
	switch {
	case c == 0:
		return false
	case c == '\\':
		n.take(1, '/')
	case n.dot(n.next) > 0 && n.endsWithSlash():
		n.dots()
	case c == '%':
		return n.escaped()
	case mustEscape(c):
		n.take(1, '%', upperHex[c>>4], upperHex[c&15])
	default:
		n.take(1, c)
	}
	return true
}

// take reads so many bytes and writes others.
func (n *normalizer) take(count int, written ...byte) {
	n.next += count
	n.out = append(n.out, written...)
}

func (n *normalizer) endsWithSlash() bool { return len(n.out) > 0 && n.out[len(n.out)-1] == '/' }

// dot returns how long the dot at a place of the input is, 0 if there is none.
func (n *normalizer) dot(at int) int {
	if at < len(n.in) && n.in[at] == '.' {
		return 1
	}
	if c, ok := unescape(n.in, at); ok && c == '.' {
		return 3
	}
	return 0
}

// dots reads a dot after a slash, and with it all of the segment and the slash after it if there
// are no more than two dots in it.
func (n *normalizer) dots() {
	first := n.dot(n.next)
	second := n.dot(n.next + first)
	after := n.next + first + second
	switch {
	case after < len(n.in) && n.in[after] != '/' && n.in[after] != '\\':
		n.take(first, '.')
		return
	case second > 0:
		n.up()
	}
	n.next = min(after+1, len(n.in))
}

// up takes the last segment off the output, which ends with a slash.
func (n *normalizer) up() {
	last := len(n.out) - 1
	for last > 0 && n.out[last-1] != '/' {
		last--
	}
	n.out = n.out[:max(last, 1)]
}

// escaped reads a % and what it escapes.
func (n *normalizer) escaped() bool {
	c, ok := unescape(n.in, n.next)
	switch {
	case !ok:
		n.loose = len(n.out)
		n.take(1, '%')
	case c == 0:
		return false
	case isUnreserved(c):
		n.take(3, c)
		n.mendLoose()
	default:
		n.take(3, '%', n.in[n.next+1], n.in[n.next+2])
	}
	return true
}

// mendLoose is called after a character was decoded. If the % before it that has escaped nothing
// would now escape something, it is escaped itself.
func (n *normalizer) mendLoose() {
	if n.loose < 0 || n.loose+3 < len(n.out) {
		return
	}
	var two [3]byte
	copied := copy(two[:], n.out[n.loose:])
	if copied == 2 && n.next < len(n.in) {
		two[2] = n.in[n.next]
	}
	if _, ok := unescape(string(two[:]), 0); ok {
		n.out = append(append(n.out[:n.loose], "%25"...), two[1:copied]...)
	}
}

const upperHex = "0123456789ABCDEF"

// isUnreserved returns whether a character is never escaped: RFC 3986, section 2.3.
func isUnreserved(c byte) bool {
	switch c {
	case '-', '.', '_', '~':
		return true
	}
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// mustEscape returns whether a character may not stand in a path as it is.
func mustEscape(c byte) bool {
	switch c {
	case '"', '#', '<', '>', '^', '`', '{', '|', '}', 0x7f:
		return true
	}
	return c <= ' ' || c >= 0x80
}
