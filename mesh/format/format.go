// Package format writes Envoy's %...% command operators: in the values of header fields,
// in bodies of local replies and in access logs.
//
// A [Format] is a text with operators in it, and a [JSON] an object whose strings are such
// texts. Both are made once, when the configuration is read, and are then written for
// exchange after exchange, by any number of goroutines at once: to append one allocates
// nothing beyond the buffer that it is given.
//
//	text ──parse──▶ pieces: "GET ", value, " took ", value, " ms"
//	                                 │
//	                  an operator's name, parameter and length,
//	                  looked up once, are a function of the exchange
package format

import (
	"fmt"

	"github.com/maglev-lb/maglev/mesh/message"
)

// defaultText is what Envoy logs where an access log has no format.
const defaultText = `[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" ` +
	`%RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ` +
	`%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ` +
	`"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"` + "\n"

// A Format is a text with operators, such as "%REQ(:METHOD)% took %DURATION% ms".
// The zero Format is the empty text.
type Format struct {
	text   string
	pieces []piece
}

// A piece is a text, or, if that is empty, an operator.
type piece struct {
	text  string
	value value
}

// Parse reads a format. An error says which operator is wrong, and why; it is an
// [ErrSyntax] where Envoy refuses the format too, and an [ErrUnsupported] where Envoy has
// the operator and this package has not.
func Parse(text string) (*Format, error) {
	pieces, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("format: %w", err)
	}
	return &Format{text, pieces}, nil
}

// DefaultLog returns the format of an access log that has none configured, newline included.
func DefaultLog() *Format {
	f, err := Parse(defaultText)
	if err != nil {
		panic(err) // the text is a constant
	}
	return f
}

// Text returns what the format was parsed from.
func (f *Format) Text() string { return f.text }

// Static returns the text that a format without operators always gives, and whether it is
// one. Two percent signs that stand for one are one in it.
func (f *Format) Static() (string, bool) {
	switch {
	case len(f.pieces) == 0:
		return "", true
	case len(f.pieces) == 1 && f.pieces[0].text != "":
		return f.pieces[0].text, true
	}
	return "", false
}

// Append appends the line of an access log that an exchange makes of the format. An
// operator without a value, such as %REQ(x)% of a request without that header, is written
// as absent: "-", or "" where absent values are omitted.
func (f *Format) Append(b []byte, ex *message.Exchange, absent string) []byte {
	return f.append(b, ex, inLog, absent)
}

// AppendHeader appends the value of a header field that an exchange makes of the format.
// Absent values are empty. A CR, LF or NUL that an operator brings, as %ENVIRONMENT% may,
// is written as a blank: Envoy sends it as it is, and so ends the field early.
func (f *Format) AppendHeader(b []byte, ex *message.Exchange) []byte {
	start := len(b)
	b = f.append(b, ex, inHeader, "")
	for i := start; i < len(b); i++ {
		if c := b[i]; c == '\r' || c == '\n' || c == 0 {
			b[i] = ' '
		}
	}
	return b
}

// AppendBody appends the body of a local reply that an exchange makes of the format.
// Only there %LOCAL_REPLY_BODY% is not empty.
func (f *Format) AppendBody(b []byte, ex *message.Exchange, absent string) []byte {
	return f.append(b, ex, inBody, absent)
}

func (f *Format) append(b []byte, ex *message.Exchange, u use, absent string) []byte {
	for i := range f.pieces {
		p := &f.pieces[i]
		if p.text != "" {
			b = append(b, p.text...)
			continue
		}
		var ok bool
		if b, ok = p.value.append(b, ex, u); !ok {
			b = append(b, absent...)
		}
	}
	return b
}
