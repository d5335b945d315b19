package differential

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
)

// errMalformed is of a message that cannot be read.
var errMalformed = errors.New("malformed")

// A wireMessage is a request or an answer as it came, its body without framing.
type wireMessage struct {
	head     []byte // with the empty line
	body     []byte
	trailers []byte // lines with CR LF
}

// readHead reads up to an empty line. It takes whatever comes.
func readHead(r *bufio.Reader) ([]byte, error) {
	var head []byte
	for {
		line, err := r.ReadBytes('\n')
		head = append(head, line...)
		if err != nil {
			return head, err
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 && len(head) > len(line) {
			return head, nil
		}
	}
}

// field returns the value of a field of a head, joined by "," if it is there more than once.
func field(head []byte, name string) (string, bool) {
	var values []string
	for line := range bytes.Lines(head) {
		n, v, ok := strings.Cut(string(line), ":")
		if ok && strings.EqualFold(n, name) {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return strings.Join(values, ","), values != nil
}

// readBody reads a body into m. untilEnd says what a message without any framing has:
// a body up to the connection's end, or none.
func (m *wireMessage) readBody(r *bufio.Reader, untilEnd bool) error {
	if te, ok := field(m.head, "transfer-encoding"); ok && strings.EqualFold(te, "chunked") {
		return m.readChunks(r)
	}
	if length, ok := field(m.head, "content-length"); ok {
		n, err := strconv.Atoi(length)
		if err != nil {
			return errMalformed
		}
		return m.readN(r, n)
	}
	if !untilEnd {
		return nil
	}
	for {
		b, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		m.body = append(m.body, b)
	}
}

func (m *wireMessage) readN(r *bufio.Reader, n int) error {
	for range n {
		b, err := r.ReadByte()
		if err != nil {
			return err
		}
		m.body = append(m.body, b)
	}
	return nil
}

func (m *wireMessage) readChunks(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 31)
		if err != nil {
			return errMalformed
		}
		if n == 0 {
			break
		}
		if err := m.readN(r, int(n)); err != nil {
			return err
		}
		end := make([]byte, 2)
		if _, err := io.ReadFull(r, end); err != nil {
			return err
		}
		if string(end) != "\r\n" {
			return errMalformed
		}
	}
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return err
		}
		if string(line) == "\r\n" {
			return nil
		}
		m.trailers = append(m.trailers, line...)
	}
}

// write writes a message as lines of a file.
func (m *wireMessage) write(out *strings.Builder, prefix string) {
	writeLines(out, prefix, m.head)
	writeRaw(out, prefix, m.body)
	writeLines(out, strings.TrimRight(prefix, " ")+"t", m.trailers)
}
