package mesh_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

// blocks returns the README's code blocks of a kind.
func blocks(t *testing.T, kind string) (blocks []string) {
	t.Helper()
	fence := regexp.MustCompile("(?ms)^```" + kind + "\n(.*?)^```$")
	for _, match := range fence.FindAllStringSubmatch(read(t, "README.md"), -1) {
		blocks = append(blocks, match[1])
	}
	require.NotEmpty(t, blocks, kind)
	return blocks
}

// section returns what stands under a heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut(read(t, "README.md"), "\n## "+heading+"\n")
	require.True(t, found, heading)
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// The configurations of the README are ones.
func TestReadmeConfigurations(t *testing.T) {
	for _, block := range blocks(t, "yaml") {
		_, err := config.Parse("envoy.yaml", []byte(block))
		require.NoError(t, err, block)
	}
	for _, block := range blocks(t, "sh") {
		for _, file := range regexp.MustCompile(`-c (\S+/\S+\.yaml)`).FindAllStringSubmatch(block, -1) {
			_, err := config.Load(filepath.Join("..", file[1]))
			require.NoError(t, err)
		}
	}
}

// What the README says of a file that is refused is what is said.
func TestReadmeRefusal(t *testing.T) {
	texts := blocks(t, "text")
	for _, block := range blocks(t, "yaml refused") {
		_, err := config.Parse("envoy.yaml", []byte(block))
		require.Error(t, err)
		require.True(t, slices.Contains(texts, err.Error()+"\n"), "the README does not have:\n%v", err)
	}
}

// Code in the README is code that is compiled: each block stands in an example, up to
// its indentation.
func TestReadmeSnippetsAreCompiled(t *testing.T) {
	unindented := func(text string) string {
		return regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(text, "")
	}
	files, err := filepath.Glob("*/example*_test.go")
	require.NoError(t, err)
	for _, block := range blocks(t, "go") {
		require.True(t, slices.ContainsFunc(files, func(file string) bool {
			return strings.Contains(unindented(read(t, file)), unindented(block))
		}), "in no example:\n%s", block)
	}
}

// What the README calls supported is, and what it calls unsupported is not, as far as the names of fields,
// of values and of extensions tell.
func TestReadmeSupport(t *testing.T) {
	source := read(t, "config/support.go") + read(t, "config/retry.go") + read(t, "config/endpoints.go")
	word := func(name string) bool { return regexp.MustCompile(`\b` + name + `\b`).MatchString(source) }
	field := func(name string) bool { return regexp.MustCompile(`[ "]` + name + `[ "]`).MatchString(source) }
	for _, name := range names(section(t, "What is supported")) {
		require.True(t, word(name), "the README calls %s supported", name)
	}
	source = regexp.MustCompile(`(?s)var hints.*`).ReplaceAllString(source, "")
	for _, name := range names(section(t, "What is not")) {
		if slices.Contains([]string{"MAGLEV", "connection_limit"}, name) {
			continue // named as what there is in place of it
		}
		require.False(t, field(name), "the README calls %s unsupported", name)
	}
}

// The README has every difference from Envoy that is on purpose, in the words that mark it.
func TestReadmeHasAllDifferences(t *testing.T) {
	oneLine := func(text string) string { return strings.Join(strings.Fields(strings.ToLower(text)), " ") }
	readme := oneLine(section(t, "What differs from Envoy on purpose"))
	files, err := filepath.Glob("internal/differential/testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		for _, match := range regexp.MustCompile(`(?m)^--- meshproxy: (.*)$`).FindAllStringSubmatch(read(t, file), -1) {
			require.Contains(t, readme, oneLine(match[1]), file)
		}
	}
}

// names are those that stand in backquotes and are of one word.
func names(text string) (names []string) {
	for _, match := range regexp.MustCompile("`([a-zA-Z0-9_]+)`").FindAllStringSubmatch(text, -1) {
		names = append(names, match[1])
	}
	return names
}

// Files and directories that the README links to are there.
func TestReadmeLinks(t *testing.T) {
	for _, match := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(read(t, "README.md"), -1) {
		if !strings.Contains(match[1], "://") {
			_, err := os.Stat(match[1])
			require.NoError(t, err)
		}
	}
}
