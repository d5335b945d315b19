package differential

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Backends are the servers behind the proxy. They do what the case under way says and keep
// what they have seen.
type backends struct {
	mu       sync.Mutex
	servers  map[string]net.Listener
	sockets  []int // that refuse
	conns    map[net.Conn]bool
	current  *exchange
	asked    map[string]int // how many requests each has had in this case
	seen     []sighting
	busy     int
	proxies  map[int]bool
	changed  *sync.Cond
	handlers sync.WaitGroup
}

// A sighting is a request that a backend has seen.
type sighting struct {
	backend string
	request wireMessage
	aborted bool
}

func newBackends() *backends {
	b := &backends{
		servers: make(map[string]net.Listener),
		conns:   make(map[net.Conn]bool),
		asked:   make(map[string]int),
		proxies: make(map[int]bool),
	}
	b.changed = sync.NewCond(&b.mu)
	return b
}

// start starts a backend and returns its port.
func (b *backends) start(name string) (int, error) {
	if strings.HasPrefix(name, "dead") {
		return b.refuse()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	b.servers[name] = l
	b.handlers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.conns[c] = true
			b.proxies[c.RemoteAddr().(*net.TCPAddr).Port] = true
			b.mu.Unlock()
			b.handlers.Go(func() { b.serve(name, c) })
		}
	})
	return l.Addr().(*net.TCPAddr).Port, nil
}

// refuse holds a port on which nobody listens.
func (b *backends) refuse() (int, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, err
	}
	b.sockets = append(b.sockets, fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	address, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, err
	}
	return address.(*syscall.SockaddrInet4).Port, nil
}

// stop ends all backends.
func (b *backends) stop() {
	for _, l := range b.servers {
		l.Close()
	}
	for _, fd := range b.sockets {
		syscall.Close(fd)
	}
	b.mu.Lock()
	for c := range b.conns {
		c.Close()
	}
	b.mu.Unlock()
	b.handlers.Wait()
}

// begin makes a case the one under way.
func (b *backends) begin(x *exchange) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current, b.seen = x, nil
	clear(b.asked)
}

// wait waits until nothing is going on and n requests have been seen, but at most so long.
// It returns what has been seen.
func (b *backends) wait(n int, limit time.Duration) []sighting {
	deadline := time.Now().Add(limit) // before the timer, which must not pass first
	over := time.AfterFunc(limit, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.changed.Broadcast()
	})
	defer over.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	for (b.busy > 0 || len(b.seen) < n) && time.Now().Before(deadline) {
		b.changed.Wait()
	}
	return b.seen
}

// serve serves a connection.
func (b *backends) serve(name string, c net.Conn) {
	defer func() {
		c.Close()
		b.mu.Lock()
		delete(b.conns, c)
		b.mu.Unlock()
	}()
	r := bufio.NewReader(c)
	for {
		if _, err := r.Peek(1); err != nil {
			return
		}
		if !b.one(name, c, r) {
			return
		}
	}
}

// reserve keeps a place for a request among those that are seen in a case.
func (b *backends) reserve() (x *exchange, at int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, sighting{})
	return b.current, len(b.seen) - 1
}

// one serves a request and tells whether the connection goes on.
func (b *backends) one(name string, c net.Conn, r *bufio.Reader) bool {
	b.mu.Lock()
	b.busy++
	b.mu.Unlock()
	s := sighting{backend: name}
	var err error
	s.request.head, err = readHead(r)
	x, at := b.reserve() // as the next may be here before this one is done
	plan := b.plan(name)
	goOn := true
	if plan.early && err == nil {
		goOn = act1(c, r, plan.acts)
	}
	if err == nil && goOn {
		err = s.request.readBody(r, false)
	}
	if !plan.early && err == nil {
		goOn = act1(c, r, plan.acts)
	}
	s.aborted = err != nil
	if !goOn || s.aborted {
		c.Close() // before the next case can begin
	}
	b.mu.Lock()
	b.busy--
	if b.current == x {
		b.seen[at] = s
	} else {
		b.seen = append(b.seen, s)
	}
	b.changed.Broadcast()
	b.mu.Unlock()
	if goOn && len(plan.acts) > 0 && bytes.HasPrefix(plan.acts[0].send, []byte("HTTP/1.1 101")) {
		b.tunnel(c, r)
		return false
	}
	return goOn && err == nil
}

// tunnel sends back what comes, until it ends.
func (b *backends) tunnel(c net.Conn, r *bufio.Reader) {
	for {
		buf := make([]byte, 4096)
		n, err := r.Read(buf)
		if err != nil {
			return
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return
		}
	}
}

// plan returns what a backend has to do for its next request.
func (b *backends) plan(name string) answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := name
	if b.current != nil && b.current.anyOf {
		key = "any"
	}
	n := b.asked[key]
	b.asked[key]++
	if b.current != nil {
		if plans := b.current.answers[key]; n < len(plans) && (len(plans[n].acts) > 0 || plans[n].early) {
			return plans[n]
		}
	}
	return answer{acts: []act{{send: fmt.Appendf(nil, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s", len(name), name)}}}
}

// act1 does what an answer says and tells whether the connection goes on. Bytes
// that follow each other go out together.
func act1(c net.Conn, r *bufio.Reader, acts []act) bool {
	var pending []byte
	flush := func() {
		_, _ = c.Write(pending)
		pending = nil
	}
	for _, a := range acts {
		if a.do == "" {
			pending = append(pending, a.send...)
			continue
		}
		flush()
		switch a.do {
		case "pause":
			time.Sleep(a.pause)
		case "close":
			return false
		case "reset":
			_ = c.(*net.TCPConn).SetLinger(0)
			return false
		case "stall":
			for {
				if _, err := r.ReadByte(); err != nil {
					return false
				}
			}
		}
	}
	flush()
	return true
}
