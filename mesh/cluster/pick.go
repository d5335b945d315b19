package cluster

import (
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
)

// A Need says for what request a host is picked.
type Need struct {
	// Hash is the request's, from the route's hash policies, if HasHash. MAGLEV alone reads it.
	Hash    uint64
	HasHash bool
	// Random is what picks are random by. It must differ from request to request.
	Random uint64

	// Tried are hosts that are not to be picked again, those of the attempts before this one, and
	// OmitCanaries says that canaries are not to be picked: a retry policy's host
	// predicates. Attempts is how often another host is looked for, that is
	// host_selection_retry_max_attempts; if all are rejected, the last is picked after all. For
	// the first attempt of a request leave them empty: Envoy does not reject then.
	Tried        []*Host
	OmitCanaries bool
	Attempts     uint32

	// TriedPriorities has a bit for each priority that the retry policy's
	// previous_priorities leaves out. As in Envoy, MAGLEV does not read it.
	TriedPriorities uint64
}

// rejects returns whether a host is not to be picked.
func (n *Need) rejects(h *Host) bool {
	return n.OmitCanaries && h.Config.Canary || len(n.Tried) > 0 && slices.Contains(n.Tried, h)
}

// Pick returns the host that a request is to go to, or nil: there is no healthy one. It takes no
// lock and does not allocate, unless it meets a Maglev table that nobody has built yet, or hosts
// beyond their hash_balance_factor.
func (c *Cluster) Pick(n *Need) *Host {
	s := c.current.Load()
	if c.Config.Policy == config.MaglevPolicy {
		return c.byHash(s, n)
	}
	random := n.Random
	for attempt := uint32(0); ; attempt++ {
		h := c.byTurns(s, n, random)
		if h == nil || attempt >= n.Attempts || !n.rejects(h) {
			return h
		}
		random = mix(random)
	}
}

// byHash is MAGLEV: slot hash mod M of the table of the priority that the hash chooses.
func (c *Cluster) byHash(s *snapshot, n *Need) *Host {
	hash := n.Hash
	if !n.HasHash {
		hash = n.Random
	}
	p := s.only
	if p < 0 {
		p, _ = s.load.choose(hash)
	}
	l := &s.levels[p]
	if l.panic {
		c.Stats.HealthyPanic.Inc()
	}
	for attempt := uint32(0); ; attempt++ {
		i := l.table.find(hash ^ -uint64(attempt)) // 2^64 - attempt
		if i < 0 {
			return nil
		}
		if l.table.shares != nil {
			i = c.bounded(l.table, i, hash)
		}
		if h := l.table.hosts[i]; attempt >= n.Attempts || !n.rejects(h) {
			return h
		}
	}
}

// byTurns is every other policy.
func (c *Cluster) byTurns(s *snapshot, n *Need, random uint64) *Host {
	load := &s.load
	if n.TriedPriorities != 0 {
		without := s.load.without(n.TriedPriorities, s.availability, c.Config.Overprovisioning)
		load = &without
	}
	priority, degraded := load.choose(random)
	l := &s.levels[priority]
	from := l.healthy
	switch {
	case l.panic:
		c.Stats.HealthyPanic.Inc()
		if c.Config.FailTrafficOnPanic {
			return nil
		}
		from = l.all
	case degraded:
		from = l.degraded
	}
	if from.choose != nil {
		from = from.localities[from.choose.next()]
	}
	if len(from.hosts) == 0 {
		return nil
	}
	random = mix(random)
	switch c.Config.Policy {
	case config.Random:
		return from.hosts[below(random, len(from.hosts))]
	case config.LeastRequest:
		return c.leastRequest(from, random)
	}
	return c.turn(from, random)
}

// turn returns the host whose turn it is. One in slow start does not take all of its turns.
func (c *Cluster) turn(p *pool, random uint64) *Host {
	if p.warming == 0 {
		return p.hosts[p.turns.next()]
	}
	now := c.now()
	if now >= p.warming {
		return p.hosts[p.turns.next()]
	}
	best := c.warmth(now - p.oldest)
	for range 10 * len(p.hosts) {
		h := p.hosts[p.turns.next()]
		if c.warmth(now-time.Duration(h.up.Load())) >= best*fraction(random) {
			return h
		}
		random = mix(random)
	}
	return p.hosts[p.turns.next()]
}

// warmth returns what part of its weight a host has that has been up for a time: Envoy's
// slow_start_config.
func (c *Cluster) warmth(up time.Duration) float64 {
	slow := c.Config.SlowStart
	if up >= slow.Window {
		return 1
	}
	f := float64(max(up, time.Millisecond)) / float64(slow.Window)
	if slow.Aggression != 1 {
		f = math.Pow(f, 1/slow.Aggression)
	}
	return min(1, max(f, slow.MinPercent/100))
}

// leastRequest returns the host with the fewest active requests of some that are drawn. If
// weights differ, or hosts are in slow start, hosts are drawn by weight / (active requests
// + 1): the shares that Envoy's schedule comes to. That looks at all of them.
func (c *Cluster) leastRequest(p *pool, random uint64) *Host {
	now := c.now()
	if p.turns.weights != nil || now < p.warming {
		return c.byLoad(p, now, random)
	}
	var best *Host
	least := int64(math.MaxInt64)
	for range max(c.Config.LeastRequestChoices, 1) {
		h := p.hosts[below(random, len(p.hosts))]
		if active := h.Stats.ActiveRequests.Value(); active < least {
			best, least = h, active
		}
		random = mix(random)
	}
	return best
}

func (c *Cluster) byLoad(p *pool, now time.Duration, random uint64) *Host {
	// Whoever is at the point that has been drawn, of all weights one behind the other: as
	// each comes, it takes the place with its share of the sum so far. Requests end
	// meanwhile, so there is no sum to be computed first.
	var chosen *Host
	sum := 0.0
	for _, h := range p.hosts {
		weight := float64(h.Weight) / float64(max(h.Stats.ActiveRequests.Value(), 0)+1)
		if now < p.warming {
			weight *= c.warmth(now - time.Duration(h.up.Load()))
		}
		sum += weight
		if random = mix(random); fraction(random)*sum < weight {
			chosen = h
		}
	}
	return chosen
}

// mix makes a random number of another one: SplitMix64.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// below makes a number from 0 to n-1 of a random one.
func below(random uint64, n int) int {
	hi, _ := bits.Mul64(random, uint64(n))
	return int(hi)
}

// fraction makes a number from 0 to 1 of a random one.
func fraction(random uint64) float64 { return float64(random>>11) / (1 << 53) }
