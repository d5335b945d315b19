package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A Conn is a connection, a client's or to a server, and the buffer of what has been read
// from it. While there is nothing in the buffer it has none: a connection that waits costs
// no more than its socket, so thousands of them can.
//
// Reading belongs to one goroutine at a time, writing to one; [Conn.Kick] is for any.
type Conn struct {
	net.Conn
	Parser Parser

	raw      syscall.RawConn // nil if it is not a socket
	tryRead  func(fd uintptr) bool
	pollRead func(fd uintptr)
	n        int   // what the last of these has read
	err      error // how it ended

	buf      []byte
	from, to int // what has been read and not been taken is buf[from:to]

	push      func(fd uintptr)
	out       []byte // what push is to write
	wrote     int    // how much of it has been written
	pushError error  // how that ended

	reads, writes deadline
	kicked        atomic.Bool
}

// bufferSize is that of a buffer that has not had to grow. Heads are mostly smaller, and as many
// of larger bodies as it holds are read at once.
const bufferSize = 16 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// NewConn returns a Conn for a connection.
func NewConn(c net.Conn) *Conn {
	conn := &Conn{Conn: c}
	if s, ok := c.(syscall.Conn); ok {
		conn.raw, _ = s.SyscallConn()
	}
	conn.tryRead = conn.readFD
	conn.pollRead = func(fd uintptr) { conn.readFD(fd) }
	conn.push = conn.writeFD
	return conn
}

// ErrKicked is what [Conn.Fill] returns when it has been interrupted by [Conn.Kick].
var ErrKicked = errors.New("http1: interrupted")

// Buffered returns the bytes that have been read and not been taken. They are valid until the next
// Fill, Poll or Take.
func (c *Conn) Buffered() []byte { return c.buf[c.from:c.to] }

// Take takes n bytes off the beginning of what is buffered.
func (c *Conn) Take(n int) {
	c.from += n
	if c.from == c.to {
		c.from, c.to = 0, 0
	}
}

// Rest gives the buffer back if there is nothing in it.
func (c *Conn) Rest() {
	if c.buf == nil || c.from != c.to {
		return
	}
	if len(c.buf) == bufferSize {
		buffers.Put((*[bufferSize]byte)(c.buf))
	}
	c.buf, c.from, c.to = nil, 0, 0
}

// Fill waits for more bytes and appends them to what is buffered. It returns io.EOF at the
// end of what the peer has to say, os.ErrDeadlineExceeded at the deadline (the zero Time is
// none), and ErrKicked.
func (c *Conn) Fill(until time.Time) error {
	c.makeRoom()
	for {
		if c.kicked.Load() {
			c.Unkick()
			return ErrKicked
		}
		err := c.reads.set(c.Conn.SetReadDeadline, until)
		if err != nil {
			return err
		}
		if c.kicked.Load() { // while the deadline was set, which undid the interruption
			continue
		}
		err = c.readOnce()
		switch {
		case err == nil && c.n > 0:
			c.to += c.n
			return nil
		case err == nil:
			return io.EOF
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case c.reads.passed(until) && !c.kicked.Load():
			return os.ErrDeadlineExceeded
		}
	}
}

// Poll appends what can be read without waiting, and returns false if the peer has closed
// the connection.
func (c *Conn) Poll() bool {
	if c.raw == nil {
		return true // it is not known
	}
	if c.from == 0 && c.buf != nil && c.to == len(c.buf) {
		return !c.HungUp() // there is no room
	}
	c.makeRoom()
	if err := c.raw.Control(c.pollRead); err != nil {
		return false
	}
	switch {
	case c.err == syscall.EAGAIN:
		c.Rest()
		return true
	case c.err != nil || c.n == 0:
		return false
	}
	c.to += c.n
	return true
}

func (c *Conn) readOnce() error {
	if c.raw == nil {
		if c.buf == nil {
			c.buf = buffers.Get().(*[bufferSize]byte)[:]
		}
		n, err := c.Conn.Read(c.buf[c.to:])
		c.n = n
		if err == io.EOF || n > 0 {
			err = nil
		}
		return err
	}
	if err := c.raw.Read(c.tryRead); err != nil {
		return err
	}
	if c.err != nil {
		return os.NewSyscallError("read", c.err)
	}
	return nil
}

// readFD reads from a file descriptor that does not block, and returns whether there was
// anything, be it an error. Only then has c a buffer.
func (c *Conn) readFD(fd uintptr) bool {
	b := c.buf
	if b == nil {
		b = buffers.Get().(*[bufferSize]byte)[:]
	}
	for {
		c.n, c.err = syscall.Read(int(fd), b[c.to:])
		if c.err != syscall.EINTR {
			break
		}
	}
	if c.err == nil && c.n > 0 {
		c.buf = b
		return true
	}
	if c.buf == nil {
		buffers.Put((*[bufferSize]byte)(b))
	}
	return c.err != syscall.EAGAIN
}

// makeRoom makes room for more bytes behind those that are buffered.
func (c *Conn) makeRoom() {
	switch {
	case c.to < len(c.buf) || c.buf == nil:
		return
	case c.from > 0:
		c.to = copy(c.buf, c.buf[c.from:c.to])
		c.from = 0
	default: // a head that is larger than the buffer; its Limits bound it
		grown := make([]byte, 2*len(c.buf))
		copy(grown, c.buf)
		if len(c.buf) == bufferSize {
			buffers.Put((*[bufferSize]byte)(c.buf))
		}
		c.buf = grown
	}
}

// Kick interrupts a Fill that another goroutine is in, or else the next one.
func (c *Conn) Kick() {
	c.kicked.Store(true)
	c.Conn.SetReadDeadline(past)
}

var past = time.Unix(1, 0)

// Unkick takes a Kick back that has not interrupted anything. It is for the goroutine that reads.
func (c *Conn) Unkick() {
	c.kicked.Store(false)
	c.reads.past = true
}

// TryWrite writes what can be written without waiting, and returns how much that was.
func (c *Conn) TryWrite(b []byte) (n int, err error) {
	if c.raw == nil || len(b) == 0 {
		return 0, nil
	}
	c.out, c.wrote = b, 0
	err = c.raw.Control(c.push)
	c.out = nil
	if err == nil {
		err = c.pushError
	}
	return c.wrote, err
}

// writeFD writes to a file descriptor that does not block.
func (c *Conn) writeFD(fd uintptr) {
	for {
		n, err := syscall.Write(int(fd), c.out)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			c.pushError = nil
		case err != nil:
			c.pushError = os.NewSyscallError("write", err)
		default:
			c.wrote, c.pushError = n, nil
		}
		return
	}
}

// WriteBefore writes b, and returns how much of it. If that is not all there is an error:
// os.ErrDeadlineExceeded at the deadline (the zero Time is none).
func (c *Conn) WriteBefore(b []byte, until time.Time) (n int, err error) {
	for {
		if err := c.writes.set(c.Conn.SetWriteDeadline, until); err != nil {
			return n, err
		}
		k, err := c.Conn.Write(b[n:])
		n += k
		switch {
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return n, err
		case c.writes.passed(until):
			return n, os.ErrDeadlineExceeded
		}
	}
}

// WriteUntil writes all of b. It returns os.ErrDeadlineExceeded if nothing could be
// written for as long as patience; 0 is for ever.
func (c *Conn) WriteUntil(b []byte, patience time.Duration) error {
	var until time.Time
	for progress := true; ; {
		if progress && patience > 0 {
			until = time.Now().Add(patience)
		}
		if err := c.writes.set(c.Conn.SetWriteDeadline, until); err != nil {
			return err
		}
		n, err := c.Conn.Write(b)
		if err == nil {
			return nil
		}
		b, progress = b[n:], n > 0
		if !errors.Is(err, os.ErrDeadlineExceeded) || c.writes.passed(until) && !progress {
			return err
		}
	}
}

// Abort has whatever other goroutines are reading or writing fail. The connection is to be
// closed after that.
func (c *Conn) Abort() { c.Conn.Close() }

// Close closes the connection and gives the buffer back. No other goroutine may be reading.
func (c *Conn) Close() error {
	c.Take(c.to - c.from)
	c.Rest()
	return c.Conn.Close()
}

// A deadline is set as seldom as possible, as each time costs as much as
// parsing a head: one that is earlier than need be is left as it is, and looked at again
// when it passes.
type deadline struct {
	at   time.Time // the one that is set, or zero
	past bool      // one is set that has passed
}

// set makes sure that a deadline is set that is not later than until, unless that is zero.
func (d *deadline) set(set func(time.Time) error, until time.Time) error {
	if !d.past && (until.IsZero() || !d.at.IsZero() && !until.Before(d.at)) {
		return nil
	}
	d.at, d.past = until, false
	return set(until)
}

// passed says that the deadline that was set has passed, and returns whether until has.
func (d *deadline) passed(until time.Time) bool {
	d.past = true
	return !until.IsZero() && !time.Now().Before(until)
}
