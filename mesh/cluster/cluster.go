package cluster

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// A Cluster is a set of hosts. Any number of goroutines may use it.
type Cluster struct {
	Config *config.Cluster
	Stats  *Stats

	set      *Set
	epoch    time.Time // what times are counted from
	current  atomic.Pointer[snapshot]
	breakers [2]Breakers
	weights  []map[locality]uint32 // of localities, by priority
	ready    chan struct{}         // closed when names have been resolved and hosts checked, once

	checks  *checkStats  // nil: no active checks
	maglev  *maglevStats // nil: another policy
	outlier *outlier     // nil: no outlier detection

	mu      sync.Mutex
	targets []*target
	hosts   [][]*Host // by priority
	newest  *snapshot // the one to be placed next, or that is in place
	leaving []*Host   // not in newest, and still in current
	waiting int       // for how many first answers and first checks ready waits
	started bool
	closed  bool
	tasks   sync.WaitGroup // checks and DNS queries under way
	timers  map[*time.Timer]struct{}
}

func newCluster(s *Set, c *config.Cluster) *Cluster {
	name := c.Name
	if c.AltStatName != "" {
		name = c.AltStatName
	}
	scope := s.opts.Stats.Cluster(name)
	cluster := &Cluster{
		Config: c,
		Stats:  stats.Group[Stats](scope),
		set:    s,
		epoch:  time.Now(),
		ready:  make(chan struct{}),
		timers: make(map[*time.Timer]struct{}),
	}
	for i, which := range [...]string{config.DefaultPriority: "default", config.HighPriority: "high"} {
		cluster.breakers[i].init(&c.Breakers[i], scope.Scope("circuit_breakers").Scope(which))
	}
	if len(c.HealthChecks) > 0 {
		cluster.checks = stats.Group[checkStats](scope.Scope("health_check"))
	}
	if c.Policy == config.MaglevPolicy {
		cluster.maglev = stats.Group[maglevStats](scope.Scope("maglev_lb"))
	}
	if c.Outlier != nil {
		cluster.outlier = newOutlier(cluster, scope.Scope("outlier_detection"))
	}
	cluster.addTargets()
	cluster.mu.Lock()
	defer cluster.mu.Unlock()
	cluster.gather()
	for _, hosts := range cluster.hosts {
		if len(hosts) > 0 {
			cluster.Stats.MembershipChange.Inc()
		}
	}
	cluster.publish()
	return cluster
}

// Breakers returns the circuit breakers for requests of a priority.
func (c *Cluster) Breakers(p config.Priority) *Breakers { return &c.breakers[p] }

// A target is a configured endpoint, and the hosts it stands for: one if its address is an
// IP address or a pipe, else those that its name is resolved to.
type target struct {
	priority int
	locality *config.Locality
	endpoint *config.Endpoint
	fixed    bool // it needs no resolver
	hosts    []*Host
}

// addTargets makes the targets, and the hosts of those that need no resolver.
func (c *Cluster) addTargets() {
	priorities := c.Config.Priorities
	c.hosts = make([][]*Host, max(1, len(priorities)))
	c.weights = make([]map[locality]uint32, len(c.hosts))
	for p := range priorities {
		c.weights[p] = make(map[locality]uint32)
		for i := range priorities[p].Localities {
			l := &priorities[p].Localities[i]
			c.weights[p][locality{l.Region, l.Zone, l.SubZone}] = l.Weight
			for j := range l.Endpoints {
				t := &target{priority: p, locality: l, endpoint: &l.Endpoints[j]}
				c.targets = append(c.targets, t)
				if a := fixedAddress(&t.endpoint.Address); a != nil {
					h := c.newHost(t)
					h.address.Store(a)
					c.join(h)
					t.hosts, t.fixed = []*Host{h}, true
				}
			}
		}
	}
}

// newHost returns a host of a target; its address and what depends on that is still missing.
func (c *Cluster) newHost(t *target) *Host {
	e := t.endpoint
	h := &Host{
		Hostname: e.Hostname,
		Region:   t.locality.Region,
		Zone:     t.locality.Zone,
		SubZone:  t.locality.SubZone,
		Priority: t.priority,
		Weight:   max(1, e.Weight),
		Config:   e,
		cluster:  c,
	}
	if h.Hostname == "" && c.Config.Discovery != config.Static {
		h.Hostname = e.Address.Host
	}
	flags := configured[e.Health]
	if len(c.Config.HealthChecks) > 0 && !e.NoActiveCheck {
		h.check = newCheck(h, c.Config.HealthChecks[0])
		flags |= FailedActiveCheck
		if c.Config.IgnoreNewHostsUntilFirstCheck {
			flags |= PendingActiveCheck
		}
	}
	h.flags.Store(uint32(flags))
	h.up.Store(int64(c.now()))
	c.Stats.DefaultSocket.Inc()
	return h
}

// join makes what a host has while it belongs to the cluster.
func (c *Cluster) join(h *Host) {
	if c.outlier != nil {
		h.monitor = &monitor{host: h, outlier: c.outlier}
		h.monitor.forget()
	}
	if c.set.opts.NewPool != nil {
		h.Pool = c.set.opts.NewPool(c, h)
	}
}

// start begins what the Set's Start says.
func (c *Cluster) start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started || c.closed {
		return
	}
	c.started = true
	c.waiting++ // until all of this is begun
	for _, t := range c.targets {
		if !t.fixed {
			c.waiting++
			c.task(func() { c.resolve(t) })
			continue
		}
		if c.Config.Discovery != config.Static {
			c.Stats.UpdateAttempt.Inc()
			c.Stats.UpdateSuccess.Inc()
		}
		for _, h := range t.hosts {
			c.startCheck(h)
		}
	}
	if c.outlier != nil {
		c.after(c.Config.Outlier.Interval, c.outlier.sweep)
	}
	c.arrived()
}

// arrived counts down what ready waits for. mu is held.
func (c *Cluster) arrived() {
	if c.waiting--; c.waiting > 0 {
		return
	}
	select {
	case <-c.ready:
	default:
		close(c.ready)
		if !c.current.Load().ready() {
			c.set.background.add(c)
		}
	}
}

func (c *Cluster) isReady() bool {
	select {
	case <-c.ready:
		return true
	default:
		return false
	}
}

// gather puts the hosts of the targets together. mu is held.
func (c *Cluster) gather() {
	c.hosts = make([][]*Host, len(c.hosts))
	for _, t := range c.targets {
		c.hosts[t.priority] = append(c.hosts[t.priority], t.hosts...)
	}
}

// change changes states of hosts; what changes them returns whether that makes a difference. Picks
// go by it at once, or when the table that it takes has been built.
func (c *Cluster) change(change func() (changed bool)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed && change() {
		c.publish()
	}
}

// publish makes a snapshot of the hosts. It is placed as soon as no pick would have to wait
// for a table of it, and at once if the one in place has none either. mu is held.
func (c *Cluster) publish() {
	s := c.newSnapshot(c.newest)
	c.newest = s
	c.countMembers()
	now := c.current.Load()
	switch {
	case s.ready():
		c.place(s)
	case now == nil || !now.ready():
		c.place(s)
		if c.isReady() {
			c.set.background.add(c)
		}
	default:
		c.set.background.add(c)
	}
}

// buildNewest builds the tables of the newest snapshot and places it.
func (c *Cluster) buildNewest(b *maglev.Builder) {
	for {
		c.mu.Lock()
		s := c.newest
		c.mu.Unlock()
		s.build(b)
		c.mu.Lock()
		if c.newest == s {
			c.place(s)
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
	}
}

// place makes the newest snapshot the one that picks read. mu is held.
func (c *Cluster) place(s *snapshot) {
	c.current.Store(s)
	for _, h := range c.leaving {
		if h.Pool != nil {
			h.Pool.Close()
		}
	}
	c.leaving = nil
	if c.maglev != nil {
		for p := range s.levels {
			if t := s.levels[p].table; t.ready() {
				least, most := t.entries()
				c.maglev.Least.Set(int64(least))
				c.maglev.Most.Set(int64(most))
			}
		}
	}
}

func (c *Cluster) countMembers() {
	var total, healthy, degraded, excluded int64
	for _, hosts := range c.hosts {
		for _, h := range hosts {
			f := h.Flags()
			total++
			switch {
			case f.Healthy():
				healthy++
			case f.Degraded():
				degraded++
			}
			if f.excluded() {
				excluded++
			}
		}
	}
	c.Stats.MembershipTotal.Set(total)
	c.Stats.MembershipHealthy.Set(healthy)
	c.Stats.MembershipDegraded.Set(degraded)
	c.Stats.MembershipExcluded.Set(excluded)
}

// task runs f in a goroutine that close waits for. mu is held.
func (c *Cluster) task(f func()) {
	if !c.closed {
		c.tasks.Go(f)
	}
}

// after runs f after a time, unless the cluster is closed by then. mu is held.
func (c *Cluster) after(d time.Duration, f func()) *time.Timer {
	if c.closed {
		return nil
	}
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		c.mu.Lock()
		_, wanted := c.timers[t]
		delete(c.timers, t)
		if wanted {
			c.task(f)
		}
		c.mu.Unlock()
	})
	c.timers[t] = struct{}{}
	return t
}

// stop stops a timer of after. mu is held.
func (c *Cluster) stop(t *time.Timer) {
	if t != nil {
		t.Stop()
		delete(c.timers, t)
	}
}

// close ends everything and waits for it.
func (c *Cluster) close() {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	c.closed = true
	for t := range c.timers {
		t.Stop()
	}
	clear(c.timers)
	c.mu.Unlock()
	c.tasks.Wait()

	c.mu.Lock()
	defer c.mu.Unlock()
	for _, hosts := range append(c.hosts, c.leaving) {
		for _, h := range hosts {
			if h.Pool != nil {
				h.Pool.Close()
			}
		}
	}
	c.leaving = nil
}
