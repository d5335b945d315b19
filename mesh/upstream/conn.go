package upstream

import (
	"slices"
	"time"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A Conn is a connection to a host, which carries one request at a time.
type Conn struct {
	*http1.Conn
	ID    uint64
	Local message.Address

	pool       *Pool
	generation uint32 // of the pool's when it was made
	made       time.Time
	used       time.Time // when it was put back
	requests   uint32
	busy       bool // a request is under way
	last       bool // it is to be closed from here
}

// usable returns whether an idle connection can carry a request: not if the host has closed it, or
// has said something that nobody asked for.
func (c *Conn) usable(now time.Time) bool {
	o := &c.pool.opts
	if o.Idle > 0 && now.Sub(c.used) >= o.Idle || o.MaxAge > 0 && now.Sub(c.made) >= o.MaxAge {
		return false
	}
	return c.Poll() && len(c.Buffered()) == 0
}

// Put gives a connection back after a request that it can follow with another.
func (c *Conn) Put() {
	p := c.pool
	c.Rest()
	c.busy = false
	c.used = time.Now()
	c.requests++
	if p.opts.MaxRequests > 0 && c.requests >= p.opts.MaxRequests {
		p.opts.Events.MaxRequests()
		c.Close()
		return
	}
	p.mu.Lock()
	if len(p.waiters) > 0 && !p.closed {
		// It would not be looked at again before it is used.
		p.mu.Unlock()
		if !c.usable(c.used) {
			c.Close()
			return
		}
		p.mu.Lock()
	}
	var next ticket
	switch {
	case p.closed || c.generation != p.generation:
		p.mu.Unlock()
		c.Close()
		return
	case len(p.waiters) > 0:
		next = p.waiters[0]
		p.waiters = slices.Delete(p.waiters, 0, 1)
	default:
		p.idle = append(p.idle, c)
		if p.sweeper == nil {
			p.sweeper = time.AfterFunc(sweepEvery, p.sweep)
		}
	}
	p.mu.Unlock()
	if next != nil {
		next <- result{conn: c}
	}
}

// Requests returns how many requests it has carried.
func (c *Conn) Requests() uint32 { return c.requests }

// Done notes that the answer to the request has come whole, for when the connection is to be
// closed after it; Put does that too. That the answer was the last, by its head, makes it
// this side that closes, whatever the host does.
func (c *Conn) Done(last bool) { c.busy, c.last = false, last }

// Close closes a connection for good.
func (c *Conn) Close() error {
	byHost := !c.last && c.HungUp()
	err := c.Conn.Close()
	c.pool.opts.Events.Closed(byHost, c.busy)
	c.pool.forget()
	return err
}
