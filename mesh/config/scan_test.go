package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// dump writes a tree with all that a decoder sees of it.
func dump(n *node) string {
	var b strings.Builder
	var write func(n *node, depth int)
	write = func(n *node, depth int) {
		place := fmt.Sprintf("%d:%d", n.line, n.column)
		if n.isNull() && n.text == "" {
			place = "-" // where nothing stands, nothing is ever wrong
		}
		fmt.Fprintf(&b, "%s%s %s %q plain=%t\n", strings.Repeat("  ", depth), place, n.kind, n.text, n.plain)
		for i := range n.kids {
			write(&n.kids[i], depth+1)
		}
	}
	write(n, 0)
	return b.String()
}

// What the scanner reads, it reads as the library for all of YAML does.
func requireSame(t *testing.T, text string) bool {
	got, ok := scan(text)
	if !ok {
		return false
	}
	want, err := parseYAML("test.yaml", text)
	require.Nil(t, err, "only the scanner takes %q", text)
	require.Equal(t, dump(want), dump(got), "%q", text)
	return true
}

// plain are texts that the scanner is there for.
var plain = []string{
	"a: b\n", "a: b", "a:\n  b: c\n", "a:\n- b\n- c\nd: e\n", "a:\n  - b\n  -   c: d\n      e: f\n", "- a\n- - b\n  - c\n-\n  d\n",
	"---\na: b\n", "# c\na: b # c\n\n  # c\nb:\n# c\n  c: d\n", "a: {}\nb: []\nc: {d: e, f: [g, h]}\n",
	"a: {b: c,\n    d: e,\n  # c\n  f: [g,\n   h,],\n}\n", `{"a": 1, "b": [true, null, "c\n\"d\""], "e": {"f":-1.5e3}}`,
	"a: 'it''s'\nb: \"x: #y\"\nc: x#y\nd: x:y\ne: http://a/b?c=d\n", "a:\nb: ~\nc: null\nd:\n  e:\n", "a : b\n\"c\" : d\n'e': f\n",
	"a: -1\nb: :x\nc: ?x\nd: -x\n", "{\n\"a\": {\n\"b\": [\n 1,\n 2\n]\n}\n}\n", "a: x y  z   # c\n", "a: *x\n", "a:\n  b: c\n  - d\n",
}

func TestScan(t *testing.T) {
	for _, text := range plain[:17] {
		require.True(t, requireSame(t, text), "%q", text)
	}
}

// For all else the library is asked.
func TestScanIsNotSure(t *testing.T) {
	for _, text := range []string{
		"", "\n", "# c", "a", "a: &b c", "a: *b", "a: !!str b", "a: |\n  b\n", "a: >\n  b\n", "a:\tb", "a: b\n\tc: d", "a: b\r\n", "é: b", "a: b\n  c\n",
		"a: \"b\n  c\"", "a: 'b\n c'", "? a\n: b", "a: b: c", "a: b\n c: d", "a: [b", "a: {b", "a: ]", "a: {b: c}}", "a: [b]: c", "a: \"b\" c", "a: {b, c}", "a: [b: c]",
		"a: b\n---\nc: d", "%YAML 1.2\n---\na: b", "a: b\n...\n", "a: \"\\x41\"", "a: \"\\u0041\"", "<<: {}", "a: @b", "a: `b`", "a: %b", "- a\nb: c", "a:\n  - b\n c: d",
		strings.Repeat("[", 1000), strings.Repeat("a: {", 1000), "a: [b,, c]", "a: [, b]", "a: 'b'c", "a: b\n- c", "  a: b\nc: d",
	} {
		root, ok := scan(text)
		require.False(t, ok && root.kind == mapping, "%q", text)
	}
}

func FuzzScan(f *testing.F) {
	for _, text := range plain {
		f.Add(text)
	}
	files, _ := filepath.Glob("testdata/*.yaml")
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			f.Add(string(text))
		}
	}
	f.Fuzz(func(t *testing.T, text string) { requireSame(t, text) })
}
