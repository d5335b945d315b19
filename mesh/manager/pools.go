package manager

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/upstream"
)

// pools are the connections to a host: a pool for each priority of requests, as each has circuit
// breakers of its own. They are made when they are first needed: of thousands of hosts, many may
// never be.
type pools struct {
	cluster    *cluster.Cluster
	host       *cluster.Host
	byPriority [2]atomic.Pointer[upstream.Pool]

	mu     sync.Mutex // for what follows, and to make one
	closed bool
}

func (p *pools) of(priority config.Priority) *upstream.Pool {
	if pool := p.byPriority[priority].Load(); pool != nil {
		return pool
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	pool := p.byPriority[priority].Load()
	if pool == nil {
		pool = newPool(p.cluster, p.host, priority, nil)
		if p.closed {
			pool.Close()
		}
		p.byPriority[priority].Store(pool)
	}
	return pool
}

// Close closes the pools.
func (p *pools) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.each((*upstream.Pool).Close)
	return nil
}

// Drain closes the connections there are, after the request that they carry.
func (p *pools) Drain() {
	p.each(func(pool *upstream.Pool) error { pool.Drain(); return nil })
}

func (p *pools) each(f func(*upstream.Pool) error) {
	for i := range p.byPriority {
		if pool := p.byPriority[i].Load(); pool != nil {
			_ = f(pool)
		}
	}
}

// NewPools makes what a [Manager] keeps for a host: give it to [cluster.New] as NewPool.
func NewPools(c *cluster.Cluster, h *cluster.Host) io.Closer { return &pools{cluster: c, host: h} }

// newPool makes a pool whose connections begin with a header.
func newPool(c *cluster.Cluster, h *cluster.Host, priority config.Priority, header []byte) *upstream.Pool {
	b := c.Breakers(priority)
	return upstream.NewPool(upstream.Options{
		Dial: func() (net.Conn, error) {
			conn, err := dial(c, h)
			if err != nil {
				return nil, err
			}
			return withHeader(conn, header)
		},
		Connections: &b.Connections,
		Pending:     &b.Pending,
		PerHost:     int(c.Config.PerHostConnections),
		Idle:        c.Config.IdleTimeout,
		MaxAge:      c.Config.MaxConnectionDuration,
		MaxRequests: c.Config.MaxRequestsPerConnection,
		Events:      &poolEvents{c.Stats, &h.Stats},
	})
}

// dial connects to a host.
func dial(c *cluster.Cluster, h *cluster.Host) (net.Conn, error) {
	d := net.Dialer{Timeout: c.Config.ConnectTimeout, KeepAlive: -1}
	if k := c.Config.TCPKeepalive; k != nil {
		d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: k.Time, Interval: k.Interval, Count: k.Probes}
	}
	if c.Config.SourceAddress != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.Config.SourceAddress), Port: int(c.Config.SourcePort)}
	}
	network, address := h.Dial()
	if network == "unix" {
		d.LocalAddr = nil
	}
	return d.DialContext(context.Background(), network, address)
}

// poolEvents count what a pool does.
type poolEvents struct {
	cluster *cluster.Stats
	host    *cluster.HostStats
}

func (e *poolEvents) Waiting(change int64) {
	e.cluster.ActivePending.Add(change)
	e.host.PendingRequests.Add(change)
	if change > 0 {
		e.cluster.Pending.Inc()
	}
}

func (e *poolEvents) Connecting() {
	e.cluster.Connections.Inc()
	e.cluster.HTTP1Connections.Inc()
	e.cluster.ActiveConnections.Inc()
	e.host.Connections.Inc()
	e.host.ActiveConnections.Inc()
}

func (e *poolEvents) Connected(took time.Duration) {
	e.cluster.ConnectTime.Record(uint64(took.Milliseconds()))
}

func (e *poolEvents) ConnectFailed(err error) {
	e.host.ConnectFail.Inc()
	e.cluster.ConnectFail.Inc()
	if e.timedOut(err) {
		e.cluster.ConnectTimeout.Inc()
	}
	e.Closed(!e.timedOut(err), false)
}

func (e *poolEvents) timedOut(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

func (e *poolEvents) Closed(byHost, busy bool) {
	c := e.cluster
	c.Destroyed.Inc()
	by, byBusy := &c.DestroyedLocal, &c.DestroyedLocalBusy
	if byHost {
		by, byBusy = &c.DestroyedRemote, &c.DestroyedRemoteBusy
	}
	by.Inc()
	if busy {
		c.DestroyedBusy.Inc()
		byBusy.Inc()
	}
	e.cluster.ActiveConnections.Dec()
	e.host.ActiveConnections.Dec()
}

func (e *poolEvents) MaxRequests() { e.cluster.ConnectionMaxRequests.Inc() }
