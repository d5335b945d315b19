package differential

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// repeated is \{1000*ab}: a text many times.
var repeated = regexp.MustCompile(`\\\{(\d+)\*((?:[^}\\]|\\[^{])+)\}`)

// unescape returns the bytes that a text of a file stands for.
func unescape(text string) ([]byte, error) {
	var failed error
	text = repeated.ReplaceAllStringFunc(text, func(s string) string {
		m := repeated.FindStringSubmatch(s)
		n, err := strconv.Atoi(m[1])
		if err != nil {
			failed = err
		}
		return strings.Repeat(m[2], n)
	})
	if failed != nil {
		return nil, failed
	}
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out = append(out, text[i])
			continue
		}
		i++
		if i == len(text) {
			return nil, fmt.Errorf("a single \\ at the end of %q", text)
		}
		switch text[i] {
		case 'r':
			out = append(out, '\r')
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case '\\':
			out = append(out, '\\')
		case 'x':
			if i+2 >= len(text) {
				return nil, fmt.Errorf("\\x without two digits in %q", text)
			}
			b, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err != nil {
				return nil, fmt.Errorf("\\x without two digits in %q", text)
			}
			out = append(out, byte(b))
			i += 2
		default:
			return nil, fmt.Errorf("\\%c in %q is unknown", text[i], text)
		}
	}
	return out, nil
}

// escape writes bytes as text of a file. Many equal bytes in a row become \{1000*a}.
func escape(b []byte) string {
	var out strings.Builder
	for i := 0; i < len(b); {
		n := 1
		for i+n < len(b) && b[i+n] == b[i] {
			n++
		}
		one := escapeByte(b[i], i == len(b)-1)
		if n >= 50 {
			fmt.Fprintf(&out, `\{%d*%s}`, n, one)
			i += n
			continue
		}
		out.WriteString(one)
		i++
	}
	return out.String()
}

func escapeByte(b byte, last bool) string {
	switch {
	case b == '\r':
		return `\r`
	case b == '\n':
		return `\n`
	case b == '\t':
		return `\t`
	case b == '\\':
		return `\\`
	case b == ' ' && last: // editors take blanks at the end of a line away
		return `\x20`
	case b < 0x20 || b >= 0x7f:
		return fmt.Sprintf(`\x%02x`, b)
	}
	return string(rune(b))
}

// writeLines writes bytes as lines of a file: those that end in CR LF with the prefix,
// what remains with the prefix and "|".
func writeLines(out *strings.Builder, prefix string, b []byte) {
	for len(b) > 0 {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		if !ok {
			writeRaw(out, prefix, b)
			return
		}
		out.WriteString(strings.TrimRight(prefix+" "+escape(line), " ") + "\n")
		b = rest
	}
}

// writeRaw writes bytes as lines of a file that are taken as they are, broken after line feeds.
func writeRaw(out *strings.Builder, prefix string, b []byte) {
	for line := range bytes.Lines(b) {
		out.WriteString(prefix + "| " + escape(line) + "\n")
	}
}
