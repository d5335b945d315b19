package maglev_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// Code in the README is code that is compiled: each block stands in a Go file,
// up to its indentation.
func TestReadmeSnippetsAreCompiled(t *testing.T) {
	var sources []string
	for _, pattern := range []string{"*.go", "httpbalancer/*.go", "examples/*/*.go"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			sources = append(sources, unindented(read(t, file)))
		}
	}
	blocks := blocks(t, "go")
	require.NotEmpty(t, blocks)
	for _, block := range blocks {
		require.True(t, slices.ContainsFunc(sources, func(source string) bool {
			return strings.Contains(source, unindented(block))
		}), "in no Go file:\n%s", block)
	}
}

// The README shows the whole API, but for the fields of what is only read.
func TestReadmeNamesTheWholeAPI(t *testing.T) {
	shown := regexp.MustCompile(`\w+`).FindAllString(strings.Join(blocks(t, "go"), ""), -1)
	for _, name := range exported(t) {
		// Every Stringer has String, and T is no name but a parameter.
		if name != "String" && name != "T" {
			require.True(t, slices.Contains(shown, name), "the README does not show %s", name)
		}
	}
}

// What it costs that one of n backends goes, the average over ten of them.
func TestReadmeDisruption(t *testing.T) {
	readme := read(t, "README.md")
	for _, n := range []int{10, 100, 1000} {
		row := fmt.Sprintf("| %d | %.2f %%", n, 100/float64(n))
		for _, m := range []int{65537, 655373} {
			row += fmt.Sprintf(" | %.2f %%", 100*disruption(t, n, m))
		}
		require.True(t, strings.Contains(readme, row+" |\n"), "the README does not have the row %s |", row)
	}
}

// disruption returns which share of m slots has another backend once one of n
// backends is gone.
func disruption(t *testing.T, n, m int) float64 {
	var backends []maglev.Backend
	for i := range n {
		backends = append(backends, maglev.Backend{Name: fmt.Sprintf("10.0.%d.%d:8080", i/256, i%256)})
	}
	opts := maglev.Options{TableSize: m}
	before, err := maglev.New(backends, opts)
	require.NoError(t, err)
	const sample = 10
	moved := 0
	for k := range sample {
		i := k * n / sample
		after, err := maglev.New(slices.Delete(slices.Clone(backends), i, i+1), opts)
		require.NoError(t, err)
		moved += before.Moved(after)
	}
	return float64(moved) / float64(sample*m)
}

// exported returns the names of the package's functions, methods, types,
// fields, constants and variables.
func exported(t *testing.T) []string {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	var names []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.FileExports(tree)
		onlyRead := func(t *ast.TypeSpec) bool {
			return slices.Contains([]string{"BalancerStats", "BackendStats", "Rebuilt", "Candidate"}, t.Name.Name)
		}
		ast.Inspect(tree, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.FuncDecl:
				names = append(names, node.Name.Name)
				return false
			case *ast.FuncType:
				return false // its parameters are no names of the API
			case *ast.TypeSpec:
				names = append(names, node.Name.Name)
				return !onlyRead(node)
			case *ast.ValueSpec:
				for _, name := range node.Names {
					names = append(names, name.Name)
				}
			case *ast.Field:
				for _, name := range node.Names {
					names = append(names, name.Name)
				}
			}
			return true
		})
	}
	return names
}

// blocks returns the README's code blocks in a language.
func blocks(t *testing.T, language string) []string {
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	var blocks []string
	for _, match := range fence.FindAllStringSubmatch(read(t, "README.md"), -1) {
		blocks = append(blocks, match[1])
	}
	return blocks
}

func unindented(text string) string {
	return regexp.MustCompile(`(?m)^[ \t]+`).ReplaceAllString(text, "")
}

func read(t *testing.T, file string) string {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}
