// Package config reads Envoy's configuration, a static bootstrap of its v3 API in YAML or
// JSON, into a checked model of our own.
//
// [Load] reads a file. What it returns is a [Bootstrap] in which everything is supported
// and everything that is referred to is there, or [Errors], all of the file at once:
//
//	envoy.yaml:35:16: static_resources.clusters[0].lb_policy: "MAGLEVV" is not allowed; it is one of ROUND_ROBIN, ...
//
// A file goes through four steps, each with a file of this package:
//
//	yaml.go, scan.go   text -> nodes that know their lines
//	decode.go          nodes -> Envoy's own protobuf messages, by their descriptors: names,
//	                   types, the rules the API states for its fields (rules.go), and
//	                   which fields are supported (support.go)
//	bootstrap.go, listener.go, manager.go, routes.go, clusters.go, ...
//	                   messages -> the model (model.go), with the checks that Envoy makes
//	                   beyond those rules
//	refs.go            what refers to something else is looked up
//
// Envoy reads YAML and JSON more generously than their specifications, and so does this
// package where that is harmless: see wellknown.go.
package config

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
)

// An Error is a place in a file and what is wrong there.
type Error struct {
	File         string
	Line, Column int    // from 1; Column 0 is not known
	Path         string // of the field: "static_resources.clusters[0].lb_policy"; "" for the file as a whole
	Text         string // what is wrong: the value, and what is allowed
}

// Error returns "FILE:LINE:COLUMN: PATH: TEXT", without what is not known.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:", e.File, e.Line)
	if e.Column > 0 {
		fmt.Fprintf(&b, "%d:", e.Column)
	}
	if e.Path != "" {
		b.WriteString(" " + e.Path + ":")
	}
	b.WriteString(" " + e.Text)
	return b.String()
}

// Errors are all errors of a file, sorted by line and column. There is at least one.
type Errors []*Error

// Error returns the errors, one a line.
func (e Errors) Error() string {
	var b strings.Builder
	for i, err := range e {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(err.Error())
	}
	return b.String()
}

// Unwrap returns each of them.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i := range e {
		all[i] = e[i]
	}
	return all
}

// sorted sorts errors by their places, and leaves out those said twice of one place.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.CompactFunc(e, func(a, b *Error) bool { return *a == *b })
}

// Load reads a file. Its error is that of reading it, or [Errors].
func Load(file string) (*Bootstrap, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, data)
}

// Parse reads a file's text. The name is what errors call it; one that ends in ".json" has
// to be JSON, all others are YAML, of which JSON is a part. Its error is [Errors].
func Parse(name string, data []byte) (*Bootstrap, error) {
	text := string(data)
	root, err := parseText(name, text)
	if err != nil {
		return nil, Errors{err}
	}
	d := newDecoder(name)
	message := d.bootstrap(root)
	b := newBuilder(root, d)
	model := b.bootstrap(message)
	if len(b.errors) > 0 {
		return nil, b.errors.sorted()
	}
	model.source = text
	return model, nil
}
