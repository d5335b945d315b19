package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A node is a value of a file, and where it stands.
type node struct {
	kind    kind
	plain   bool // of a scalar: without quotes, so that it may be a number or null
	ignored bool // of a key: tagged !ignore, with which Envoy leaves out the pair

	// The place of a value is that of its text, or of its key if it begins on a later
	// line than that: an object is found by the line that names it.
	line, column int32

	text string // of a scalar
	kids []node // of a list: its items; of a mapping: key, value, key, value, ...
}

type kind uint8

const (
	scalar kind = iota
	mapping
	list
)

func (k kind) String() string {
	return [...]string{"a scalar", "an object", "a list"}[k]
}

// isNull reports whether a value is null, which counts as absent.
func (n *node) isNull() bool {
	if n.kind != scalar || !n.plain {
		return false
	}
	switch n.text {
	case "", "~", "null", "Null", "NULL":
		return true
	}
	return false
}

// get returns the value of a key of a mapping, the last one if there are several, or nil.
func (n *node) get(keys ...string) *node {
	if n.kind != mapping {
		return nil
	}
	for i := len(n.kids) - 2; i >= 0; i -= 2 {
		for _, key := range keys {
			if n.kids[i].text == key && !n.kids[i].ignored {
				return &n.kids[i+1]
			}
		}
	}
	return nil
}

// parseText reads a file: JSON, or the first document of YAML, as Envoy does.
func parseText(file, text string) (root *node, err *Error) {
	if filepath.Ext(file) == ".json" {
		root, err = parseJSON(file, text)
	} else {
		root, err = parseYAML(file, text)
	}
	if err != nil {
		return nil, err
	}
	if root.kind != mapping {
		what := root.kind.String()
		if root.isNull() {
			what = "empty"
		}
		return nil, &Error{File: file, Line: max(1, int(root.line)), Column: int(root.column), Text: "the file is " + what + "; it has to be an object with fields such as static_resources"}
	}
	return root, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line \d+: )?`)

// parseYAML reads any YAML, most of it with a scanner of our own.
func parseYAML(file, text string) (root *node, wrong *Error) {
	// YAML 1.2 has nothing here that would be read in another way.
	if rest, ok := strings.CutPrefix(text, "%YAML 1.2"); ok {
		text = "%YAML 1.1" + rest
	}
	if root, ok := scan(text); ok {
		return root, nil
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return nil, &Error{File: file, Line: brokenLine(text), Text: "not YAML: " + yamlLine.ReplaceAllString(err.Error(), "")}
	}
	if len(document.Content) == 0 {
		return &node{plain: true, line: 1}, nil
	}
	root = new(node)
	c := converter{file: file, done: make(map[*yaml.Node]*node)}
	c.convert(root, document.Content[0], 1)
	return root, c.wrong
}

// brokenLine returns the line from which on a text is no YAML, however much of it is read: that
// of what should not be there, or of what is not closed. (The library's own line is often that of
// the block around it, or none.) The bytes it reads for that are bounded.
func brokenLine(text string) int {
	budget := 8 << 20
	isYAML := func(end int) bool {
		budget -= end
		return yaml.Unmarshal([]byte(text[:end]), new(yaml.Node)) == nil
	}
	ends := []int{0} // where the first 0, 1, 2, ... lines end
	for i := range len(text) {
		if text[i] == '\n' || i == len(text)-1 {
			ends = append(ends, i+1)
		}
	}
	// The first good lines are YAML, and the first bad ones are not.
	for good, bad := 0, len(ends)-1; ; bad = len(ends) - 1 {
		for good+1 < bad && budget > 0 {
			if middle := (good + bad) / 2; isYAML(ends[middle]) {
				good = middle
			} else {
				bad = middle
			}
		}
		// It may be that there just was not all of something, such as a list over several lines.
		later := bad + 1
		for later < min(bad+100, len(ends)-1) && budget > 0 && !isYAML(ends[later]) {
			later++
		}
		if later >= min(bad+100, len(ends)-1) || budget <= 0 {
			return max(1, bad)
		}
		good = later
	}
}

// A converter makes nodes of the YAML library's. An alias becomes its anchor's node, so
// that a file with many of them does not grow: it is the decoder that bounds how often
// those are gone through.
type converter struct {
	file  string
	done  map[*yaml.Node]*node // of anchors; nil while one is being converted
	wrong *Error
}

// maxDepth bounds how deep values lie within each other. The deepest of a bootstrap that
// is supported lies less than 40 deep; protobuf's own bound is 100.
const maxDepth = 100

func (c *converter) convert(n *node, y *yaml.Node, depth int) {
	n.line, n.column = int32(y.Line), int32(y.Column)
	if depth > maxDepth {
		c.fail(y, fmt.Sprintf("lies more than %d values deep", maxDepth))
		return
	}
	if y.Anchor != "" && y.Kind != yaml.AliasNode {
		c.done[y] = nil
		defer func() { kept := *n; c.done[y] = &kept }()
	}
	switch y.Kind {
	case yaml.AliasNode:
		anchor := c.done[y.Alias]
		if anchor == nil {
			c.fail(y, "*"+y.Value+" stands within its own anchor")
			return
		}
		*n = *anchor
		n.line, n.column = int32(y.Line), int32(y.Column)
	case yaml.ScalarNode:
		n.plain = y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
		n.text = y.Value
		n.ignored = y.Tag == "!ignore"
	case yaml.MappingNode, yaml.SequenceNode:
		n.kind = mapping
		if y.Kind == yaml.SequenceNode {
			n.kind = list
		}
		n.kids = make([]node, len(y.Content))
		for i, child := range y.Content {
			c.convert(&n.kids[i], child, depth+1)
			if n.kind != mapping {
				continue
			}
			if i%2 == 0 && n.kids[i].kind != scalar {
				c.fail(child, "a key is "+n.kids[i].kind.String()+"; it has to be a text")
			} else if i%2 == 1 {
				n.kids[i].placeBy(&n.kids[i-1])
			}
		}
	}
}

// placeBy gives an object or a list that begins below its key the place of the key.
func (n *node) placeBy(key *node) {
	if n.kind != scalar && n.line > key.line {
		n.line, n.column = key.line, key.column
	}
}

func (c *converter) fail(y *yaml.Node, text string) {
	if c.wrong == nil {
		c.wrong = &Error{File: c.file, Line: y.Line, Column: y.Column, Text: text}
	}
}
