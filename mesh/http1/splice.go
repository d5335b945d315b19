package http1

import (
	"errors"
	"io"
	"os"
	"time"
)

// spliceStep is after how many bytes a splice tells its progress, and spliceWait how long
// it waits for any before it tells that there is none.
const (
	spliceStep = 256 << 10
	spliceWait = time.Second
)

// CanSplice returns whether Splice is worth while: both are sockets, nothing is buffered.
func (c *Conn) CanSplice(from *Conn) bool {
	_, ok := c.Conn.(io.ReaderFrom)
	return ok && c.raw != nil && from.raw != nil && from.from == from.to
}

// Splice moves n bytes from one connection to another, within the kernel where that is
// possible. Now and then it calls step, with how many have moved since; an error of that ends
// it. It returns how many have moved, io.EOF if from has ended, ErrKicked
// if it was interrupted, and any other error of either connection.
func (c *Conn) Splice(from *Conn, n int64, step func(moved int64) error) (moved int64, err error) {
	to := c.Conn.(io.ReaderFrom)
	from.Rest()
	for moved < n {
		until := time.Now().Add(spliceWait)
		if err := from.reads.set(from.Conn.SetReadDeadline, until); err != nil {
			return moved, err
		}
		if err := c.writes.set(c.Conn.SetWriteDeadline, until); err != nil {
			return moved, err
		}
		if from.kicked.Load() {
			from.Unkick()
			return moved, ErrKicked
		}
		k, err := to.ReadFrom(&io.LimitedReader{R: from.Conn, N: min(n-moved, spliceStep)})
		moved += k
		switch {
		case err == nil && k == 0:
			return moved, io.EOF
		case errors.Is(err, os.ErrDeadlineExceeded): // of which of the two is not known
			from.reads.past, c.writes.past = true, true
		case err != nil:
			return moved, err
		}
		if err := step(k); err != nil {
			return moved, err
		}
	}
	return moved, nil
}
