package format

import (
	"strings"

	"github.com/maglev-lb/maglev/mesh/message"
)

// Where a rewrite has put what the client had sent.
const (
	originalPath = "x-envoy-original-path"
	originalHost = "x-envoy-original-host"
)

// pathValue is %PATH(WQ|NQ:ORIG|PATH|ORIG_OR_PATH)%: with the query or without it, of the
// path that the client sent or of the one it was rewritten to. Envoy ignores what follows
// a second colon.
func pathValue(param string) (value, error) {
	query, which := twoOptions(param)
	if err := oneOf("PATH", query, "WQ", "NQ"); err != nil {
		return value{}, err
	}
	if err := oneOf("PATH", which, "ORIG", "PATH", "ORIG_OR_PATH"); err != nil {
		return value{}, err
	}
	find := originalOr(which, "PATH", requestPathBefore, requestField(":path"))
	if query != "NQ" {
		return value{text: find}, nil
	}
	return value{text: func(ex *message.Exchange) (string, bool) {
		path, ok := find(ex)
		path, _, _ = strings.Cut(path, "?")
		return path, ok
	}}, nil
}

// serverNameValue is %REQUESTED_SERVER_NAME(SNI_ONLY|SNI_FIRST|HOST_FIRST:ORIG|HOST|ORIG_OR_HOST)%.
// Without TLS there is no SNI, so that what stands first is the host in any case.
func serverNameValue(param string) (value, error) {
	first, which := twoOptions(param)
	if err := oneOf("REQUESTED_SERVER_NAME", first, "SNI_ONLY", "SNI_FIRST", "HOST_FIRST"); err != nil {
		return value{}, err
	}
	if err := oneOf("REQUESTED_SERVER_NAME", which, "ORIG_OR_HOST", "HOST", "ORIG"); err != nil {
		return value{}, err
	}
	if first == "" || first == "SNI_ONLY" {
		return never(), nil
	}
	return value{text: originalOr(which, "HOST", requestField(originalHost), requestField(":authority"))}, nil
}

// requestPathBefore finds the path before it was rewritten. An empty one is none.
func requestPathBefore(ex *message.Exchange) (string, bool) {
	path, _ := ex.Request.Fields.Get(originalPath)
	return path, path != ""
}

// originalOr finds what stood before a rewrite, what stands now, or, by default, the first
// of the two that there is.
func originalOr(option, onlyNow string, original, now lookup) lookup {
	switch option {
	case onlyNow:
		return now
	case "ORIG":
		return original
	}
	return func(ex *message.Exchange) (string, bool) {
		if s, ok := original(ex); ok {
			return s, true
		}
		return now(ex)
	}
}

func twoOptions(param string) (first, second string) {
	first, rest, _ := strings.Cut(param, ":")
	second, _, _ = strings.Cut(rest, ":")
	return first, second
}

// oneOf checks an option, which may be missing.
func oneOf(operator, option string, allowed ...string) error {
	if option == "" {
		return nil
	}
	for _, a := range allowed {
		if option == a {
			return nil
		}
	}
	return invalid("%s does not take %q; it takes %s", operator, option, strings.Join(allowed, ", "))
}

// query returns what follows the first question mark of the path as it stands.
func query(ex *message.Exchange) (string, bool) {
	_, q, ok := strings.Cut(ex.Request.Path, "?")
	return q, ok
}

// queryParamsValue is %QUERY_PARAMS(ORIG|DECODED)%, the whole query.
func queryParamsValue(param string) (value, error) {
	if err := oneOf("QUERY_PARAMS", param, "ORIG", "DECODED"); err != nil {
		return value{}, err
	}
	if param != "DECODED" {
		return value{text: query}, nil
	}
	return written(func(b []byte, ex *message.Exchange) ([]byte, bool) {
		q, ok := query(ex)
		return appendReadable(b, q), ok
	}), nil
}

// queryParamValue is %QUERY_PARAM(name)%, the first parameter of that name, decoded.
func queryParamValue(name string) (value, error) {
	return written(func(b []byte, ex *message.Exchange) ([]byte, bool) {
		q, _ := query(ex)
		for q != "" {
			var param string
			param, q, _ = strings.Cut(q, "&")
			key, v, _ := strings.Cut(param, "=")
			start := len(b)
			b = appendDecoded(b, key)
			found := string(b[start:]) == name && param != ""
			b = b[:start]
			if found {
				return appendDecoded(b, v), true
			}
		}
		return b, false
	}), nil
}

// appendDecoded appends a text with its %XX decoded. Others and "+" stay as they are.
func appendDecoded(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c, ok := decode(s[i:]); ok {
			b = append(b, c)
			i += 2
			continue
		}
		b = append(b, s[i])
	}
	return b
}

// appendReadable appends a query as Envoy makes it readable: %XX is decoded where it stands
// for a character that may stand in a URL, and kept where it does not; of what looks like
// one and is none only the percent sign is left out.
func appendReadable(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) {
			b = append(b, s[i])
			continue
		}
		switch c, ok := decode(s[i:]); {
		case !ok:
		case isURLByte(c):
			b = append(b, c)
			i += 2
		default:
			b = append(b, s[i:i+3]...)
			i += 2
		}
	}
	return b
}

// decode returns what a text begins with if that is %XX.
func decode(s string) (c byte, ok bool) {
	if len(s) < 3 || s[0] != '%' {
		return 0, false
	}
	high, ok1 := hexDigit(s[1])
	low, ok2 := hexDigit(s[2])
	return high<<4 | low, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func isURLByte(c byte) bool {
	return '!' <= c && c <= '~' && strings.IndexByte("\"<>\\^{|}", c) < 0
}
