// Package listener accepts connections and hands them to their filter chain.
package listener

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// Serve serves a connection, and closes it in the end. It is called by a goroutine of the
// connection's own.
type Serve func(c net.Conn, info message.Connection)

// A Listener accepts connections at an address. It is made by [Listen].
type Listener struct {
	config *config.Listener
	socket net.Listener
	serve  Serve // nil: connections are closed
	limit  *limit
	counts counts

	mu     sync.Mutex
	open   map[net.Conn]struct{}
	closed bool
	done   sync.WaitGroup
}

// counts are a listener's statistics.
type counts struct {
	total, destroyed, overflow *stats.Counter
	active                     *stats.Gauge
	length                     *stats.Histogram
}

// Listen opens the socket of a listener. Until Start it only takes connections into the
// system's queue.
func Listen(cfg *config.Listener, store *stats.Store) (*Listener, error) {
	socket, err := listen(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("listener: %s: %w", name(cfg), err)
	}
	l := &Listener{config: cfg, socket: socket, open: make(map[net.Conn]struct{})}
	scope := store.Listener(statName(cfg, socket))
	l.counts = counts{
		total:     scope.Counter("downstream_cx_total"),
		destroyed: scope.Counter("downstream_cx_destroy"),
		overflow:  scope.Counter("downstream_cx_overflow"),
		active:    scope.Gauge("downstream_cx_active"),
		length:    scope.Histogram("downstream_cx_length_ms"),
	}
	if c := cfg.Chain.ConnectionLimit; c != nil {
		l.limit = newLimit(c, store)
	}
	return l, nil
}

func name(cfg *config.Listener) string {
	if cfg.Name != "" {
		return cfg.Name
	}
	return address(cfg.Address)
}

func address(a config.SocketAddress) string {
	if a.Pipe != "" {
		return a.Pipe
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// statName is what Envoy calls a listener in its statistics: by its address.
func statName(cfg *config.Listener, socket net.Listener) string {
	if cfg.Address.Pipe != "" {
		return cfg.Address.Pipe
	}
	return message.AddressOf(socket.Addr()).Text
}

func listen(a config.SocketAddress) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1} // as in Envoy, unless it is asked for
	if a.Pipe == "" {
		return lc.Listen(context.Background(), "tcp", address(a))
	}
	if err := RemoveLeft(a.Pipe); err != nil {
		return nil, err
	}
	socket, err := lc.Listen(context.Background(), "unix", a.Pipe)
	if err == nil && a.Mode != 0 && !strings.HasPrefix(a.Pipe, "@") {
		if err := os.Chmod(a.Pipe, fs.FileMode(a.Mode)); err != nil {
			socket.Close()
			return nil, err
		}
	}
	return socket, err
}

// RemoveLeft removes the socket at a path, which a process that has ended has left behind, and which
// would be in the way. Nothing is done about what is no socket.
func RemoveLeft(path string) error {
	if info, err := os.Lstat(path); strings.HasPrefix(path, "@") || err != nil || info.Mode()&fs.ModeSocket == 0 {
		return nil
	}
	return os.Remove(path)
}

// Name returns the listener's name, "" if it has none.
func (l *Listener) Name() string { return l.config.Name }

// Config returns what it was made of.
func (l *Listener) Config() *config.Listener { return l.config }

// Addr returns the address it listens at, with the port that the system has chosen for
// port 0.
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Start begins to accept connections. A nil serve closes them at once, as an empty
// filter chain does.
func (l *Listener) Start(serve Serve) {
	l.serve = serve
	l.done.Add(1)
	go l.accept()
}

// The IDs of connections, unique in the process.
var lastID atomic.Uint64

// acceptPause is how long to wait when there are no more file descriptors.
const acceptPause = 10 * time.Millisecond

func (l *Listener) accept() {
	defer l.done.Done()
	for {
		c, err := l.socket.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			l.counts.overflow.Inc()
			time.Sleep(acceptPause)
			continue
		}
		if !l.enter(c) {
			c.Close()
			return
		}
		go l.handle(c)
	}
}

// enter counts a connection in, unless the listener is closed.
func (l *Listener) enter(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.open[c] = struct{}{}
	l.done.Add(1)
	l.counts.total.Inc()
	l.counts.active.Inc()
	return true
}

func (l *Listener) handle(c net.Conn) {
	began := time.Now()
	switch {
	case !l.limit.enter():
		hold(c, l.limit.config.Delay)
		c.Close()
	case l.serve == nil:
		c.Close()
		l.limit.leave()
	default:
		info := message.Connection{
			ID:       lastID.Add(1),
			Local:    message.AddressOf(c.LocalAddr()),
			Remote:   message.AddressOf(c.RemoteAddr()),
			Listener: l.config.Name,
		}
		if !info.Remote.IP.IsValid() {
			info.Remote = info.Local // who connects to a pipe has no address
		}
		l.serve(c, info)
		l.limit.leave()
	}
	l.counts.destroyed.Inc()
	l.counts.active.Dec()
	l.counts.length.Record(uint64(time.Since(began).Milliseconds()))
	l.mu.Lock()
	delete(l.open, c)
	l.mu.Unlock()
	l.done.Done()
}

// hold keeps a connection open for a while, unless it is closed meanwhile.
func hold(c net.Conn, d time.Duration) {
	if d > 0 && c.SetReadDeadline(time.Now().Add(d)) == nil {
		_, _ = io.Copy(io.Discard, c)
	}
}

// Stop accepts no more connections. Those that are open go on.
func (l *Listener) Stop() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.socket.Close()
}

// Close stops the listener, closes all its connections and waits until they have been
// served.
func (l *Listener) Close() {
	l.Stop()
	l.mu.Lock()
	for c := range l.open {
		c.Close()
	}
	l.mu.Unlock()
	l.done.Wait()
}

// Open returns how many connections are open.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}
