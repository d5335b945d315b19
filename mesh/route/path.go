package route

import (
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
)

// PathRules say how the path of a request is made normal before it is matched: normalize_path,
// merge_slashes and path_with_escaped_slashes_action of the connection manager. The zero PathRules
// leave it as it is.
type PathRules struct {
	normalize, merge bool
	escapedSlashes   config.EscapedSlashes
}

// A Verdict is what becomes of a request because of its path.
type Verdict uint8

// The verdicts there are.
const (
	Accept     Verdict = iota
	Reject             // with 400
	RedirectTo         // with 307, to the path, as the value of location
)

// NewPathRules takes the rules from a connection manager's configuration.
func NewPathRules(h *config.HTTP) PathRules {
	return PathRules{normalize: h.NormalizePath, merge: h.MergeSlashes, escapedSlashes: h.EscapedSlashes}
}

// Apply returns the path that takes the place of a path with its query, and whether the request may
// go on with it. First escaped slashes are decoded (%2F and %5C, in any case), then the path is
// made normal, then slashes are merged. The query, which is all from the first question mark, stays
// as it is, and so does what does not begin with a slash, such as "*". A path that is normal
// already is returned without a copy.
func (r PathRules) Apply(path string) (string, Verdict) {
	if r == (PathRules{}) || !strings.HasPrefix(path, "/") {
		return path, Accept
	}
	before, query := cutQuery(path)
	now, verdict := before, Accept
	if r.escapedSlashes != config.KeepEscapedSlashes {
		if decoded := decodeSlashes(now); decoded != now {
			switch r.escapedSlashes {
			case config.RejectEscapedSlashes:
				return path, Reject
			case config.RedirectEscapedSlashes:
				verdict = RedirectTo
			}
			now = decoded
		}
	}
	if r.normalize {
		var ok bool
		if now, ok = normalPath(now); !ok {
			return path, Reject
		}
	}
	if r.merge {
		now = mergeSlashes(now)
	}
	if now != before {
		path = now + query
	}
	return path, verdict
}

func decodeSlashes(path string) string {
	if !strings.Contains(path, "%") {
		return path
	}
	b := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if c, ok := unescape(path, i); ok && (c == '/' || c == '\\') {
			b = append(b, c)
			i += 2
			continue
		}
		b = append(b, path[i])
	}
	return string(b)
}

// mergeSlashes makes one slash of several. Of a path that is nothing but slashes, Envoy leaves two.
func mergeSlashes(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	if strings.Trim(path, "/") == "" {
		return "//"
	}
	b := make([]byte, 0, len(path))
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b = append(b, path[i])
		}
	}
	return string(b)
}

// unescape returns the byte that an escape sequence at i of a text stands for, and whether there is
// one.
func unescape(text string, i int) (c byte, ok bool) {
	if i+2 >= len(text) || text[i] != '%' {
		return 0, false
	}
	high, low := hexDigit(text[i+1]), hexDigit(text[i+2])
	return high<<4 | low, high < 16 && low < 16
}

// hexDigit returns the value of a hexadecimal digit, 255 if it is none.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
