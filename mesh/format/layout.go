package format

import (
	"strconv"
	"strings"
)

// A layout is a format of times: strftime's, with what Envoy adds to it.
//
//	%s          seconds since 1970        %f %1f ... %9f   digits of the fraction, 9 by default
//	%E3S %E*S   seconds with a fraction   %E3f %E*f        a fraction; * leaves trailing zeros out
//	%Ez %E*z    +01:00, +01:00:00         %ET              T
//	%:z %::z %:::z   +01:00, +01:00:00, as short as it can be
//
// Names are English. Flags (-_0^#) and a width may follow the percent sign, as in glibc. A
// conversion that there is not stays as it is written.
type layout []conversion

// A conversion is one of %..., or a text if its kind is 0.
type conversion struct {
	text  string // of a text; else how it is written
	kind  byte   // the letter, or one of those below
	flag  byte   // '-', '_' or '0', 0 for none
	upper bool   // ^
	swap  bool   // #
	width int
	// digits of a fraction, allDigits for as many as there are
	digits int
}

// Kinds that are no letter of strftime's.
const (
	unknownKind  = '?'
	epochKind    = 's'
	fractionKind = 'f'
	secondsKind  = '.' // with a fraction
	colonKind    = ':' // a zone with colons, digits says how many
	asIsKind     = '%'
)

const (
	allDigits = -1
	maxWidth  = 100 // glibc has no bound, and a log line should have one
)

// parseLayout reads a layout. A newline in it is an error, as it is in Envoy.
func parseLayout(s string) (layout, error) {
	if hasNewline(s) {
		return nil, errNewline
	}
	var l layout
	for s != "" {
		if n, c := ownConversion(s); n > 0 {
			l, s = append(l, c), s[n:]
			continue
		}
		if s[0] != '%' {
			n := strings.IndexByte(s, '%')
			if n < 0 {
				n = len(s)
			}
			l, s = append(l, conversion{text: s[:n]}), s[n:]
			continue
		}
		// What Envoy adds is found first, so that "%%s" is a percent sign and seconds.
		end := len(s)
		for i := 1; i < len(s); i++ {
			if n, _ := ownConversion(s[i:]); n > 0 {
				end = i
				break
			}
		}
		n, c := readConversion(s[:end])
		if c.kind == 'n' {
			return nil, errNewline
		}
		l, s = append(l, c), s[n:]
	}
	return l, nil
}

var errNewline = invalid("a time has no newline, %%n, in it")

// hasNewline finds what Envoy takes for a newline: it does not look whether the percent
// sign belongs to one before.
func hasNewline(s string) bool {
	for i := range len(s) {
		if s[i] != '%' {
			continue
		}
		rest := strings.TrimLeft(s[i+1:], "-_0^#")
		rest = strings.TrimLeft(rest, "123456789")
		if strings.HasPrefix(rest, "n") || strings.HasPrefix(rest, "En") || strings.HasPrefix(rest, "On") {
			return true
		}
	}
	return false
}

// ownConversion reads %s, %f and %1f to %9f, which Envoy replaces before all others.
func ownConversion(s string) (int, conversion) {
	switch {
	case strings.HasPrefix(s, "%s"):
		return 2, conversion{kind: epochKind}
	case strings.HasPrefix(s, "%f"):
		return 2, conversion{kind: fractionKind, digits: 9}
	case len(s) >= 3 && s[0] == '%' && '1' <= s[1] && s[1] <= '9' && s[2] == 'f':
		return 3, conversion{kind: fractionKind, digits: int(s[1] - '0')}
	}
	return 0, conversion{}
}

// readConversion reads what a text begins with, a percent sign, and returns its length.
func readConversion(s string) (int, conversion) {
	if n, c := extendedConversion(s); n > 0 {
		return n, c
	}
	var c conversion
	i := 1
flags:
	for ; i < len(s); i++ {
		switch s[i] {
		case '-', '_', '0':
			c.flag = s[i]
		case '^':
			c.upper = true
		case '#':
			c.swap = true
		default:
			break flags
		}
	}
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		c.width = min(10*c.width+int(s[i]-'0'), maxWidth)
	}
	if i == len(s) {
		c.kind, c.text = unknownKind, s
		return i, c
	}
	allowed := "aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%"
	switch s[i] {
	case 'E':
		i, allowed = i+1, "CcXxYy"
	case 'O':
		i, allowed = i+1, "bBdeHImMSuUVwWyn"
	}
	if i == len(s) || strings.IndexByte(allowed, s[i]) < 0 {
		i = min(i, len(s)-1)
		c.kind, c.text = unknownKind, s[:i+1]
		return i + 1, c
	}
	c.kind = s[i]
	return i + 1, c
}

// extendedConversion reads what Envoy's library of times adds to strftime. It knows
// neither flags nor widths.
func extendedConversion(s string) (int, conversion) {
	for colons, spelling := range []string{"%:z", "%::z", "%:::z"} {
		if strings.HasPrefix(s, spelling) {
			return len(spelling), conversion{kind: colonKind, digits: colons + 1}
		}
	}
	after, ok := strings.CutPrefix(s, "%E")
	if !ok {
		return 0, conversion{}
	}
	n := 0
	for n < len(after) && '0' <= after[n] && after[n] <= '9' {
		n++
	}
	digits, _ := strconv.Atoi(after[:n])
	if strings.HasPrefix(after, "*") {
		n, digits = 1, allDigits
	}
	if n == len(after) || digits > maxWidth {
		return 0, conversion{}
	}
	length := len("%E") + n + 1
	switch after[:n+1] {
	case "T":
		return length, conversion{text: "T"}
	case "z":
		return length, conversion{kind: colonKind, digits: 1}
	case "*z":
		return length, conversion{kind: colonKind, digits: 2}
	case "4Y":
		return length, conversion{kind: 'Y', width: 4}
	}
	switch {
	case n > 0 && after[n] == 'S':
		return length, conversion{kind: secondsKind, digits: digits}
	case n > 0 && after[n] == 'f':
		return length, conversion{kind: fractionKind, digits: digits}
	}
	return 0, conversion{}
}
