package cluster

import "math"

// bounded returns the host that a request goes to whose hash is that of host i: i itself unless
// it is beyond its bound, hash_balance_factor. Then it is the first that is not, of all
// hosts in a random order that depends on the hash alone, or else the least loaded one. Hosts are
// indexes into the table's.
//
// This is Envoy's, step by step: consistent hashing with bounded loads (arXiv:1608.01350) with
// random jumps (arXiv:1908.08762).
func (c *Cluster) bounded(t *table, i int, hash uint64) int {
	total := c.Stats.ActiveRequests.Value()
	least := c.overload(t, i, total)
	if least <= 1 {
		return i
	}
	best := i
	n := uint32(len(t.hosts))
	order := make([]uint32, n)
	for k := range order {
		order[k] = uint32(k)
	}
	random := newTwister(uint32(hash))
	for k := range n {
		j := k + random.below(n-k)
		order[k], order[j] = order[j], order[k]
		other := int(order[k])
		if other == i {
			continue
		}
		switch overload := c.overload(t, other, total); {
		case overload <= 1:
			return other
		case overload < least:
			best, least = other, overload
		}
	}
	return best
}

// overload returns the active requests of a host, by how many it should have at most.
func (c *Cluster) overload(t *table, i int, total int64) float64 {
	slots := (uint32(total+1)*c.Config.BalanceFactor + 99) / 100
	most := max(1, uint32(math.Ceil(float64(slots)*t.shares[i])))
	return float64(t.hosts[i].Stats.ActiveRequests.Value()) / float64(most)
}

// A twister is the generator MT19937 of Matsumoto and Nishimura, 1998: std::mt19937.
type twister struct {
	state [624]uint32
	next  int
}

func newTwister(seed uint32) *twister {
	t := &twister{next: 624}
	t.state[0] = seed
	for i := uint32(1); i < 624; i++ {
		before := t.state[i-1]
		t.state[i] = 1812433253*(before^before>>30) + i
	}
	return t
}

func (t *twister) draw() uint32 {
	if t.next == 624 {
		t.twist()
	}
	x := t.state[t.next]
	t.next++
	x ^= x >> 11
	x ^= x << 7 & 0x9d2c5680
	x ^= x << 15 & 0xefc60000
	return x ^ x>>18
}

func (t *twister) twist() {
	for i := range t.state {
		x := t.state[i]&0x80000000 | t.state[(i+1)%624]&0x7fffffff
		t.state[i] = t.state[(i+397)%624] ^ x>>1 ^ x&1*0x9908b0df
	}
	t.next = 0
}

// below returns a number from 0 to n-1.
func (t *twister) below(n uint32) uint32 {
	for {
		if x := uint32(uint64(t.draw()) / (1 << 32 / uint64(n))); x < n {
			return x
		}
	}
}
