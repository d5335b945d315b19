// Package config reads Envoy's configuration into a checked model.
package config

// An Error is a place in a file and what is wrong there.
type Error struct {
	File         string
	Line, Column int
	Path         string // of the field: "static_resources.clusters[0].lb_policy"
	Text         string // what is wrong: the value, and what is allowed
}
