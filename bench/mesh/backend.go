//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strconv"
)

const (
	backends  = 3
	smallBody = 1 << 10
	bigBody   = 10 << 20
)

// pattern is what bodies are made of. Its length is a prime, so that a piece which is lost or
// comes twice is seen in a checksum.
var pattern = func() []byte {
	p := make([]byte, 262139)
	state := uint32(1)
	for i := range p {
		state = state*1664525 + 1013904223
		p[i] = byte(state >> 24)
	}
	return p
}()

// patternBody returns the first n bytes of a body.
func patternBody(n int) []byte {
	return bytes.Repeat(pattern, n/len(pattern)+1)[:n]
}

// beBackends serves until the input ends, which it does with the process that has started this
// one. It writes the addresses as a line of JSON.
func beBackends(in io.Reader, out io.Writer) error {
	runtime.GOMAXPROCS(1) // no thread that looks for work while the proxy has it
	addresses := make([]netip.AddrPort, 0, backends)
	for id := range backends {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return err
		}
		addresses = append(addresses, listener.Addr().(*net.TCPAddr).AddrPort())
		b := newBackend(id)
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					_ = b.serve(conn)
					_ = conn.Close()
				}()
			}
		}()
	}
	if err := json.NewEncoder(out).Encode(addresses); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

// A backend answers requests as fast as is easy: net/http's server would take more of the two
// cores than most of the proxies do.
type backend struct {
	id    int
	small []byte // the answer to most requests
}

func newBackend(id int) *backend {
	b := &backend{id: id}
	b.small = append(b.head(smallBody), patternBody(smallBody)...)
	return b
}

func (b *backend) head(length int) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n"+
		"content-length: %d\r\nx-backend: %d\r\nx-secret: 1\r\n\r\n", length, b.id)
}

// serve answers requests until the connection ends:
//
//	GET /head           with the request's head as it came
//	GET /big            with 10 MB
//	PUT /upload         with the length of the body
//	PUT /upload/check   with its length and its CRC-32
//
// and everything else with 1 KB.
func (b *backend) serve(conn net.Conn) error {
	buffer := make([]byte, 16<<10)
	for have := 0; ; {
		end := bytes.Index(buffer[:have], []byte("\r\n\r\n"))
		if end < 0 {
			if have == len(buffer) {
				return errors.New("the head is too long")
			}
			n, err := conn.Read(buffer[have:])
			if err != nil {
				return err
			}
			have += n
			continue
		}
		head := buffer[:end+4]
		length, err := contentLength(head)
		if err != nil {
			return err
		}
		_, target, _ := bytes.Cut(head, []byte(" "))
		target, _, _ = bytes.Cut(target, []byte(" "))
		var answer []byte
		used := len(head)
		switch path := string(target); path {
		case "/upload", "/upload/check":
			body := io.MultiReader(bytes.NewReader(buffer[used:have]), conn)
			answer, err = b.upload(io.LimitReader(body, int64(length)), path == "/upload/check")
			if err != nil {
				return err
			}
			used = min(have, used+length)
		case "/big":
			if err := b.writeBig(conn); err != nil {
				return err
			}
		case "/head":
			answer = append(b.head(len(head)), head...)
		default:
			if length > 0 {
				return errors.New("a body where none belongs")
			}
			answer = b.small
		}
		if _, err := conn.Write(answer); err != nil {
			return err
		}
		have = copy(buffer, buffer[used:have])
	}
}

func (b *backend) upload(body io.Reader, check bool) ([]byte, error) {
	sum := crc32.NewIEEE()
	total := 0
	buffer := make([]byte, 256<<10)
	for {
		n, err := body.Read(buffer)
		total += n
		if check {
			_, _ = sum.Write(buffer[:n])
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	text := strconv.Itoa(total)
	if check {
		text += fmt.Sprintf(" %08x", sum.Sum32())
	}
	return append(b.head(len(text)), text...), nil
}

func (b *backend) writeBig(conn net.Conn) error {
	if _, err := conn.Write(b.head(bigBody)); err != nil {
		return err
	}
	for left := bigBody; left > 0; {
		piece := pattern[:min(left, len(pattern))]
		if _, err := conn.Write(piece); err != nil {
			return err
		}
		left -= len(piece)
	}
	return nil
}

// contentLength is the length of the body after a head, 0 if it has none. Bodies of which the
// length is not told are an error: no peer should make one of these.
func contentLength(head []byte) (int, error) {
	if value := field(head, "content-length"); value != nil {
		return strconv.Atoi(string(value))
	}
	if field(head, "transfer-encoding") != nil {
		return 0, errors.New("a body of unknown length")
	}
	return 0, nil
}

// field returns the value of the first field of a name, which is in lower case, or nil.
func field(head []byte, name string) []byte {
	for {
		_, rest, ok := bytes.Cut(head, []byte("\r\n"))
		if !ok {
			return nil
		}
		head = rest
		if len(head) > len(name) && head[len(name)] == ':' && equalFold(head[:len(name)], name) {
			value, _, _ := bytes.Cut(head[len(name)+1:], []byte("\r\n"))
			return bytes.TrimSpace(value)
		}
	}
}

func equalFold(b []byte, lower string) bool {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
