package config

import (
	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/message"
)

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

// AppendLine appends the line of an access log. A JSON object ends in a newline, a text as
// its format does.
func (f *BodyFormat) AppendLine(b []byte, ex *message.Exchange) []byte {
	if f.JSON != nil {
		return append(f.JSON.Append(b, ex), '\n')
	}
	return f.Text.Append(b, ex, f.absent())
}

// AppendBody appends the body of a local reply or of a direct response, which is where
// %LOCAL_REPLY_BODY% has a value. A JSON object ends in a newline, as Envoy's does.
func (f *BodyFormat) AppendBody(b []byte, ex *message.Exchange) []byte {
	if f.JSON != nil {
		return append(f.JSON.AppendBody(b, ex), '\n')
	}
	return f.Text.AppendBody(b, ex, f.absent())
}

func (f *BodyFormat) absent() string {
	if f.OmitEmpty {
		return ""
	}
	return "-"
}
