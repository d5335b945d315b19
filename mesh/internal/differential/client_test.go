package differential

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// A client sends what a case says and reads what comes.
type client struct {
	conn    duplex
	methods []string

	mu      sync.Mutex
	changed *sync.Cond
	got     []byte
	last    time.Time
	end     string // "", "closed" (or reset: a proxy that has closed does both, if more is sent), "gone" if the client itself closed
}

// A duplex is a connection of which one direction may be closed: of TCP or a Unix socket.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// dial connects to a listener: a port or the path of a pipe.
func dial(from, address string) (*client, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	network := "tcp"
	if strings.HasPrefix(address, "/") {
		network = "unix"
	}
	c, err := d.Dial(network, address)
	if err != nil {
		return nil, err
	}
	cl := &client{conn: c.(duplex), last: time.Now()}
	cl.changed = sync.NewCond(&cl.mu)
	go cl.read()
	return cl, nil
}

func (c *client) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := c.conn.Read(buf)
		c.mu.Lock()
		c.got = append(c.got, buf[:n]...)
		if n > 0 {
			c.last = time.Now()
		}
		if err != nil {
			c.end = "closed"
			if errors.Is(err, net.ErrClosed) {
				c.end = "gone"
			}
		}
		c.changed.Broadcast()
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// until waits until the condition holds for what has been received and the connection's end,
// or so long, and tells whether it holds.
func (c *client) until(limit time.Duration, condition func() bool) bool {
	deadline := time.Now().Add(limit) // before the timer, which must not pass first
	over := time.AfterFunc(limit, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.changed.Broadcast()
	})
	defer over.Stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for !condition() {
		if !time.Now().Before(deadline) {
			return false
		}
		c.changed.Wait()
	}
	return true
}

// answers takes what has been received apart. It returns the complete final answers there are
// and all messages; rest are bytes that make no message.
func answers(got []byte, methods []string, ended bool) (finals int, all []wireMessage, rest []byte, complete bool) {
	br := bytes.NewReader(got)
	r := bufio.NewReaderSize(br, 16)
	for {
		start := len(got) - br.Len() - r.Buffered()
		if start == len(got) {
			return finals, all, nil, true
		}
		var m wireMessage
		var err error
		m.head, err = readHead(r)
		status := statusOf(m.head)
		if err != nil || status == "" {
			return finals, all, got[start:], true
		}
		if status == "101" {
			all = append(all, m)
			return finals + 1, all, got[len(got)-br.Len()-r.Buffered():], true
		}
		if status[0] == '1' {
			all = append(all, m)
			continue
		}
		method := ""
		if finals < len(methods) {
			method = methods[finals]
		}
		if method != "HEAD" && status != "204" && status != "304" {
			_, chunked := field(m.head, "transfer-encoding")
			_, length := field(m.head, "content-length")
			err = m.readBody(r, true)
			if err == nil && !chunked && !length && !ended {
				err = io.ErrUnexpectedEOF
			}
		}
		if errors.Is(err, errMalformed) {
			return finals, all, got[start:], true
		}
		all = append(all, m)
		if err != nil {
			return finals, all, nil, false
		}
		finals++
	}
}

// statusOf returns the three digits of a status line, "" if it is none.
func statusOf(head []byte) string {
	version, rest, _ := strings.Cut(string(head), " ")
	if !strings.HasPrefix(version, "HTTP/1.") || len(rest) < 3 {
		return ""
	}
	return rest[:3]
}

// record writes what has been received as lines of a file.
func (c *client) record(out *strings.Builder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, all, rest, complete := answers(c.got, c.methods, c.end != "")
	for i := range all {
		all[i].write(out, "<")
	}
	writeRaw(out, "<", rest)
	switch {
	case c.end == "":
		out.WriteString("= open")
	default:
		out.WriteString("= " + c.end)
	}
	if !complete {
		out.WriteString(" within a body")
	}
	out.WriteString("\n")
}
