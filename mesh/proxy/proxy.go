// Package proxy puts the parts of the mesh together: it runs what a configuration says.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/mesh/accesslog"
	"github.com/maglev-lb/maglev/mesh/admin"
	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/listener"
	"github.com/maglev-lb/maglev/mesh/manager"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// Options say how a Proxy runs. The zero value is ready to use.
type Options struct {
	// Log is told what happens to the proxy itself. Default (nil): nothing is.
	Log *slog.Logger
}

// A Proxy runs a configuration. It is started by [Start].
type Proxy struct {
	log       *slog.Logger
	stats     *stats.Store
	logs      *accesslog.Files
	clusters  *cluster.Set
	listeners []*listener.Listener
	managers  []*manager.Manager // of the listener of the same index; nil: it closes connections
	admin     *admin.Server
	state     atomic.Uint32 // an admin.State
	failing   atomic.Bool   // health checks are
	quit      chan struct{}
	quitOnce  sync.Once
}

// initialWait bounds how long listeners wait for the first answers of the DNS and of health
// checks.
const initialWait = 15 * time.Second

// Start runs a configuration. It returns when all listeners serve, or why they cannot. The
// context is for that alone; [Proxy.Close] ends the proxy.
func Start(ctx context.Context, b *config.Bootstrap, o Options) (*Proxy, error) {
	p := &Proxy{log: o.Log, stats: stats.NewStore(), quit: make(chan struct{})}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if err := p.start(ctx, b); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// start starts all there is. If it fails, what has been started is left to be closed.
func (p *Proxy) start(ctx context.Context, b *config.Bootstrap) (err error) {
	p.state.Store(uint32(admin.PreInitializing))
	if p.clusters, err = cluster.New(b.Clusters, cluster.Options{Stats: p.stats, NewPool: manager.NewPools, Log: p.log}); err != nil {
		return err
	}
	p.logs = accesslog.NewFiles(p.stats)
	if b.Admin != nil {
		if p.admin, err = admin.Start(b.Admin.Address, p.source(b)); err != nil {
			return err
		}
	}
	if err := p.listen(b); err != nil {
		return err
	}
	p.state.Store(uint32(admin.Initializing))
	p.clusters.Start()
	waiting, stop := context.WithTimeout(ctx, initialWait)
	_ = p.clusters.Wait(waiting) // what has not answered by then has no hosts, or none that are healthy
	stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i, l := range p.listeners {
		if m := p.managers[i]; m != nil {
			l.Start(m.Serve)
		} else {
			l.Start(nil)
		}
	}
	p.count(b)
	p.state.Store(uint32(admin.Live))
	for _, l := range p.listeners {
		p.log.Info("listening", "listener", l.Name(), "address", l.Addr().String())
	}
	return nil
}

// listen opens the sockets of the listeners, and makes the managers of their connections.
func (p *Proxy) listen(b *config.Bootstrap) error {
	clock := new(forwarding.Clock)
	local := localAddress()
	for _, cfg := range b.Listeners {
		l, err := listener.Listen(cfg, p.stats)
		if err != nil {
			return err
		}
		p.listeners = append(p.listeners, l)
		var m *manager.Manager
		if cfg.Chain.HTTP != nil {
			logs, err := p.logs.Open(cfg.Chain.HTTP.AccessLogs)
			if err != nil {
				return fmt.Errorf("listener %q: %w", cfg.Name, err)
			}
			m = manager.New(manager.Options{
				Listener: cfg, Address: l.Addr().String(),
				Clusters: p.clusters, Stats: p.stats, Log: logs, Logger: p.log, Clock: clock,
				NodeID: b.NodeID, NodeCluster: b.NodeCluster, LocalAddress: local,
			})
		}
		p.managers = append(p.managers, m)
	}
	return nil
}

// localAddress returns the machine's first address that is not of its loopback interface,
// which stands in x-forwarded-for for clients on the same machine.
func localAddress() string {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return "127.0.0.1"
	}
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return "127.0.0.1"
}

// Addr returns where a listener listens: those of the configuration in their order.
func (p *Proxy) Addr(i int) net.Addr { return p.listeners[i].Addr() }

// AdminAddr returns where the admin server listens, nil if the configuration has none.
func (p *Proxy) AdminAddr() net.Addr {
	if p.admin == nil {
		return nil
	}
	return p.admin.Addr()
}

// Quit returns a channel that is closed when somebody has asked the admin server for the
// end.
func (p *Proxy) Quit() <-chan struct{} { return p.quit }

// ReopenLogs opens the files of access logs anew, after they have been moved away.
func (p *Proxy) ReopenLogs() {
	if err := p.logs.Reopen(); err != nil {
		p.log.Error("access logs", "error", err)
	}
}

// drainTime is how long requests under way may take when the proxy ends.
const drainTime = 5 * time.Second

// Close ends the proxy: no more connections are accepted, requests under way have a few seconds to
// end.
func (p *Proxy) Close() error {
	p.state.Store(uint32(admin.Draining))
	for i, l := range p.listeners {
		l.Stop()
		if m := p.managers[i]; m != nil {
			m.Drain()
		}
	}
	for until := time.Now().Add(drainTime); p.active() > 0 && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond)
	}
	var errs []error
	for _, l := range p.listeners {
		l.Close()
	}
	if p.admin != nil {
		errs = append(errs, p.admin.Close())
	}
	if p.clusters != nil {
		p.clusters.Close()
	}
	if p.logs != nil {
		p.logs.Close()
	}
	return errors.Join(errs...)
}

// active returns how many requests are under way.
func (p *Proxy) active() (n int64) {
	for _, m := range p.managers {
		if m != nil {
			n += m.Active()
		}
	}
	return n
}

// connections returns how many connections of clients are open.
func (p *Proxy) connections() (n int64) {
	for _, l := range p.listeners {
		n += int64(l.Open())
	}
	return n
}

// managerCounts are listener_manager and cluster_manager, which never change here once the
// proxy serves.
type managerCounts struct {
	Added   stats.Counter `stat:"listener_added"`
	Created stats.Counter `stat:"listener_create_success"`
	Active  stats.Gauge   `stat:"total_listeners_active"`
	Started stats.Gauge   `stat:"workers_started"`
}

type clusterCounts struct {
	Added  stats.Counter `stat:"cluster_added"`
	Active stats.Gauge   `stat:"active_clusters"`
}

// count counts the listeners and clusters there are.
func (p *Proxy) count(b *config.Bootstrap) {
	l := stats.Group[managerCounts](p.stats.Scope("listener_manager"))
	l.Added.Add(uint64(len(b.Listeners)))
	l.Created.Add(uint64(len(b.Listeners)))
	l.Active.Set(int64(len(b.Listeners)))
	l.Started.Set(1)
	c := stats.Group[clusterCounts](p.stats.Scope("cluster_manager"))
	c.Added.Add(uint64(len(b.Clusters)))
	c.Active.Set(int64(len(b.Clusters)))
}
