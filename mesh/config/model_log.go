package config

import "github.com/maglev-lb/maglev/mesh/format"

// An AccessLog is where a line is written for each request.
type AccessLog struct {
	Path   string // of a file; "/dev/stdout" and "/dev/stderr" for those
	Format BodyFormat
	Filter LogFilter // nil: all
}

// A BodyFormat is a text or a JSON object: one of the two is not nil.
type BodyFormat struct {
	Text        *format.Format // of an access log, with the newline
	JSON        *format.JSON
	OmitEmpty   bool   // omit_empty_values: absent values are "" in text
	ContentType string // of a local reply's body, "" for the default
}
