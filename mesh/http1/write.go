package http1

import (
	"strconv"

	"github.com/maglev-lb/maglev/mesh/message"
)

// AppendRequest appends the head of a request to a server. A body in chunks is announced
// behind the fields; so is the absence of one, where a method would have it. The length
// of any other body is among the fields already. UntilClose is for an upgrade, which
// has nothing to say about a body.
func AppendRequest(b []byte, r *message.Request, body Body) []byte {
	b = append(b, r.Method...)
	b = append(b, ' ')
	if r.Method == "CONNECT" {
		b = append(b, r.Authority...)
	} else {
		b = append(b, r.Path...)
	}
	b = append(b, " HTTP/1.1\r\nhost: "...)
	b = append(b, r.Authority...)
	b = append(b, "\r\n"...)
	b = appendFields(b, r.Fields)
	switch {
	case body == InChunks:
		b = append(b, "transfer-encoding: chunked\r\n"...)
	case body == NoBody && expectsBody(r.Method) && !r.Fields.Has("content-length"):
		b = append(b, "content-length: 0\r\n"...)
	}
	return append(b, "\r\n"...)
}

// expectsBody returns whether requests of a method without a body say so (RFC 9110,
// section 8.6).
func expectsBody(method string) bool {
	switch method {
	case "GET", "HEAD", "DELETE", "TRACE", "CONNECT":
		return false
	}
	return true
}

// An Answer says how the end of an answer is told, and what comes after it.
type Answer struct {
	// Body is where the body ends. In chunks is announced behind the fields; a length
	// is among them; UntilClose is announced by Close alone.
	Body Body
	// Empty says that there is no body, in place of a field Content-Length.
	Empty bool
	// Close says that the connection ends.
	Close bool
	// Old says that the client speaks HTTP/1.0. If the connection does not end, it is told
	// so.
	Old bool
	// Proper has the words of fields' names begin with capitals.
	Proper bool
}

// AppendResponse appends the head of an answer to a client.
func AppendResponse(b []byte, r *message.Response, a Answer) []byte {
	if a.Old {
		b = append(b, "HTTP/1.0 "...)
	} else {
		b = append(b, "HTTP/1.1 "...)
	}
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, ' ')
	b = append(b, Reason(r.Status)...)
	b = append(b, "\r\n"...)
	fields := len(b)
	b = appendFields(b, r.Fields)
	switch {
	case a.Close:
		b = append(b, "connection: close\r\n"...)
	case a.Old:
		b = append(b, "connection: keep-alive\r\n"...)
	}
	switch {
	case a.Body == InChunks:
		b = append(b, "transfer-encoding: chunked\r\n"...)
	case a.Empty:
		b = append(b, "content-length: 0\r\n"...)
	}
	if a.Proper {
		capitalise(b[fields:])
	}
	return append(b, "\r\n"...)
}

// capitalise has the words of the names of fields begin with capitals.
func capitalise(fields []byte) {
	inName, first := true, true
	for i, c := range fields {
		switch {
		case c == '\n':
			inName, first = true, true
		case c == ':':
			inName = false
		case inName:
			if first && 'a' <= c && c <= 'z' {
				fields[i] = c - 'a' + 'A'
			}
			// Whatever is neither a letter nor a digit separates words.
			first = !('a' <= c && c <= 'z' || '0' <= c && c <= '9')
		}
	}
}

func appendFields(b []byte, fields message.Fields) []byte {
	for i := range fields {
		f := &fields[i]
		b = append(b, f.Name...)
		b = append(b, ": "...)
		b = append(b, f.Value...)
		b = append(b, "\r\n"...)
	}
	return b
}

// AppendChunk appends a chunk; data must not be empty, as that would be the end.
func AppendChunk(b, data []byte) []byte {
	b = AppendChunkSize(b, len(data))
	b = append(b, data...)
	return append(b, "\r\n"...)
}

// AppendChunkSize appends the first line of a chunk. So much data, and a CRLF, have to follow.
func AppendChunkSize(b []byte, n int) []byte {
	b = strconv.AppendUint(b, uint64(n), 16)
	return append(b, "\r\n"...)
}

// AppendEnd appends the last chunk.
func AppendEnd(b []byte) []byte { return append(b, "0\r\n\r\n"...) }
