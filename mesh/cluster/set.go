// Package cluster says which host gets a request: it keeps the hosts of the configured
// clusters, knows which of them are healthy, and balances.
//
// A [Set] holds the clusters. [Cluster.Pick] is all that a request needs; it reads a
// snapshot of the hosts by an atomic pointer. Whatever changes a host's state, an active
// check, outlier detection or the DNS, makes another snapshot. Rules, and the slots of
// Maglev tables, are Envoy's.
package cluster

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// Options say what a Set works with.
type Options struct {
	// Stats counts. Default (nil): a Store that nobody sees.
	Stats *stats.Store
	// NewPool makes what the caller keeps for each host, its connection pool, which is
	// Host.Pool. It is closed when the host has gone and no pick returns it any more; a
	// pick just before may have. It is called by New, and by the DNS's goroutines. Default
	// (nil): none.
	// If it has a method Drain, that is called when the host is ejected.
	NewPool func(c *Cluster, h *Host) io.Closer
	// Log is told of hosts that are ejected, or fail their checks, or cannot be resolved. Default
	// (nil): nothing is.
	Log *slog.Logger
	// Resolver resolves the names of endpoints. Default (nil): the system's.
	Resolver Resolver
}

// A Resolver finds the addresses of a host. A [*net.Resolver] is one. An error for a host that
// there is not, or that has no addresses, is a *[net.DNSError] with IsNotFound.
type Resolver interface {
	// LookupNetIP returns addresses for a network: "ip4" or "ip6".
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// A Set is the clusters of a configuration. Any number of goroutines may use it.
type Set struct {
	opts     Options
	clusters map[string]*Cluster
	order    []*Cluster

	background background
	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	look       func(context.Context, *check) finding // makes a check; tests have another
}

// New returns a Set of clusters, without their DNS names resolved, and with all hosts that have
// active checks unhealthy: see [Set.Start]. It does not wait for anything. An error says which
// field of the configuration cannot be used.
func New(clusters []*config.Cluster, opts Options) (*Set, error) {
	if opts.Stats == nil {
		opts.Stats = stats.NewStore()
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Resolver == nil {
		opts.Resolver = net.DefaultResolver
	}
	s := &Set{opts: opts, clusters: make(map[string]*Cluster, len(clusters)), look: look}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, c := range clusters {
		if err := validate(c); err != nil {
			s.Close()
			return nil, fmt.Errorf("cluster %q: %w", c.Name, err)
		}
		cluster := newCluster(s, c)
		s.clusters[c.Name] = cluster
		s.order = append(s.order, cluster)
	}
	return s, nil
}

// validate looks for what would make a cluster impossible.
func validate(c *config.Cluster) error {
	if c.Policy == config.MaglevPolicy {
		if _, err := maglev.New(nil, maglev.Options{TableSize: int(c.Maglev.TableSize)}); err != nil {
			return fmt.Errorf("maglev_lb_config.table_size: %w", err)
		}
	}
	if len(c.HealthChecks) > 1 {
		return fmt.Errorf("health_checks: there are %d; one is supported", len(c.HealthChecks))
	}
	for _, p := range c.Priorities {
		for _, l := range p.Localities {
			for i := range l.Endpoints {
				e := &l.Endpoints[i]
				if c.Discovery == config.Static && !isFixed(&e.Address) {
					return fmt.Errorf("socket_address.address: %q is not an IP address, as a STATIC cluster needs", e.Address.Host)
				}
			}
		}
	}
	return nil
}

// Cluster returns the cluster of a name, nil if there is none.
func (s *Set) Cluster(name string) *Cluster { return s.clusters[name] }

// All returns the clusters, in the order of the configuration.
func (s *Set) All() []*Cluster { return s.order }

// Start begins to resolve names and to check hosts, and to build tables.
func (s *Set) Start() {
	for _, c := range s.order {
		c.start()
	}
}

// Wait waits until each name has been resolved once, or could not be, and each host that was found
// so has been checked once: until then an Envoy does not open its listeners. It returns the
// error of ctx if that ends first.
func (s *Set) Wait(ctx context.Context) error {
	for _, c := range s.order {
		select {
		case <-c.ready:
		case <-ctx.Done():
			return fmt.Errorf("cluster %q: %w", c.Config.Name, ctx.Err())
		}
	}
	return nil
}

// Ready returns whether Wait would return at once.
func (s *Set) Ready() bool {
	for _, c := range s.order {
		select {
		case <-c.ready:
		default:
			return false
		}
	}
	return true
}

// Close ends everything that Start has begun, waits for it, and closes the hosts' pools. Hosts
// can still be picked. It must not be called by a NewPool. The second time it does nothing.
func (s *Set) Close() {
	s.cancel()
	for _, c := range s.order {
		c.close()
	}
	s.background.close()
}

func (s *Set) log(c *Cluster, h *Host, what string, more ...any) {
	s.opts.Log.Info(what, append([]any{"cluster", c.Config.Name, "host", h.Address().Text}, more...)...)
}

// now is the time since the cluster was made.
func (c *Cluster) now() time.Duration { return time.Since(c.epoch) }
