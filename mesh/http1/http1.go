// Package http1 is HTTP/1.1 (RFC 9112) for a proxy: strict, without copies, for both
// sides of a connection.
//
// # The parser
//
// Whatever reads bytes is a pure function of them: no I/O, no clock. A [Parser] takes
// the head of a message off the beginning of a buffer, or says that it is not all
// there yet; a [Chunked] does the same for a body in chunks. They can be fed a byte at a
// time or everything at once, with the same result.
//
// A message that two programs might read in two ways is refused, with an [Error] that
// has the status for the answer: how a proxy and the server behind it come to
// disagree about where a request ends is how requests are smuggled. So there is no bare
// CR or LF, no folded line, no blank before a colon, no second Host or
// Content-Length, no transfer coding but one chunked, and no Content-Length beside it.
package http1

import "strconv"

// Limits bound the head of a message. The zero value is Envoy's default.
type Limits struct {
	// Bytes is how large it may be, the first line included. Default (0): 60 KiB.
	Bytes int
	// Fields is how many fields it may have. Default (0): 100.
	Fields int
}

func (l Limits) bytes() int {
	if l.Bytes == 0 {
		return 60 << 10
	}
	return l.Bytes
}

func (l Limits) fields() int {
	if l.Fields == 0 {
		return 100
	}
	return l.Fields
}

// An Error says why a message is refused. The connection cannot be used any further: where
// the next message begins is not known.
type Error struct {
	// Status is what a client is to be answered: 400, 426, 431, 501 or 505.
	Status int
	// Reason says what is wrong, for the log.
	Reason string
	// Details is what Envoy calls it, among its response code details.
	Details string
}

func (e *Error) Error() string { return "http1: " + strconv.Itoa(e.Status) + ": " + e.Reason }

func bad(reason string) *Error { return &Error{400, reason, "http1.codec_error"} }

// The errors there are.
var (
	errBareCR      = bad("a CR without LF")
	errBareLF      = bad("a line ends with LF alone")
	errControl     = &Error{400, "a character that no header may have", "http1.invalid_characters"}
	errFold        = bad("a folded line, or a blank before the first field")
	errName        = bad("a field without a name, or one that is no token")
	errColon       = bad("a field line without a colon")
	errRequestLine = bad("a request line that is not: method, target, version")
	errMethod      = bad("an unknown method")
	errTarget      = &Error{400, "a target with characters that none may have", "http1.codec_error"}
	errForm        = &Error{400, "a target of no known form", "http1.invalid_url"}
	errScheme      = &Error{400, "a target whose scheme is neither http nor https", "http1.invalid_scheme"}
	errNoContent   = bad("a length, or a transfer coding, of an answer that has no body")
	errConnectBody = &Error{400, "a CONNECT with a body", "http1.body_disallowed"}
	errHost        = &Error{400, "a Host that is no host, or more than one", "http.invalid_authority"}
	errNoHost      = &Error{400, "no Host", "missing_host_header"}
	errLength      = bad("a Content-Length that is not a number, or more than one")
	errLengthAndTE = &Error{400, "Content-Length beside Transfer-Encoding", "http1.content_length_and_chunked_not_allowed"}
	errCodingIn10  = bad("Transfer-Encoding in HTTP/1.0")
	errChunk       = bad("a chunk that is not: size in hexadecimal, CRLF, data, CRLF")
	errChunkLine   = bad("a chunk's extensions, or the trailers, are too long")
	errStatusLine  = bad("a status line that is not: version, status, reason")
	errFragment    = &Error{400, "a target with a fragment, which none may have", "path_normalization_failed"}
	// ErrVersion refuses a version that is not to be served.
	ErrVersion      = &Error{426, "a version that is not HTTP/1.1", "low_version"}
	errHeadTooLarge = &Error{431, "the head is too large", "http1.headers_too_large"}
	errManyFields   = &Error{431, "too many fields", "http1.too_many_headers"}
	errCoding       = &Error{501, "a transfer coding that is not chunked", "http1.invalid_transfer_encoding"}
)
