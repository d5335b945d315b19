package echo

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A conn is one connection, served by one goroutine.
type conn struct {
	net.Conn
	server *Server
	in     *bufio.Reader
	number int
	proxy  string
}

func (c *conn) serve() {
	var err error
	if c.proxy, err = readProxy(c.in); err != nil {
		return
	}
	for c.exchange() {
	}
}

// exchange serves a request, and tells whether the connection is good for another.
func (c *conn) exchange() bool {
	r := &Request{Backend: c.server.Name, Conn: c.number, Proxy: c.proxy}
	switch err := r.readHead(c.in); err {
	case nil:
	case errMalformed:
		c.server.record(*r)
		return c.refuse(errMalformed.Error())
	default:
		return false
	}
	early := r.ask("early") != ""
	if !early {
		err := r.readBody(c.in)
		c.server.record(*r)
		if err == errMalformed {
			return c.refuse(err.Error())
		}
		if err != nil {
			return false
		}
	} else {
		c.server.record(*r)
	}
	if !c.answer(r) {
		return false
	}
	if early && r.readBody(c.in) != nil {
		return false
	}
	return !r.has("connection", "close") && !strings.HasSuffix(r.Line(), "HTTP/1.0")
}

// refuse answers 400 and says why; the connection is not to go on.
func (c *conn) refuse(why string) bool {
	fmt.Fprintf(c, "HTTP/1.1 400 Bad Request\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s", len(why), why)
	return false
}

// answer does what a request asks for, and tells whether the connection goes on.
func (c *conn) answer(r *Request) bool {
	status := r.ask("status")
	if c.server.fails(r.ask("id"), r.ask("fail-first")) {
		switch how := r.ask("fail"); how {
		case "close", "reset":
			return c.end(how == "reset")
		case "":
			status = "503"
		default:
			status = how
		}
	}
	if !c.wait(r.ask("delay")) || !c.keeps(r, "before-head") {
		return false
	}
	if raw := r.ask("raw"); raw != "" {
		answer, err := base64.StdEncoding.DecodeString(raw)
		if err != nil {
			return c.refuse("x-echo-raw: " + err.Error())
		}
		_, err = c.Write(answer)
		return err == nil && c.keeps(r, "after")
	}
	if status == "" && r.has("connection", "upgrade") && r.ask("upgrade") != "0" {
		return c.upgrade(r)
	}
	code := int(c.server.status.Load())
	if code == 0 {
		code = 200
	}
	if status != "" {
		var err error
		if code, err = strconv.Atoi(status); err != nil || code < 100 || code > 999 {
			return c.refuse("x-echo-status or x-echo-fail: not a status: " + status)
		}
	}
	return c.write(r, code)
}

// write sends an answer: in one piece, unless the request asks for something between its parts.
func (c *conn) write(r *Request, status int) bool {
	body := r.text()
	if n := r.ask("body"); n != "" {
		length, err := strconv.ParseUint(n, 10, 31)
		if err != nil {
			return c.refuse("x-echo-body: " + err.Error())
		}
		body = Body(int(length))
	}
	untilClose := r.ask("until-close") != ""
	chunked := r.ask("chunked") != "" && !untilClose
	bodiless := status < 200 || status == 204 || status == 304

	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for _, field := range r.asked("header") {
		name, value, _ := strings.Cut(field, "=")
		fmt.Fprintf(&out, "%s: %s\r\n", name, value)
	}
	fmt.Fprintf(&out, "x-echo-backend: %s\r\n", c.server.Name)
	switch {
	case bodiless, untilClose:
	case chunked:
		out.WriteString("transfer-encoding: chunked\r\n")
	default:
		fmt.Fprintf(&out, "content-length: %d\r\n", len(body))
	}
	out.WriteString("\r\n")

	cut := r.ask("close")
	if cut == "" {
		cut = r.ask("reset")
	}
	if stall := r.ask("stall"); stall != "" || cut == "after-head" {
		if _, err := out.WriteTo(c); err != nil || !c.keeps(r, "after-head") || !c.wait(stall) {
			return false
		}
	}
	if !bodiless && r.Method() != "HEAD" {
		if cut == "mid-body" {
			body = body[:len(body)/2]
		}
		if chunked {
			body = chunks(body, cut != "mid-body", r.asked("trailer"))
		}
		out.Write(body)
	}
	if _, err := out.WriteTo(c); err != nil {
		return false
	}
	return c.keeps(r, "mid-body") && c.keeps(r, "after") && !untilClose
}

// Body returns the body that x-echo-body asks for: lines of 64 bytes, each with its number, so
// that a piece that is missing or out of place is seen.
func Body(length int) []byte {
	var b bytes.Buffer
	b.Grow(length + 64)
	for i := 0; b.Len() < length; i++ {
		fmt.Fprintf(&b, "%063d\n", i)
	}
	return b.Bytes()[:length]
}

// chunks frames a body in chunks of 1000 bytes.
func chunks(body []byte, whole bool, trailers []string) []byte {
	var b bytes.Buffer
	for len(body) > 0 {
		n := min(1000, len(body))
		fmt.Fprintf(&b, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	if whole {
		b.WriteString("0\r\n")
		for _, field := range trailers {
			name, value, _ := strings.Cut(field, "=")
			fmt.Fprintf(&b, "%s: %s\r\n", name, value)
		}
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// upgrade answers 101 and sends back whatever comes.
func (c *conn) upgrade(r *Request) bool {
	_, err := fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: %s\r\nx-echo-backend: %s\r\n\r\n",
		r.Value("upgrade"), c.server.Name)
	if err == nil {
		io.Copy(c.Conn, c.in)
	}
	return false
}

// wait waits, and tells whether the peer is still there and the server not closed.
func (c *conn) wait(ms string) bool {
	if ms == "" {
		return true
	}
	n, err := strconv.ParseUint(ms, 10, 31)
	if err != nil {
		return c.refuse("x-echo-delay or x-echo-stall: " + err.Error())
	}
	end := time.Now().Add(time.Duration(n) * time.Millisecond)
	c.SetReadDeadline(end)
	_, err = c.in.Peek(1)
	c.SetReadDeadline(time.Time{})
	if err != nil {
		nerr, ok := err.(net.Error)
		return ok && nerr.Timeout()
	}
	select { // there is something to read, a body or another request: its end has to wait
	case <-time.After(time.Until(end)):
		return true
	case <-c.server.done:
		return false
	}
}

// keeps closes the connection if the request asks for it here, and tells whether it goes on.
func (c *conn) keeps(r *Request, where string) bool {
	if r.ask("reset") == where {
		return c.end(true)
	}
	return r.ask("close") != where
}

// end ends a connection with a reset, or leaves it to be closed.
func (c *conn) end(reset bool) bool {
	if tcp, ok := c.Conn.(*net.TCPConn); ok && reset {
		tcp.SetLinger(0)
	}
	return false
}
