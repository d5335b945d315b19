package echo

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"strconv"
	"strings"
)

// A Request is a request as it came.
type Request struct {
	Backend string // the name of the Server
	Conn    int    // which of its connections, the first is 1; 0 in what Parse returns
	Proxy   string // the PROXY protocol's header before the connection's first request: v1 without its line end, v2 in hex
	Head    string // from the request line to the empty line, as received

	Chunked    bool
	BodyLength int64  // without the framing of chunks
	BodyHash   string // SHA-256 in hex, of the same bytes
	Body       string // its first 64 KiB; "" in what Parse returns
	Trailers   string // as received, without the empty line
	Complete   bool   // the body came whole; so it is false for one that was not waited for
}

const keptBody = 64 << 10

// Line returns the request line.
func (r *Request) Line() string {
	line, _, _ := strings.Cut(r.Head, "\r\n")
	return line
}

// Method returns the method.
func (r *Request) Method() string {
	method, _, _ := strings.Cut(r.Line(), " ")
	return method
}

// Target returns the target: path and query.
func (r *Request) Target() string {
	_, rest, _ := strings.Cut(r.Line(), " ")
	if i := strings.LastIndexByte(rest, ' '); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

// Fields returns the field lines, in their order.
func (r *Request) Fields() []string {
	_, rest, _ := strings.Cut(r.Head, "\r\n")
	rest = strings.TrimSuffix(rest, "\r\n\r\n")
	if rest == "" || rest == "\r\n" {
		return nil
	}
	return strings.Split(rest, "\r\n")
}

// Values returns the values of all fields of a name, in whichever case, without the blanks
// around them.
func (r *Request) Values(name string) []string {
	var values []string
	for _, line := range r.Fields() {
		if n, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(n, name) {
			values = append(values, strings.Trim(v, " \t"))
		}
	}
	return values
}

// Value returns the first of Values, or "".
func (r *Request) Value(name string) string {
	if v := r.Values(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// asked returns what the request asks for: the fields x-echo-NAME, or the query's parameters.
func (r *Request) asked(name string) []string {
	name = "x-echo-" + name
	if v := r.Values(name); v != nil {
		return v
	}
	if _, query, ok := strings.Cut(r.Target(), "?"); ok {
		if q, err := url.ParseQuery(query); err == nil {
			return q[name]
		}
	}
	return nil
}

func (r *Request) ask(name string) string {
	if v := r.asked(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// has tells whether a field that is a list holds a token.
func (r *Request) has(name, token string) bool {
	for _, v := range r.Values(name) {
		for one := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(one), token) {
				return true
			}
		}
	}
	return false
}

// text is the default answer's body.
func (r *Request) text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "backend: %s\nproxy: %s\nchunked: %t\nbody: %d %s\n\n%s%s",
		r.Backend, r.Proxy, r.Chunked, r.BodyLength, r.BodyHash, r.Head, r.Trailers)
	return b.Bytes()
}

// Parse reads the default answer's body: the request as the backend saw it.
func Parse(body []byte) (Request, error) {
	r := Request{Complete: true}
	top, rest, ok := strings.Cut(string(body), "\n\n")
	if !ok {
		return r, errors.New("echo: not the text of an echo backend")
	}
	_, err := fmt.Sscanf(lastLine(top), "body: %d %s", &r.BodyLength, &r.BodyHash)
	if err != nil {
		return r, fmt.Errorf("echo: not the text of an echo backend: %w", err)
	}
	for line := range strings.SplitSeq(top, "\n") {
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "backend":
			r.Backend = value
		case "proxy":
			r.Proxy = value
		case "chunked":
			r.Chunked = value == "true"
		}
	}
	i := strings.Index(rest, "\r\n\r\n")
	if i < 0 {
		return r, errors.New("echo: the text of the backend is cut short")
	}
	r.Head, r.Trailers = rest[:i+4], rest[i+4:]
	return r, nil
}

func lastLine(s string) string { return s[strings.LastIndexByte(s, '\n')+1:] }

var errMalformed = errors.New("echo: malformed request")

const maxHead = 1 << 20

// readHead reads until the empty line.
func (r *Request) readHead(in *bufio.Reader) error {
	var head []byte
	for {
		line, err := in.ReadSlice('\n')
		head = append(head, line...)
		if err == bufio.ErrBufferFull && len(head) < maxHead {
			continue
		}
		if err != nil {
			return err
		}
		if len(head) > maxHead {
			return errMalformed
		}
		if bytes.HasSuffix(head, []byte("\r\n\r\n")) || string(head) == "\r\n" {
			break
		}
	}
	r.Head = string(head)
	if parts := strings.Split(r.Line(), " "); len(parts) != 3 || !strings.HasPrefix(parts[2], "HTTP/1.") {
		return errMalformed
	}
	return nil
}

// readBody reads the body whose length the head tells.
func (r *Request) readBody(in *bufio.Reader) error {
	sink := bodySink{request: r, hash: sha256.New()}
	err := r.copyBody(in, &sink)
	r.Body = string(sink.start)
	r.BodyHash = hex.EncodeToString(sink.hash.Sum(nil))
	r.Complete = err == nil
	return err
}

func (r *Request) copyBody(in *bufio.Reader, sink io.Writer) error {
	if r.has("transfer-encoding", "chunked") {
		r.Chunked = true
		return r.copyChunks(in, sink)
	}
	length := r.Values("content-length")
	if len(length) == 0 {
		return nil
	}
	n, err := strconv.ParseUint(length[0], 10, 62)
	if err != nil {
		return errMalformed
	}
	_, err = io.CopyN(sink, in, int64(n))
	return err
}

func (r *Request) copyChunks(in *bufio.Reader, sink io.Writer) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		size, _, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ";")
		n, err := strconv.ParseUint(size, 16, 62)
		if err != nil {
			return errMalformed
		}
		if n == 0 {
			return r.readTrailers(in)
		}
		if _, err := io.CopyN(sink, in, int64(n)); err != nil {
			return err
		}
		if end, err := in.ReadString('\n'); err != nil {
			return err
		} else if end != "\r\n" {
			return errMalformed
		}
	}
}

func (r *Request) readTrailers(in *bufio.Reader) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		if line == "\r\n" {
			return nil
		}
		r.Trailers += line
	}
}

// A bodySink counts and hashes a body and keeps its beginning.
type bodySink struct {
	request *Request
	hash    hash.Hash
	start   []byte
}

func (s *bodySink) Write(p []byte) (int, error) {
	s.hash.Write(p)
	s.request.BodyLength += int64(len(p))
	s.start = append(s.start, p[:min(len(p), keptBody-len(s.start))]...)
	return len(p), nil
}

var proxyV2 = []byte("\r\n\r\n\x00\r\nQUIT\n")

// readProxy reads the PROXY protocol's header if a connection begins with one.
func readProxy(in *bufio.Reader) (string, error) {
	switch start, err := in.Peek(1); {
	case err != nil:
		return "", err
	case start[0] == 'P':
		if word, err := in.Peek(6); err != nil || string(word) != "PROXY " {
			return "", nil // POST, PUT, PATCH
		}
		line, err := in.ReadString('\n')
		return strings.TrimSuffix(line, "\r\n"), err
	case start[0] == '\r':
		head, err := in.Peek(16)
		if err != nil || !bytes.HasPrefix(head, proxyV2) {
			return "", nil
		}
		all := make([]byte, 16+int(head[14])<<8+int(head[15]))
		_, err = io.ReadFull(in, all)
		return hex.EncodeToString(all), err
	}
	return "", nil
}
