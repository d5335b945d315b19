// Package upstream keeps connections to hosts.
package upstream

import (
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A Limit bounds how many of something there are: a circuit breaker's threshold.
type Limit interface {
	TryAcquire() bool // counts one in if there may be one more
	Acquire()         // counts one in all the same
	Release()         // counts one out
}

// Options say how a Pool connects, and how many connections and requests it may have.
type Options struct {
	// Dial connects. It has to return in the end.
	Dial func() (net.Conn, error)
	// Connections bounds the connections of all the pools that share it. A pool without
	// any may have one beyond it, as otherwise its requests would wait for ever.
	Connections Limit
	// Pending bounds the requests that wait for a connection.
	Pending Limit
	// PerHost is how many connections this pool may have; 0 is any number.
	PerHost int
	// Idle is how long a connection may be without a request; 0 is for ever.
	Idle time.Duration
	// MaxAge is how long a connection may be used; 0 is for ever.
	MaxAge time.Duration
	// MaxRequests is how many requests it may carry; 0 is any number.
	MaxRequests uint32
	// Events is told what happens. It is called without locks held.
	Events Events
}

// Events count what a Pool does.
type Events interface {
	Waiting(change int64) // of requests that wait for a connection
	Connecting()
	Connected(took time.Duration)
	ConnectFailed(err error)
	// Closed is told whether it was the host that ended the connection, and whether a request was
	// under way on it.
	Closed(byHost, busy bool)
	MaxRequests()
}

// The errors of Get, but for that of Dial.
var (
	// ErrOverflow: a circuit breaker does not allow for it.
	ErrOverflow = errors.New("upstream: overflow")
	// ErrClosed: the pool is closed, as the host has gone.
	ErrClosed = errors.New("upstream: the host has gone")
	// ErrGone: the one who asked has no more use for a connection.
	ErrGone = errors.New("upstream: the client has gone")
)

// A ConnectError is why no connection came about.
type ConnectError struct{ Err error }

func (e *ConnectError) Error() string { return "upstream: " + e.Err.Error() }
func (e *ConnectError) Unwrap() error { return e.Err }

// IsTimeout returns whether an error of Get is that connecting has taken too long.
func IsTimeout(err error) bool {
	var failed *ConnectError
	var timeout net.Error
	return errors.As(err, &failed) && errors.As(failed.Err, &timeout) && timeout.Timeout()
}

// A Pool holds the connections to a host. The one that was put back last is the first to be used
// again, so that those there are too many of come to their idle timeout.
type Pool struct {
	opts Options

	mu      sync.Mutex
	idle    []*Conn
	waiters []ticket
	count   int // connections, those that are being made included
	closed  bool
	// generation goes up with each Drain.
	generation uint32
	sweeper    *time.Timer
}

// A ticket is what somebody waits with for a connection: a channel for one result.
type ticket chan result

// A result without both is the leave to make a connection, which has been counted in.
type result struct {
	conn *Conn
	err  error
}

// NewPool returns a Pool without connections.
func NewPool(opts Options) *Pool { return &Pool{opts: opts} }

var lastID atomic.Uint64

// tick is how often somebody who waits is asked whether there is still need.
const tick = 500 * time.Millisecond

// Get returns a connection: one that is idle, or a new one, or one that another request has
// done with. It waits until the deadline, and for as long as gone returns false; it asks
// twice a second. Who gets a connection has to Put it back or Close it.
func (p *Pool) Get(deadline time.Time, gone func() bool) (*Conn, error) {
	c, err := p.get(deadline, gone)
	if c != nil {
		c.busy = true
	}
	return c, err
}

func (p *Pool) get(deadline time.Time, gone func() bool) (*Conn, error) {
	if c := p.take(); c != nil {
		return c, nil
	}
	if !p.opts.Pending.TryAcquire() {
		return nil, ErrOverflow
	}
	defer p.opts.Pending.Release()
	p.opts.Events.Waiting(1)
	defer p.opts.Events.Waiting(-1)
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	t := make(ticket, 1)
	connecting := p.mayConnect()
	if !connecting {
		p.waiters = append(p.waiters, t)
	}
	p.mu.Unlock()
	if connecting {
		go p.connect(t)
	}
	return p.wait(t, deadline, gone)
}

// mayConnect counts a connection in, if there may be one more.
func (p *Pool) mayConnect() bool {
	if p.opts.PerHost > 0 && p.count >= p.opts.PerHost {
		return false
	}
	if !p.opts.Connections.TryAcquire() {
		if p.count > 0 {
			return false
		}
		p.opts.Connections.Acquire()
	}
	p.count++
	return true
}

// take takes an idle connection that is of use.
func (p *Pool) take() *Conn {
	for {
		p.mu.Lock()
		n := len(p.idle)
		if n == 0 {
			p.mu.Unlock()
			return nil
		}
		c := p.idle[n-1]
		p.idle[n-1] = nil
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		if c.usable(time.Now()) {
			return c
		}
		c.Close()
	}
}

// wait waits for what comes of a ticket.
func (p *Pool) wait(t ticket, deadline time.Time, gone func() bool) (*Conn, error) {
	timer := time.NewTimer(untilNext(deadline))
	defer timer.Stop()
	for {
		select {
		case r := <-t:
			if r.conn != nil || r.err != nil {
				return r.conn, r.err
			}
			go p.connect(t)
			continue
		case <-timer.C:
		}
		switch {
		case gone():
			p.leave(t)
			return nil, ErrGone
		case !deadline.IsZero() && !time.Now().Before(deadline):
			p.leave(t)
			return nil, os.ErrDeadlineExceeded
		}
		timer.Reset(untilNext(deadline))
	}
}

func untilNext(deadline time.Time) time.Duration {
	if deadline.IsZero() {
		return tick
	}
	return min(tick, time.Until(deadline))
}

// leave is for one who no longer waits: what comes of the ticket is for the next.
func (p *Pool) leave(t ticket) {
	p.mu.Lock()
	i := slices.Index(p.waiters, t)
	if i >= 0 {
		p.waiters = slices.Delete(p.waiters, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		return
	}
	go func() {
		switch r := <-t; {
		case r.conn != nil:
			r.conn.Put()
		case r.err == nil:
			p.forget()
		}
	}()
}

// connect makes a connection that has been counted in.
func (p *Pool) connect(t ticket) {
	began := time.Now()
	p.opts.Events.Connecting()
	nc, err := p.opts.Dial()
	if err != nil {
		p.opts.Events.ConnectFailed(err)
		p.forget()
		t <- result{err: &ConnectError{err}}
		return
	}
	now := time.Now()
	p.opts.Events.Connected(now.Sub(began))
	p.mu.Lock()
	generation := p.generation
	p.mu.Unlock()
	t <- result{conn: &Conn{
		Conn:       http1.NewConn(nc),
		ID:         lastID.Add(1),
		Local:      message.AddressOf(nc.LocalAddr()),
		pool:       p,
		generation: generation,
		made:       now,
	}}
}

// forget counts a connection out, and lets the next who waits make another.
func (p *Pool) forget() {
	p.mu.Lock()
	p.count--
	p.opts.Connections.Release()
	var next ticket
	if len(p.waiters) > 0 && p.mayConnect() {
		next = p.waiters[0]
		p.waiters = slices.Delete(p.waiters, 0, 1)
	}
	p.mu.Unlock()
	if next != nil {
		next <- result{}
	}
}

// sweepEvery is how often idle connections are looked at, as long as there are any: those that
// the host has closed, or that have been idle for too long, are closed.
const sweepEvery = 5 * time.Second

func (p *Pool) sweep() {
	now := time.Now()
	p.mu.Lock()
	idle := p.idle
	var closing []*Conn
	kept := idle[:0]
	for _, c := range idle {
		if c.usable(now) {
			kept = append(kept, c)
		} else {
			closing = append(closing, c)
		}
	}
	clear(idle[len(kept):])
	p.idle = kept
	p.sweeper = nil
	if len(kept) > 0 {
		p.sweeper = time.AfterFunc(sweepEvery, p.sweep)
	}
	p.mu.Unlock()
	for _, c := range closing {
		c.Close()
	}
}

// Drain closes all connections: those that carry a request after it. Requests get new ones.
func (p *Pool) Drain() {
	p.mu.Lock()
	p.generation++
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}

// Close closes the pool: connections that carry a request are closed after it, and no new ones are
// made. Who waits for one still gets one.
func (p *Pool) Close() error {
	p.mu.Lock()
	p.closed = true
	if p.sweeper != nil {
		p.sweeper.Stop()
	}
	p.mu.Unlock()
	p.Drain()
	return nil
}
