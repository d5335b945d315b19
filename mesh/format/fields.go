package format

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/maglev-lb/maglev/mesh/message"
)

// A lookup finds the first field of a name.
type lookup func(ex *message.Exchange) (string, bool)

// fieldOperator is an operator such as %REQ(main?alternative):length%. Names are in any case.
func fieldOperator(find func(name string) lookup) operator {
	return operator{needsParam | takesLength, func(param string) (value, error) {
		main, alternative, _ := strings.Cut(strings.ToLower(param), "?")
		if strings.Contains(alternative, "?") {
			return value{}, invalid("%q has more than one alternative", param)
		}
		for _, name := range []string{main, alternative} {
			if name != "" && !isFieldName(strings.TrimPrefix(name, ":")) {
				return value{}, invalid("%q is no name of a header", name)
			}
		}
		switch {
		case main == "":
			return value{text: find(alternative)}, nil
		case alternative == "":
			return value{text: find(main)}, nil
		}
		first, second := find(main), find(alternative)
		return value{text: func(ex *message.Exchange) (string, bool) {
			if s, ok := first(ex); ok {
				return s, true
			}
			return second(ex)
		}}, nil
	}}
}

// isFieldName returns whether a text is a token, RFC 9110 section 5.6.2.
func isFieldName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// requestField finds fields of the request as it stands: rewritten, where it was.
func requestField(name string) lookup {
	switch name {
	case ":authority", "host":
		return func(ex *message.Exchange) (string, bool) { return ex.Request.Authority, hasHost(&ex.Request) }
	case ":path":
		return func(ex *message.Exchange) (string, bool) { return ex.Request.Path, ex.Request.Path != "" }
	case ":method":
		return func(ex *message.Exchange) (string, bool) { return ex.Request.Method, ex.Request.Method != "" }
	case ":scheme":
		return func(ex *message.Exchange) (string, bool) { return ex.Request.Scheme, ex.Request.Scheme != "" }
	}
	return func(ex *message.Exchange) (string, bool) { return ex.Request.Fields.Get(name) }
}

func responseField(name string) lookup {
	if name == ":status" {
		return func(ex *message.Exchange) (string, bool) {
			return statusText(cmp.Or(ex.OwnStatus, ex.Response.Status))
		}
	}
	return func(ex *message.Exchange) (string, bool) { return ex.Response.Fields.Get(name) }
}

func trailerField(name string) lookup {
	return func(ex *message.Exchange) (string, bool) { return ex.Response.Trailers.Get(name) }
}

// statusText returns a status in digits, and false for 0, before there is one.
func statusText(status int) (string, bool) {
	if status < 100 || status > 999 {
		return "", false
	}
	return statuses[3*(status-100):][:3], true
}

// statuses are the digits of all statuses, one after the other.
var statuses = func() string {
	b := make([]byte, 0, 3*900)
	for status := 100; status < 1000; status++ {
		b = strconv.AppendInt(b, int64(status), 10)
	}
	return string(b)
}()

func requestHeadersBytes(ex *message.Exchange) uint64 {
	r := &ex.Request
	n := fieldsBytes(r.Fields) + pseudoBytes(":method", r.Method) + pseudoBytes(":scheme", r.Scheme) + pseudoBytes(":path", r.Path)
	if hasHost(r) {
		n += uint64(len(":authority") + len(r.Authority))
	}
	return n
}

// hasHost returns whether a request has a host, be it an empty one.
func hasHost(r *message.Request) bool { return r.Authority != "" || r.Method != "" && !r.NoHost }

// pseudoBytes counts a field that stands in the start line, or in Host, unless it is missing.
func pseudoBytes(name, value string) uint64 {
	if value == "" {
		return 0
	}
	return uint64(len(name) + len(value))
}

func responseHeadersBytes(ex *message.Exchange) uint64 {
	status, _ := statusText(ex.Response.Status)
	return fieldsBytes(ex.Response.Fields) + pseudoBytes(":status", status)
}

// fieldsBytes counts names and values, as Envoy does, without what separates them.
func fieldsBytes(fields message.Fields) uint64 {
	n := 0
	for _, f := range fields {
		n += len(f.Name) + len(f.Value)
	}
	return uint64(n)
}
