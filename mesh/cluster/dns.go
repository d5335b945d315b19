package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// lookupTimeout is how long a query may take, tries and servers included: c-ares's, as
// Envoy has it.
const lookupTimeout = 20 * time.Second

// resolve asks for the addresses of a target, and has it done again later.
func (c *Cluster) resolve(t *target) { c.resolveAgain(t, true, 0) }

// resolveAgain is told whether it is the first time, and how often in a row there was no answer.
func (c *Cluster) resolveAgain(t *target, first bool, failures int) {
	ctx, cancel := context.WithTimeout(c.set.ctx, lookupTimeout)
	defer cancel()
	c.Stats.UpdateAttempt.Inc()
	ips, err := c.lookup(ctx, t.endpoint.Address.Host)
	if err == nil && len(ips) == 0 && c.Config.Discovery == config.LogicalDNS {
		err = errors.New("no addresses") // its one host cannot go
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	var pause time.Duration
	if err != nil {
		// The last good addresses stay.
		c.Stats.UpdateFailure.Inc()
		c.set.opts.Log.Info("cannot be resolved", "cluster", c.Config.Name, "host", t.endpoint.Address.Host, "error", err)
		failures++
		pause = afterFailure(&c.Config.DNS, failures)
	} else {
		c.Stats.UpdateSuccess.Inc()
		if c.install(t, ips) {
			c.Stats.MembershipChange.Inc()
			c.gather()
			c.publish()
		} else {
			c.Stats.UpdateNoRebuild.Inc()
		}
		failures = 0
		pause = refresh(&c.Config.DNS)
	}
	c.after(pause, func() { c.resolveAgain(t, false, failures) })
	if first {
		c.arrived()
	}
}

// lookup returns the addresses of a host, sorted out by dns_lookup_family. A host without
// addresses, or that there is not, is not an error.
func (c *Cluster) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	var networks []string
	all := false
	switch c.Config.DNS.Family {
	case config.DNSV4Only:
		networks = []string{"ip4"}
	case config.DNSV6Only:
		networks = []string{"ip6"}
	case config.DNSV4Preferred:
		networks = []string{"ip4", "ip6"}
	case config.DNSAll:
		networks, all = []string{"ip6", "ip4"}, true
	default:
		networks = []string{"ip6", "ip4"}
	}
	var ips []netip.Addr
	var failed error
	for _, network := range networks {
		found, err := c.set.opts.Resolver.LookupNetIP(ctx, network, host)
		var dns *net.DNSError
		if err != nil && !(errors.As(err, &dns) && dns.IsNotFound) {
			failed = err
			continue
		}
		for _, ip := range found {
			if ip = ip.Unmap(); !slices.Contains(ips, ip) {
				ips = append(ips, ip)
			}
		}
		if len(ips) > 0 && !all {
			break
		}
	}
	if len(ips) > 0 {
		return ips, nil
	}
	return nil, failed
}

// refresh returns the time to the next query after one that was answered.
func refresh(d *config.DNS) time.Duration {
	pause := max(d.Refresh, time.Millisecond)
	if d.Jitter > 0 {
		pause += rand.N(d.Jitter)
	}
	return pause
}

// afterFailure returns the time to the next query after so many in a row without an answer: random,
// up to a bound that doubles each time, if dns_failure_refresh_rate is set.
func afterFailure(d *config.DNS, failures int) time.Duration {
	if d.FailureBase <= 0 {
		return refresh(d)
	}
	bound := d.FailureBase
	for range min(failures-1, 30) {
		bound = min(2*bound, max(d.FailureMax, d.FailureBase))
	}
	return max(rand.N(bound), time.Millisecond)
}

// install makes hosts of the addresses of a target. Hosts that stay keep their state. mu is held.
func (c *Cluster) install(t *target, ips []netip.Addr) (changed bool) {
	if c.Config.Discovery == config.LogicalDNS {
		return c.installLogical(t, ips)
	}
	hosts := make([]*Host, 0, len(ips))
	old := make(map[netip.Addr]*Host, len(t.hosts))
	for _, h := range t.hosts {
		old[h.address.Load().IP] = h
	}
	for _, ip := range ips {
		h := old[ip]
		if h == nil {
			h = c.addHost(t, addressOf(ip, t.endpoint.Address.Port))
			changed = true
		} else if h.mark(0, PendingRemoval) {
			changed = true
		}
		delete(old, ip)
		hosts = append(hosts, h)
	}
	for _, h := range t.hosts {
		if old[h.address.Load().IP] != h {
			continue
		}
		if h.check != nil && !c.Config.IgnoreHealthOnRemoval && h.Flags()&(FailedActiveCheck|FailedByConfig) == 0 {
			// Active checks are trusted more than the DNS is.
			h.mark(PendingRemoval, 0)
			hosts = append(hosts, h)
			continue
		}
		c.leave(h)
		changed = true
	}
	t.hosts = hosts
	return changed
}

// installLogical has new connections go to the first of the addresses, of which there is
// one at least. The host stays what it is, and its connections where they are.
func (c *Cluster) installLogical(t *target, ips []netip.Addr) (changed bool) {
	a := addressOf(ips[0], t.endpoint.Address.Port)
	if len(t.hosts) == 0 {
		t.hosts = []*Host{c.addHost(t, a)}
		return true
	}
	if h := t.hosts[0]; *h.address.Load() != *a {
		h.address.Store(a)
		return true
	}
	return false
}

// addHost makes a host and begins to check it. mu is held.
func (c *Cluster) addHost(t *target, a *message.Address) *Host {
	h := c.newHost(t)
	h.address.Store(a)
	c.join(h)
	c.startCheck(h)
	return h
}

// leave ends what goes on for a host that is no longer among those of its target. Its pool is
// closed when no pick returns it any more. mu is held.
func (c *Cluster) leave(h *Host) {
	c.stopCheck(h)
	if c.outlier != nil {
		c.outlier.leave(h)
	}
	c.leaving = append(c.leaving, h)
}

// remove takes a host out that had gone from the DNS already. mu is held.
func (c *Cluster) remove(h *Host) {
	for _, t := range c.targets {
		if i := slices.Index(t.hosts, h); i >= 0 {
			t.hosts = slices.Delete(slices.Clone(t.hosts), i, i+1)
			c.leave(h)
			c.Stats.MembershipChange.Inc()
			c.gather()
			return
		}
	}
}
