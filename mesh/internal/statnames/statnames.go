// Package statnames knows the names of Envoy's statistics, for tests that ours are among them.
//
// names.txt holds the names and kinds that an Envoy 1.40 shows at /stats/prometheus with the
// configuration testdata/envoy.yaml after some requests. There the names that a configuration
// gives are labels, so the list is the same for every configuration that has the same parts.
package statnames

import (
	_ "embed"
	"strings"
)

//go:embed names.txt
var names string

// ours are the names that Envoy does not have, and why we have them. There is none.
var ours = map[string]string{}

// Unknown returns the names of a text in Prometheus's format that Envoy does not have, or has
// as something of another kind: "envoy_cluster_x counter".
func Unknown(prometheus string) []string {
	known := make(map[string]bool)
	for line := range strings.Lines(names) {
		known[strings.TrimSpace(line)] = true
	}
	var unknown []string
	for _, name := range types(prometheus) {
		bare, _, _ := strings.Cut(name, " ")
		if _, ok := ours[bare]; !ok && !known[name] {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

// types returns the names and kinds of a text in Prometheus's format.
func types(prometheus string) []string {
	var all []string
	for line := range strings.Lines(prometheus) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			all = append(all, strings.TrimSpace(name))
		}
	}
	return all
}
