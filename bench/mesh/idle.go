//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"
)

// Idle is what connections cost that have nothing to do.
type idle struct {
	Peer        string
	Connections int
	Before      float64 // MB of RSS with none
	Opened      float64 // KB of RSS for a connection that has had no request yet
	Used        float64 // KB of RSS for one that has had one
	CPU         float64 // ms of processor time a second with all of them there
}

const idleConnections = 10000

// measureIdle looks at each proxy once: unlike times, memory does not depend on what else runs.
func (b *bench) measureIdle(ctx context.Context) error {
	for _, p := range b.peers {
		if p.find == nil {
			continue
		}
		r := idle{Peer: p.name, Connections: min(idleConnections, b.maxConnections-500)}
		if err := b.with(ctx, p, func(w *world) error { return r.hold(ctx, w) }); err != nil {
			return fmt.Errorf("%s, idle: %w", p.name, err)
		}
		b.results.Idle = append(b.results.Idle, r)
		fmt.Fprintf(b.progress, "%-9s %d idle connections: %.1f KB each, %.1f KB after a request, cpu %.2f ms/s\n",
			p.name, r.Connections, r.Opened, r.Used, r.CPU)
	}
	return nil
}

// settle is how long a proxy has to put in order what it has.
const settle = 3 * time.Second

func (r *idle) hold(ctx context.Context, w *world) error {
	to := w.targets[0].String()
	first, err := net.Dial("tcp4", to)
	if err != nil {
		return err
	}
	defer func() { _ = first.Close() }()
	request := fmt.Appendf(nil, "GET %s/item/1 HTTP/1.1\r\nhost: shop.test\r\nx-user: user-1\r\n\r\n", w.prefix)
	for range 100 { // what is set up once is not to be counted
		if err := ask(first, request); err != nil {
			return err
		}
	}
	before, err := r.settled(ctx, w)
	if err != nil {
		return err
	}
	conns := make([]net.Conn, 0, r.Connections)
	defer func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}()
	for range r.Connections {
		conn, err := net.Dial("tcp4", to)
		if err != nil {
			return fmt.Errorf("after %d connections: %w", len(conns), err)
		}
		conns = append(conns, conn)
	}
	opened, err := r.settled(ctx, w)
	if err != nil {
		return err
	}
	for i, conn := range conns {
		if err := ask(conn, request); err != nil {
			return fmt.Errorf("on connection %d: %w", i, err)
		}
	}
	used, err := r.settled(ctx, w)
	if err != nil {
		return err
	}
	end, err := r.settled(ctx, w)
	if err != nil {
		return err
	}
	each := func(bytes int64) float64 { return float64(bytes) / float64(r.Connections) / 1e3 }
	r.Before = megabytes(before.rss)
	r.Opened = each(opened.rss - before.rss)
	r.Used = each(used.rss - before.rss)
	r.CPU = (end.cpu - used.cpu).Seconds() * 1e3 / settle.Seconds()
	return nil
}

// settled waits and returns what is used then.
func (r *idle) settled(ctx context.Context, w *world) (usage, error) {
	select {
	case <-ctx.Done():
		return usage{}, ctx.Err()
	case <-time.After(settle):
	}
	return w.proxyUsage(false)
}

// ask sends a request and reads its answer, which is to be a small one.
func ask(conn net.Conn, request []byte) error {
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	var buffer [4 << 10]byte
	for have := 0; have < len(buffer); {
		n, err := conn.Read(buffer[have:])
		if err != nil {
			if err == io.EOF {
				return errClosed
			}
			return err
		}
		have += n
		a, _, err := parseAnswer(buffer[:have])
		if err != nil {
			return err
		}
		if a == nil {
			continue
		}
		if a.status != 200 || a.length != smallBody {
			return fmt.Errorf("status %d with %d bytes", a.status, a.length)
		}
		return nil
	}
	return errHead
}
