package cluster

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/mesh/config"
)

// A snapshot is what picks read: the hosts as they were at a moment, and how to choose among them.
// It does not change, but for tables that are built when they are needed, and turns that are taken.
type snapshot struct {
	load         load
	availability []availability
	only         int // the priority whose healthy hosts get everything, -1: there are several
	levels       []level
}

// A level is a priority. Of its hosts either table is there, or pools.
type level struct {
	panic bool
	table *table

	all, healthy, degraded *pool
}

// A pool is hosts to choose from, and, if localities have weights, a pool for each of them.
type pool struct {
	hosts []*Host
	turns *stride // of the hosts

	localities []*pool
	choose     *stride // of the localities; nil: hosts are chosen from all of them

	oldest  time.Duration // when the first of the hosts came up
	warming time.Duration // until when some are in slow start, since the epoch of the cluster
}

type locality struct{ region, zone, subZone string }

func localityOf(h *Host) locality { return locality{h.Region, h.Zone, h.SubZone} }

func (l locality) compare(m locality) int {
	return cmp.Or(cmp.Compare(l.region, m.region), cmp.Compare(l.zone, m.zone), cmp.Compare(l.subZone, m.subZone))
}

// newSnapshot returns a snapshot of the hosts. Tables of the one before it are used again where
// they are of the same hosts. Cluster.mu is held.
func (c *Cluster) newSnapshot(before *snapshot) *snapshot {
	s := &snapshot{only: -1, levels: make([]level, len(c.hosts)), availability: make([]availability, len(c.hosts))}
	for p, hosts := range c.hosts {
		s.availability[p] = c.availability(hosts)
	}
	s.load = newLoad(s.availability, c.Config.Overprovisioning, uint32(c.Config.PanicThreshold))
	for p, hosts := range c.hosts {
		if s.load.healthy[p] == 100 {
			s.only = p
		}
		l := &s.levels[p]
		l.panic = s.load.panic[p]
		if c.Config.Policy != config.MaglevPolicy {
			c.fillPools(l, hosts)
			continue
		}
		l.table = c.newTable(p, l.panic)
		for _, old := range []*snapshot{before, c.current.Load()} {
			if old != nil && slices.Equal(old.levels[p].table.hosts, l.table.hosts) {
				l.table = old.levels[p].table
			}
		}
	}
	return s
}

func (c *Cluster) availability(hosts []*Host) availability {
	a := availability{hosts: len(hosts)}
	healthy, degraded, counted := 0, 0, 0
	for _, h := range hosts {
		weight := 1
		if c.Config.WeightedPriorityHealth {
			weight = int(h.Weight)
		}
		f := h.Flags()
		if !f.excluded() {
			counted++
			a.total += weight
		}
		switch {
		case f.Healthy():
			healthy++
			a.healthy += weight
		case f.Degraded():
			degraded++
			a.degraded += weight
		}
	}
	if counted > 0 {
		a.available = 100*float64(healthy)/float64(counted) + 100*float64(degraded)/float64(counted)
	}
	return a
}

// newTable returns the table of a priority: degraded hosts are never in it, and get nothing.
func (c *Cluster) newTable(p int, panicking bool) *table {
	hosts := c.hosts[p]
	if !panicking {
		hosts = only(hosts, Flags.Healthy)
	}
	if !c.Config.LocalityWeights {
		return newTable(c.Config, hosts, nil)
	}
	hosts = slices.Clone(hosts)
	slices.SortStableFunc(hosts, func(x, y *Host) int { return localityOf(x).compare(localityOf(y)) })
	return newTable(c.Config, hosts, func(h *Host) uint32 { return c.weights[p][localityOf(h)] })
}

func only(hosts []*Host, want func(Flags) bool) []*Host {
	var some []*Host
	for _, h := range hosts {
		if want(h.Flags()) {
			some = append(some, h)
		}
	}
	return some
}

func (c *Cluster) fillPools(l *level, hosts []*Host) {
	l.all = c.newPool(hosts)
	l.healthy = c.newPool(only(hosts, Flags.Healthy))
	l.degraded = c.newPool(only(hosts, Flags.Degraded))
	if c.Config.LocalityWeights && len(hosts) > 0 {
		c.splitByLocality(l.healthy, hosts)
		c.splitByLocality(l.degraded, hosts)
	}
}

func (c *Cluster) newPool(hosts []*Host) *pool {
	p := &pool{hosts: hosts}
	if len(hosts) == 0 {
		return p
	}
	weights := make([]uint32, len(hosts))
	for i, h := range hosts {
		weights[i] = h.Weight
	}
	p.turns = newStride(weights, rand.Uint64())
	if slow := c.Config.SlowStart; slow != nil {
		p.oldest = math.MaxInt64
		for _, h := range hosts {
			up := time.Duration(h.up.Load())
			p.oldest = min(p.oldest, up)
			p.warming = max(p.warming, up+slow.Window)
		}
		if p.warming == p.oldest+slow.Window {
			p.warming = 0 // all came at once: none is behind another
		}
	}
	return p
}

// splitByLocality makes a pool of each locality. Its weight counts as far as it has hosts in
// the pool: times their share of its hosts, times the overprovisioning factor, at most 1.
func (c *Cluster) splitByLocality(p *pool, all []*Host) {
	if len(p.hosts) == 0 {
		return
	}
	totals, some := make(map[locality]int), make(map[locality][]*Host)
	var order []locality
	for _, h := range all {
		if !h.Flags().excluded() {
			totals[localityOf(h)]++
		}
	}
	for _, h := range p.hosts {
		l := localityOf(h)
		if some[l] == nil {
			order = append(order, l)
		}
		some[l] = append(some[l], h)
	}
	configured := c.weights[all[0].Priority]
	var weights []float64
	for _, l := range order {
		if totals[l] == 0 {
			continue
		}
		share := float64(len(some[l])) / float64(totals[l])
		if w := float64(configured[l]) * min(1, float64(c.Config.Overprovisioning)/100*share); w > 0 {
			weights = append(weights, w)
			p.localities = append(p.localities, c.newPool(some[l]))
		}
	}
	if len(weights) > 0 {
		p.choose = newStride(scaled(weights), rand.Uint64())
	}
}

// ready returns whether no pick has to wait for a table.
func (s *snapshot) ready() bool {
	for p := range s.levels {
		if s.needs(p) && !s.levels[p].table.ready() {
			return false
		}
	}
	return true
}

// needs returns whether a priority's table is used by picks.
func (s *snapshot) needs(p int) bool {
	return s.levels[p].table != nil && s.load.healthy[p]+s.load.degraded[p] > 0
}

func (s *snapshot) build(b *maglev.Builder) {
	for p := range s.levels {
		if s.needs(p) && !s.levels[p].table.ready() {
			s.levels[p].table.build(b)
		}
	}
}
