//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strconv"

	"golang.org/x/sys/unix"
)

// A loadConn is one of the load generator's connections. It has one request at a time.
type loadConn struct {
	target netip.AddrPort
	fd     int
	order  order // due is 0 if there is none
	buffer [4 << 10]byte
	have   int // bytes of the answer
}

// An answer is what the load generator looks at of one.
type answer struct {
	status  int
	length  int // of the body
	backend int // -1 if it does not say
}

var (
	errClosed  = errors.New("connection closed")
	errReading = errors.New("reading failed")
	errHead    = errors.New("an answer that cannot be read")
	errClose   = errors.New("connection: close")
	errMore    = errors.New("more than the answer")
)

func (c *loadConn) connect() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	c.fd, c.have = fd, 0
	to := unix.SockaddrInet4{Port: int(c.target.Port()), Addr: c.target.Addr().As4()}
	if err := unix.Connect(fd, &to); err != nil {
		return fmt.Errorf("connect to %s: %w", c.target, err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("TCP_NODELAY: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("O_NONBLOCK: %w", err)
	}
	return nil
}

// read reads once. It returns nil if the answer is not complete.
func (c *loadConn) read() (*answer, error) {
	n, err := unix.Read(c.fd, c.buffer[c.have:])
	switch {
	case errors.Is(err, unix.EAGAIN):
		return nil, nil
	case errors.Is(err, unix.ECONNRESET), err == nil && n == 0:
		return nil, errClosed
	case err != nil:
		return nil, errReading
	}
	c.have += n
	a, size, err := parseAnswer(c.buffer[:c.have])
	switch {
	case err != nil:
		return nil, err
	case c.have > size && a != nil:
		return nil, errMore
	case a == nil && c.have == len(c.buffer):
		return nil, errHead
	}
	return a, nil
}

// parseAnswer looks at the bytes that have come. It returns nil if the answer is not complete,
// and how many bytes it has. An answer of which the length is not told, or that ends
// the connection, is not what the backends sent.
func parseAnswer(b []byte) (*answer, int, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		return nil, 0, nil
	}
	head := b[:end+4]
	if len(head) < len("HTTP/1.1 200 ") || string(head[:9]) != "HTTP/1.1 " {
		return nil, 0, errHead
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return nil, 0, errHead
	}
	length, err := strconv.Atoi(string(field(head, "content-length")))
	if err != nil {
		return nil, 0, errHead
	}
	if string(field(head, "connection")) == "close" {
		return nil, 0, errClose
	}
	size := len(head) + length
	if len(b) < size {
		return nil, 0, nil
	}
	a := answer{status: status, length: length, backend: -1}
	if id, err := strconv.Atoi(string(field(head, "x-backend"))); err == nil {
		a.backend = id
	}
	return &a, size, nil
}
