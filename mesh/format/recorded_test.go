package format_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/message"
)

// TestRecorded compares all operators with what Envoy wrote.
func TestRecorded(t *testing.T) {
	t.Setenv("FOO", "foobar")
	t.Setenv("NL", "a\nb\rc")
	t.Setenv("EMPTY", "")
	t.Setenv("ODD", "a\x01\"ÿ")

	exchanges := map[string]func() *message.Exchange{
		"get": get, "rewritten": rewritten, "direct": direct, "grpc": grpc, "refused": refused, "ipv6": ipv6, "pipe": pipe,
	}
	recorded, err := os.ReadFile("testdata/envoy.txt")
	require.NoError(t, err)
	var name string
	lines := 0
	for line := range strings.Lines(string(recorded)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if after, ok := strings.CutPrefix(line, "= "); ok {
			name = after
			require.Contains(t, exchanges, name)
			continue
		}
		text, want, ok := strings.Cut(line, "\t")
		require.True(t, ok, line)
		lines++
		ex := exchanges[name]()

		j, err := format.ParseJSON(map[string]any{"": text}, false)
		require.NoError(t, err, text)
		assert.Equal(t, `{"":`+want+`}`, string(j.Append(nil, ex)), "JSON, %s: %s", name, text)

		f, err := format.Parse(text)
		require.NoError(t, err, text)
		assert.Equal(t, asText(t, want), latin1(f.Append(nil, ex, "-")), "text, %s: %s", name, text)
	}
	assert.Greater(t, lines, 900)
}

// asText returns what a value of JSON is in a text.
func asText(t *testing.T, value string) string {
	var v any
	decoder := json.NewDecoder(strings.NewReader(value))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&v))
	switch v := v.(type) {
	case nil:
		return "-"
	case json.Number:
		return v.String()
	}
	return v.(string)
}

// latin1 returns bytes as they come back from JSON: UTF-8 as it is, anything else as if it
// were Latin-1.
func latin1(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}
