package http1

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// spliceWait is how long a splice waits for anything to move before it tells that there is nothing.
// It is a variable for tests.
var spliceWait = time.Second

// spliceStep is the most that a splice moves at once.
const spliceStep = 256 << 10

// ErrNoPipe is what [Conn.Splice] returns when the system has no more pipes; nothing has moved.
var ErrNoPipe = errors.New("http1: no pipe")

// CanSplice returns whether Splice is worth while: both are TCP sockets, nothing is buffered, and the
// system can do it.
func (c *Conn) CanSplice(from *Conn) bool {
	if !canSplice || c.raw == nil || from.raw == nil || from.from != from.to {
		return false
	}
	_, ok := c.Conn.(*net.TCPConn)
	_, too := from.Conn.(*net.TCPConn)
	return ok && too
}

// Splice moves n bytes from one connection to another within the kernel. It calls step with how
// many have moved since it was called before, be it none for a second; an error of that ends it. It
// returns how many have moved, io.EOF if from has ended, ErrKicked if it was interrupted, and any other
// error of either connection.
//
// In between, bytes are in a pipe, from which they cannot be put back. So what has been read is
// written before anything else, however long that takes: that is why this is not
// [net.TCPConn.ReadFrom], which loses them at a deadline.
func (c *Conn) Splice(from *Conn, n int64, step func(moved int64) error) (moved int64, err error) {
	from.Rest()
	p, err := getPipe()
	if err != nil {
		return 0, ErrNoPipe
	}
	defer p.put()
	for moved < n {
		if p.held == 0 {
			err = p.fill(from, min(n-moved, spliceStep))
		} else {
			err = nil
		}
		k := int64(0)
		if err == nil {
			k, err = p.drain(c)
			moved += k
		}
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return moved, err
		}
		if err := step(k); err != nil {
			return moved, err
		}
	}
	return moved, nil
}

// fill reads up to n bytes into the pipe, which is empty.
func (p *pipe) fill(from *Conn, n int64) error {
	if err := from.reads.set(from.Conn.SetReadDeadline, time.Now().Add(spliceWait)); err != nil {
		return err
	}
	if from.kicked.Load() {
		from.Unkick()
		return ErrKicked
	}
	var errno error
	err := from.raw.Read(func(fd uintptr) bool {
		p.held, errno = p.from(fd, n)
		return errno != syscall.EAGAIN
	})
	switch {
	case err != nil:
		from.reads.past = true // if it was a deadline
		return err
	case errno != nil:
		return os.NewSyscallError("splice", errno)
	case p.held == 0:
		return io.EOF
	}
	return nil
}

// drain writes what is in the pipe, and returns how much of it could be.
func (p *pipe) drain(to *Conn) (moved int64, err error) {
	if err := to.writes.set(to.Conn.SetWriteDeadline, time.Now().Add(spliceWait)); err != nil {
		return 0, err
	}
	var errno error
	err = to.raw.Write(func(fd uintptr) bool {
		for p.held > 0 {
			var k int64
			if k, errno = p.to(fd, p.held); errno != nil {
				return errno != syscall.EAGAIN
			}
			p.held -= k
			moved += k
		}
		return true
	})
	switch {
	case err != nil:
		to.writes.past = true
		return moved, err
	case errno != nil:
		return moved, os.NewSyscallError("splice", errno)
	}
	return moved, nil
}
