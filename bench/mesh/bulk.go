//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bulk is what a peer makes of bodies of 10 MB.
type bulk struct {
	Repeat    int
	Peer      string
	Direction string  // download or upload
	Rate      float64 // MB/s, all connections together
	CPU       float64 // ms of the proxy for a MB
	RSS       float64 // MB at its peak
	Steal     float64 // percent
	Invalid   string  // as of a run
}

// bulkConns is enough to keep two cores busy, and not so many that they fight for them.
const bulkConns = 4

// measureBulk lets every peer carry 10 MB bodies, both ways, one request after the other.
func (b *bench) measureBulk(ctx context.Context) error {
	for repeat := range b.opts.repeats {
		for _, direction := range []string{"download", "upload"} {
			for _, i := range rand.Perm(len(b.peers)) {
				p := b.peers[i]
				r := bulk{Repeat: repeat, Peer: p.name, Direction: direction}
				if err := b.with(ctx, p, func(w *world) error { return r.carry(ctx, w, b.opts.seconds/2) }); err != nil {
					return fmt.Errorf("%s, %s: %w", p.name, direction, err)
				}
				b.results.Bulk = append(b.results.Bulk, r)
				fmt.Fprintf(b.progress, "%2d %-8s %-9s %6.0f MB/s  cpu %5.2f ms/MB  steal %4.1f %%  %s\n",
					repeat+1, direction, p.name, r.Rate, r.CPU, r.Steal, r.Invalid)
			}
		}
	}
	return nil
}

// carry goes on for some seconds, after a while that is not counted.
func (r *bulk) carry(ctx context.Context, w *world, seconds float64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var carried atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for i := range bulkConns {
		conn, err := net.Dial("tcp4", w.targets[i%len(w.targets)].String())
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		group.Go(func() error {
			defer stop()
			c := bulkConn{conn: conn, buffer: make([]byte, 256<<10), carried: &carried}
			err := c.repeat(ctx, r.Direction, fmt.Appendf(nil, "host: shop.test\r\nx-user: user-%d\r\n", i), w.prefix)
			_ = conn.Close()
			return err
		})
	}
	pause := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	pause(min(time.Second, time.Duration(seconds*float64(time.Second))))
	ticks, err := readTicks()
	if err != nil {
		return err
	}
	before, err := w.proxyUsage(false)
	if err != nil {
		return err
	}
	began, first := time.Now(), carried.Load()
	pause(time.Duration(seconds * float64(time.Second)))
	took, mb := time.Since(began).Seconds(), float64(carried.Load()-first)/1e6
	after, err := w.proxyUsage(false)
	if err != nil {
		return err
	}
	end, err := readTicks()
	if err != nil {
		return err
	}
	cancel()
	if err := group.Wait(); err != nil {
		return err
	}
	if mb == 0 {
		return errors.New("nothing was carried")
	}
	r.Rate, r.CPU, r.RSS = mb/took, (after.cpu-before.cpu).Seconds()*1e3/mb, megabytes(after.top)
	if r.Steal = end.stealSince(ticks); r.Steal > maxSteal {
		r.Invalid = fmt.Sprintf("steal %.1f %%", r.Steal)
	}
	return nil
}

// A bulkConn carries one body at a time.
type bulkConn struct {
	conn    net.Conn
	buffer  []byte
	carried *atomic.Int64 // bytes of bodies, of all connections
}

// repeat goes on until the context ends.
func (c *bulkConn) repeat(ctx context.Context, direction string, fields []byte, prefix string) error {
	for {
		var err error
		if direction == "download" {
			err = c.download(fmt.Appendf(nil, "GET %s/big HTTP/1.1\r\n%s\r\n", prefix, fields))
		} else {
			err = c.upload(fmt.Appendf(nil, "PUT %s/upload HTTP/1.1\r\n%scontent-length: %d\r\n\r\n", prefix, fields, bigBody))
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
}

func (c *bulkConn) download(request []byte) error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	length, body, err := c.readHead()
	if err != nil {
		return err
	}
	if length != bigBody {
		return fmt.Errorf("an answer of %d bytes", length)
	}
	c.carried.Add(int64(len(body)))
	for left := length - len(body); left > 0; {
		n, err := c.conn.Read(c.buffer[:min(left, len(c.buffer))])
		if err != nil {
			return err
		}
		left -= n
		c.carried.Add(int64(n))
	}
	return nil
}

func (c *bulkConn) upload(request []byte) error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	for left := bigBody; left > 0; {
		n, err := c.conn.Write(pattern[:min(left, len(pattern))])
		if err != nil {
			return err
		}
		left -= n
		c.carried.Add(int64(n))
	}
	length, got, err := c.readHead()
	if err != nil {
		return err
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(c.conn, body[copy(body, got):]); err != nil {
		return err
	}
	if string(body) != strconv.Itoa(bigBody) {
		return fmt.Errorf("the backend had %q bytes", body)
	}
	return nil
}

// readHead reads an answer up to its body, of which it returns the length and what has come with
// the head. That is in the buffer.
func (c *bulkConn) readHead() (int, []byte, error) {
	for have := 0; have < len(c.buffer); {
		n, err := c.conn.Read(c.buffer[have:])
		if err != nil {
			return 0, nil, err
		}
		have += n
		end := bytes.Index(c.buffer[:have], []byte("\r\n\r\n"))
		if end < 0 {
			continue
		}
		head, body := c.buffer[:end+4], c.buffer[end+4:have]
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
			return 0, nil, fmt.Errorf("an answer %q", head)
		}
		length, err := contentLength(head)
		if len(body) > length {
			return 0, nil, errMore
		}
		return length, body, err
	}
	return 0, nil, errHead
}
