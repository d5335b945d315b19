package http1

import (
	"runtime"
	"sync"
	"syscall"
	"unsafe"
)

// The system calls that not every system has.

const canSplice = true

// A pipe is what bytes go through from one socket to another without being copied.
type pipe struct {
	read, write int   // file descriptors
	held        int64 // bytes in it
}

// pipes are those that are empty. The garbage collector closes those that nobody needs.
var pipes sync.Pool

const (
	setPipeSize = 1031 // F_SETPIPE_SZ
	moveNoWait  = 3    // SPLICE_F_MOVE, SPLICE_F_NONBLOCK
)

func getPipe() (*pipe, error) {
	if p, ok := pipes.Get().(*pipe); ok {
		return p, nil
	}
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		return nil, err
	}
	// A user may have so many pages in pipes; who has no more gets along with a small one.
	_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[1]), setPipeSize, spliceStep)
	p := &pipe{read: fds[0], write: fds[1]}
	runtime.AddCleanup(p, func(fds [2]int) {
		syscall.Close(fds[0])
		syscall.Close(fds[1])
	}, fds)
	return p, nil
}

// put gives the pipe back. One that is not empty is left to the garbage collector.
func (p *pipe) put() {
	if p.held == 0 {
		pipes.Put(p)
	}
}

// from reads from a socket that does not block.
func (p *pipe) from(fd uintptr, n int64) (int64, error) { return splice(int(fd), p.write, n) }

// to writes to a socket that does not block.
func (p *pipe) to(fd uintptr, n int64) (int64, error) { return splice(p.read, int(fd), n) }

func splice(from, to int, n int64) (int64, error) {
	for {
		k, err := syscall.Splice(from, nil, to, nil, int(n), moveNoWait)
		if err != syscall.EINTR {
			return max(int64(k), 0), err
		}
	}
}

// HungUp returns whether the peer has closed its side of the connection, be it that not all is
// read yet of what it has sent before. It is for any goroutine.
func (c *Conn) HungUp() bool {
	if c.raw == nil {
		return false
	}
	const hup, rdhup, bad = 0x10, 0x2000, 0x8 // POLLHUP, POLLRDHUP, POLLERR
	poll := struct {
		fd              int32
		events, revents int16
	}{events: rdhup}
	var now syscall.Timespec
	err := c.raw.Control(func(fd uintptr) {
		poll.fd = int32(fd)
		_, _, _ = syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&poll)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	})
	return err != nil || poll.revents&(hup|rdhup|bad) != 0
}
