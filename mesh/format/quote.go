package format

import "unicode/utf8"

// bytesOf is a text, wherever it stands.
type bytesOf interface{ ~string | ~[]byte }

// isClean returns whether a text stands in JSON as it is.
func isClean[T bytesOf](s T) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// appendQuoted appends a string of JSON.
func appendQuoted(b []byte, s string) []byte {
	return append(appendEscaped(append(b, '"'), s), '"')
}

// appendEscaped appends a text as it stands in a string of JSON, escaped as Envoy does.
// UTF-8 stays as it is. Of a text that is none, each byte that is no plain character is
// written as if it were one of Latin-1, in six characters: \u00e9.
func appendEscaped[T bytesOf](b []byte, s T) []byte {
	if isClean(s) {
		return append(b, s...)
	}
	valid := validUTF8(s)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case !valid && (c < ' ' || c > '~' || c == '"' || c == '\\'):
			b = appendUnicode(b, c)
		case c == '"', c == '\\':
			b = append(b, '\\', c)
		case c >= ' ':
			b = append(b, c)
		default:
			if short := shortEscapes[c]; short != 0 {
				b = append(b, '\\', short)
			} else {
				b = appendUnicode(b, c)
			}
		}
	}
	return b
}

// shortEscapes are the control characters that have a letter.
var shortEscapes = [' ']byte{'\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r'}

func appendUnicode(b []byte, c byte) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

func validUTF8[T bytesOf](s T) bool {
	switch s := any(s).(type) {
	case string:
		return utf8.ValidString(s)
	case []byte:
		return utf8.Valid(s)
	}
	return false
}
