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
	drained  time.Time                  // when it ends, after it was idle for too long or became too old; zero: it is neither
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
			} else {
				c.m.counts.DestroyedRemote.Inc()
			}
			c.conn.Close()
			return
		}
		switch c.exchange() {
		case closeGently:
			if c.linger() {
				c.m.counts.DestroyedRemote.Inc()
			} else {
				c.m.counts.DestroyedLocal.Inc()
			}
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

// wait waits for the first bytes of a request. A connection that has been idle for too long, or that is
// too old, has the time of a drain for more of them, whose answers say that it ends; but not if
// it never had any.
func (c *client) wait() error {
	if c.skipEmptyLines() {
		return nil // pipelined
	}
	c.conn.Rest()
	until := c.drained
	cfg, expired := c.m.config, &c.m.counts.ConnectionIdle
	if cfg.IdleTimeout > 0 && c.drained.IsZero() {
		until = time.Now().Add(cfg.IdleTimeout)
	}
	if cfg.MaxConnectionDuration > 0 && c.drained.IsZero() {
		if end := c.opened.Add(cfg.MaxConnectionDuration); until.IsZero() || end.Before(until) {
			until, expired = end, &c.m.counts.ConnectionAge
		}
	}
	for {
		err := c.conn.Fill(until)
		if err == os.ErrDeadlineExceeded && c.drained.IsZero() {
			expired.Inc()
			if c.requests > 0 {
				c.drained = time.Now().Add(cfg.DrainTimeout)
				until = c.drained
				continue
			}
		}
		if err != nil {
			return err
		}
		if c.skipEmptyLines() {
			return nil
		}
	}
}

// skipEmptyLines takes the empty lines that some clients send behind a request (RFC 9112, section
// 2.2), and that do not begin another. It returns whether there is anything behind them.
func (c *client) skipEmptyLines() bool {
	b := c.conn.Buffered()
	for ; len(b) >= 2 && b[0] == '\r' && b[1] == '\n'; b = c.conn.Buffered() {
		c.conn.Take(2)
	}
	return len(b) > 1 || len(b) == 1 && b[0] != '\r' // else it may be half of one
}

// lastRequest returns whether no request is to follow the present one.
func (c *client) lastRequest() bool {
	cfg := c.m.config
	if cfg.MaxRequestsPerConnection > 0 && c.requests >= cfg.MaxRequestsPerConnection {
		c.m.counts.ConnectionFull.Inc()
		return true
	}
	return c.m.draining.Load() ||
		cfg.MaxConnectionDuration > 0 && time.Since(c.opened) >= cfg.MaxConnectionDuration
}

// linger lets a client read the answer that the connection ends with. What it may still
// send is thrown away for a while: if it arrived at a closed socket, the system would reset
// the connection, and the answer could be lost on its way (RFC 9112, section 9.6). It
// returns whether the client has closed the connection.
func (c *client) linger() (closed bool) {
	half, ok := c.conn.Conn.(interface{ CloseWrite() error })
	patience := c.m.config.DelayedCloseTimeout
	if !ok || patience == 0 || half.CloseWrite() != nil {
		return false
	}
	until := time.Now().Add(patience)
	c.conn.Take(len(c.conn.Buffered()))
	c.conn.Rest()
	for time.Now().Before(until) {
		if err := c.conn.Fill(until); err != nil && err != os.ErrDeadlineExceeded {
			return true
		}
		c.conn.Take(len(c.conn.Buffered()))
	}
	c.m.counts.DelayedClose.Inc()
	return false
}

// An end is what becomes of a connection after an exchange.
type end uint8

const (
	keepAlive   end = iota
	closeGently     // the client has been told
	closeNow        // it is in the middle of something that cannot be completed
	hungUp          // it has gone
)
