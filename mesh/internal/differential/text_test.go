package differential

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// unescape returns the bytes that a text of a file stands for.
func unescape(text string) ([]byte, error) {
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
		case '{':
			repeated, length, err := unescapeRepeated(text[i+1:])
			if err != nil {
				return nil, err
			}
			out = append(out, repeated...)
			i += length
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

// unescapeRepeated returns what follows "\{" in a text stands for, such as "1000*ab}", and its length.
func unescapeRepeated(text string) (repeated []byte, length int, err error) {
	inner, _, closed := strings.Cut(text, "}")
	count, what, ok := strings.Cut(inner, "*")
	n, err := strconv.Atoi(count)
	if !closed || !ok || err != nil {
		return nil, 0, fmt.Errorf("\\{%s is not like \\{1000*ab}", text)
	}
	one, err := unescape(what)
	return bytes.Repeat(one, n), len(inner) + 1, err
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
			if one == "}" {
				one = `\x7d`
			}
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

func TestEscapeIsReadBack(t *testing.T) {
	for _, text := range []string{"", "abc", "a\tb ", "\r\n", "\\", `\{3*a}`, "\x00\x7f\xff", strings.Repeat("a", 60) + strings.Repeat("\\", 60) + strings.Repeat(" ", 60) + strings.Repeat("}", 60)} {
		got, err := unescape(escape([]byte(text)))
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	for _, wrong := range []string{`\`, `\q`, `\x1`, `\xzz`, `\{3a}`, `\{3*a`} {
		_, err := unescape(wrong)
		require.Error(t, err, wrong)
	}
}

func TestEscapeShortensWhatRepeats(t *testing.T) {
	require.Equal(t, `\{60*a}b`, escape([]byte(strings.Repeat("a", 60)+"b")))
	got, err := unescape(`\{3*ab}c`)
	require.NoError(t, err)
	require.Equal(t, "abababc", string(got))
}
