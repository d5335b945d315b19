package http1

import "slices"

// lower has for each byte that may be in a field's name (RFC 9110, section 5.6.2: tchar)
// the same in lower case, and 0 for all others.
var lower = func() (table [256]byte) {
	for _, c := range "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" {
		table[c] = byte(c)
	}
	for c := 'A'; c <= 'Z'; c++ {
		table[c] = byte(c) + 'a' - 'A'
	}
	return table
}()

// What else bytes may be part of.
const (
	inValue  = 1 << iota // of a field: visible, blank, tab, or above ASCII
	inTarget             // of a request: visible, but no #, as a fragment is not sent
	inHost               // RFC 3986, section 3.2, and a comma's absence
)

var kind = func() (table [256]byte) {
	table['\t'] = inValue
	for c := ' '; c <= 0xFF; c++ {
		if c != 0x7F {
			table[c] |= inValue
		}
	}
	for c := '!'; c <= '~'; c++ {
		if c != '#' {
			table[c] |= inTarget
		}
	}
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+;=:@%[]" {
		table[c] |= inHost
	}
	return table
}()

func all(b []byte, of byte) bool {
	for _, c := range b {
		if kind[c]&of == 0 {
			return false
		}
	}
	return true
}

// isControl returns whether a character is one that Envoy refuses as such, and not for its place.
func isControl(c byte) bool { return c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7F }

// unfit says why a text is none that may stand in a header.
func unfit(b []byte) error {
	if slices.ContainsFunc(b, isControl) {
		return errControl
	}
	return errBareCR
}

// trim returns a field's value without the blanks around it.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for n := len(b); n > 0 && (b[n-1] == ' ' || b[n-1] == '\t'); n = len(b) {
		b = b[:n-1]
	}
	return b
}

// equal compares with a text in lower case, without case.
func equal(b []byte, text string) bool {
	if len(b) != len(text) {
		return false
	}
	for i, c := range b {
		if lower[c] != text[i] {
			return false
		}
	}
	return true
}
