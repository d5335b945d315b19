package format

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrSyntax is what Envoy refuses: an operator that is not closed, that there is not, or
// that is given what it does not take.
var ErrSyntax = errors.New("invalid format")

// ErrUnsupported is an operator that Envoy has and this package has not.
var ErrUnsupported = errors.New("unsupported")

// A call is an operator as it is written: %NAME(param):length%.
type call struct {
	name     string
	param    string // "" without parentheses too
	length   int
	limited  bool   // there is a length
	spelling string // with its percent signs
}

// parse takes a text apart. Texts between operators come as one piece.
func parse(text string) ([]piece, error) {
	var pieces []piece
	var static strings.Builder
	flush := func() {
		if static.Len() > 0 {
			pieces = append(pieces, piece{text: static.String()})
			static.Reset()
		}
	}
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "%")
		static.WriteString(before)
		if !found {
			break
		}
		if strings.HasPrefix(after, "%") {
			static.WriteByte('%')
			rest = after[1:]
			continue
		}
		at := len(text) - len(after) - 1
		c, err := readCall(text[at:])
		if err != nil {
			return nil, fmt.Errorf("byte %d: %w: %v", at, ErrSyntax, err)
		}
		v, err := resolve(c)
		if err != nil {
			return nil, fmt.Errorf("byte %d, %s: %w", at, c.spelling, err)
		}
		flush()
		pieces = append(pieces, piece{value: v})
		rest = text[at+len(c.spelling):]
	}
	flush()
	return pieces, nil
}

// readCall reads the operator that a text begins with. A parameter ends at the first
// parenthesis that the end of an operator follows, so that it may contain others.
func readCall(text string) (call, error) {
	end := 1
	for end < len(text) && isNameByte(text[end]) {
		end++
	}
	c := call{name: text[1:end]}
	if c.name == "" {
		return c, errors.New(`"%" has to begin an operator, which is in upper case; a percent sign is written "%%"`)
	}
	if end < len(text) && text[end] == '(' {
		for i := end + 1; i < len(text) && text[i] != '\n'; i++ {
			if text[i] == ')' && c.readEnd(text, i+1) {
				c.param = text[end+1 : i]
				return c, nil
			}
		}
		return c, fmt.Errorf(`%%%s( has to be followed by ")%%" or, with a length, by "):123%%", on the same line`, c.name)
	}
	if !c.readEnd(text, end) {
		return c, fmt.Errorf(`%%%s has to be followed by "%%" or "("`, c.name)
	}
	return c, nil
}

// readEnd reads what closes an operator: a length, if there is one, and the percent sign.
func (c *call) readEnd(text string, at int) bool {
	end := at
	if end < len(text) && text[end] == ':' {
		for end++; end < len(text) && '0' <= text[end] && text[end] <= '9'; {
			end++
		}
		n, err := strconv.ParseUint(text[at+1:end], 10, 64)
		if err != nil {
			return false
		}
		c.limited, c.length = true, int(min(n, maxLength))
	}
	if end == len(text) || text[end] != '%' {
		c.limited, c.length = false, 0
		return false
	}
	c.spelling = text[:end+1]
	return true
}

// maxLength is more than any value has.
const maxLength = 1 << 30

func isNameByte(c byte) bool {
	return 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
}

// resolve finds the value of an operator.
func resolve(c call) (value, error) {
	op, ok := operators[c.name]
	if takesTime, known := absent[c.name]; known {
		op, ok = plain(never()), true
		if takesTime {
			op = operator{takesParam, neverTime}
		}
	}
	if !ok {
		if why, ok := unsupported[c.name]; ok {
			return value{}, unsupportedError("%s", why)
		}
		return value{}, invalid("there is no operator %s", c.name)
	}
	switch {
	case op.takes&takesParam == 0 && c.param != "":
		return value{}, invalid("%s takes no parameter", c.name)
	case op.takes&needsParam == needsParam && c.param == "":
		return value{}, invalid("%s needs a parameter", c.name)
	case op.takes&takesLength == 0 && c.limited:
		return value{}, invalid("%s takes no length", c.name)
	}
	v, err := op.make(c.param)
	if err != nil {
		return value{}, err
	}
	v.limited, v.limit = c.limited, c.length
	return v, nil
}

func invalid(text string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(text, args...))
}

func unsupportedError(text string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(text, args...))
}
