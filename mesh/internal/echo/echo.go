// Package echo is the backend of the mesh's tests: an HTTP/1.1 server over plain connections
// that shows a request exactly as it came, and misbehaves when the request asks for it.
//
// By default it answers 200 with a text that [Parse] reads: the head of the request byte for
// byte, the length and hash of its body, and the backend's name. What else it is to do stands
// in the request, in fields or in parameters of the query of the same name (so that a proxy's
// own requests, health checks for example, can say it too). Waits are in milliseconds.
//
//	x-echo-status: N            the status
//	x-echo-header: name=value   a field of the answer; may be repeated
//	x-echo-body: N              a body of N bytes in place of the text
//	x-echo-chunked: 1           a chunked body
//	x-echo-trailer: name=value  a trailer of the chunked body; may be repeated
//	x-echo-until-close: 1       a body that ends with the connection
//	x-echo-raw: BASE64          exactly these bytes are the answer
//	x-echo-early: 1             the answer is sent before the request's body is read
//	x-echo-delay: N             wait before the answer
//	x-echo-stall: N             wait between the answer's head and its body
//	x-echo-close: WHERE         close the connection: before-head, after-head, mid-body, after
//	x-echo-reset: WHERE         the same with a TCP reset
//	x-echo-fail-first: N        fail the first N requests with the same x-echo-id
//	x-echo-id: ID               whose failures are counted together
//	x-echo-fail: HOW            how they fail: a status (503 by default), close or reset
//	x-echo-upgrade: 0           do not upgrade
//
// A request with Connection: upgrade and without a status or raw answer gets 101, and from
// then on its own bytes back. What cannot be understood gets 400 and a closed connection.
package echo

import (
	"bufio"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Server is one backend. Its methods may be called at the same time.
type Server struct {
	// Name is shown in every answer, in the field x-echo-backend too.
	Name string

	listener net.Listener
	status   atomic.Int64
	running  sync.WaitGroup
	done     chan struct{}

	mu       sync.Mutex
	closed   bool
	accepted int
	conns    map[net.Conn]struct{}
	requests []Request
	failures map[string]int // of each x-echo-id so far
}

// Start listens on an address, "127.0.0.1:0" for any free port or "unix:PATH", and serves
// until Close.
func Start(name, address string) (*Server, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Name: name, listener: l, done: make(chan struct{}),
		conns: make(map[net.Conn]struct{}), failures: make(map[string]int),
	}
	s.running.Go(s.accept)
	return s, nil
}

// Addr returns where it listens: "127.0.0.1:4711", or the path of a Unix socket.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Port returns the port it listens on, 0 for a Unix socket.
func (s *Server) Port() int {
	if a, ok := s.listener.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// SetStatus sets the status of answers to requests that ask for none. 0 is 200.
func (s *Server) SetStatus(status int) { s.status.Store(int64(status)) }

// Requests returns the requests that have come, in the order in which they were complete (or
// answered, or broken off, whichever was first).
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Forget forgets the requests that have come and the failures counted.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
	clear(s.failures)
}

// Accepted returns how many connections have been accepted.
func (s *Server) Accepted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Open returns how many connections are open. One whose peer has gone is not counted, also
// while it waits.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// CloseConns closes all connections, and goes on listening.
func (s *Server) CloseConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Close closes everything and returns when nothing runs any more.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	var err error
	if first {
		err = s.listener.Close()
		close(s.done)
		s.CloseConns()
	}
	s.running.Wait()
	return err
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of files, for a moment
			time.Sleep(time.Millisecond)
			continue
		}
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.accepted++
		number := s.accepted
		s.conns[c] = struct{}{}
		s.mu.Unlock()
		s.running.Go(func() {
			defer func() {
				c.Close()
				s.mu.Lock()
				delete(s.conns, c)
				s.mu.Unlock()
			}()
			(&conn{server: s, Conn: c, in: bufio.NewReaderSize(c, 16<<10), number: number}).serve()
		})
	}
}

func (s *Server) record(r Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}

// fails tells whether the request is one of the first n with its id, and counts it.
func (s *Server) fails(id, first string) bool {
	n, err := strconv.Atoi(first)
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures[id] >= n {
		return false
	}
	s.failures[id]++
	return true
}
