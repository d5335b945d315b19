package manager

import (
	"os"
	"time"

	"github.com/maglev-lb/maglev/mesh/filter"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/upstream"
)

// A client is a connection from one. A goroutine of its own serves its requests, one after
// another, and between them it holds no memory but this.
type client struct {
	m        *Manager
	conn     *http1.Conn
	info     message.Connection
	opened   time.Time
	requests uint32
	gone     func() bool                // whether it has hung up
	own      map[ownPool]*upstream.Pool // whose connections are for this client alone
	buckets  filter.Connection          // of rate limits by connection
}

// serve serves requests until the connection is of no more use, and closes it.
func (c *client) serve() {
	for {
		if err := c.wait(); err != nil {
			if err == os.ErrDeadlineExceeded {
				c.m.counts.DestroyedLocal.Inc()
				c.m.counts.ConnectionIdle.Inc()
			} else {
				c.m.counts.DestroyedRemote.Inc()
			}
			c.conn.Close()
			return
		}
		switch c.exchange() {
		case closeGently:
			c.m.counts.DestroyedLocal.Inc()
			c.linger()
			c.conn.Close()
			return
		case closeNow:
			c.m.counts.DestroyedLocal.Inc()
			c.conn.Close()
			return
		case hungUp:
			c.m.counts.DestroyedRemote.Inc()
			c.conn.Close()
			return
		}
	}
}

// wait waits for the first bytes of a request.
func (c *client) wait() error {
	c.skipEmptyLines()
	if len(c.conn.Buffered()) > 0 {
		return nil // pipelined
	}
	c.conn.Rest()
	var until time.Time
	cfg := c.m.config
	if cfg.IdleTimeout > 0 {
		until = time.Now().Add(cfg.IdleTimeout)
	}
	if cfg.MaxConnectionDuration > 0 {
		if end := c.opened.Add(cfg.MaxConnectionDuration); until.IsZero() || end.Before(until) {
			until = end
		}
	}
	for {
		if err := c.conn.Fill(until); err != nil {
			return err
		}
		if c.skipEmptyLines(); len(c.conn.Buffered()) > 0 {
			return nil
		}
	}
}

// skipEmptyLines takes the empty lines that some clients send behind a request (RFC 9112, section
// 2.2), and that do not begin another.
func (c *client) skipEmptyLines() {
	for b := c.conn.Buffered(); len(b) >= 2 && b[0] == '\r' && b[1] == '\n'; b = c.conn.Buffered() {
		c.conn.Take(2)
	}
}

// lastRequest returns whether no request is to follow the present one.
func (c *client) lastRequest() bool {
	cfg := c.m.config
	return c.m.draining.Load() ||
		cfg.MaxRequestsPerConnection > 0 && c.requests >= cfg.MaxRequestsPerConnection ||
		cfg.MaxConnectionDuration > 0 && time.Since(c.opened) >= cfg.MaxConnectionDuration
}

// linger lets a client read the answer that the connection ends with. What it may still
// send is thrown away for a while: if it arrived at a closed socket, the system would reset
// the connection, and the answer could be lost on its way (RFC 9112, section 9.6).
func (c *client) linger() {
	half, ok := c.conn.Conn.(interface{ CloseWrite() error })
	patience := c.m.config.DelayedCloseTimeout
	if !ok || patience == 0 || half.CloseWrite() != nil {
		return
	}
	until := time.Now().Add(patience)
	c.conn.Take(len(c.conn.Buffered()))
	c.conn.Rest()
	for time.Now().Before(until) {
		if c.conn.Fill(until) != nil {
			return
		}
		c.conn.Take(len(c.conn.Buffered()))
	}
}

// An end is what becomes of a connection after an exchange.
type end uint8

const (
	keepAlive   end = iota
	closeGently     // the client has been told
	closeNow        // it is in the middle of something that cannot be completed
	hungUp          // it has gone
)
