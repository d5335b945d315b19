package cluster

import (
	"sync"
	"sync/atomic"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/mesh/config"
)

// A table is the Maglev table of a priority: of its healthy hosts, as Envoy has it, or of all of
// them in panic. It is built when it is first needed, or before that in the background.
//
// maglev.Balancer with Rebuild does the same for one set of hosts that are healthy or
// not. It knows neither priorities nor excluded hosts, never uses draining hosts, not even in
// panic, and builds a table at once, which for a hundred clusters takes longer than a
// program may take to start.
type table struct {
	hosts      []*Host
	localities []uint32  // the weight of each one's locality; nil: they have none
	shares     []float64 // of each host, if load is bounded

	slots    atomic.Pointer[maglev.Table]
	building sync.Mutex
}

// newTable returns a table of hosts that are in the order of their localities, those of a locality
// beside each other.
func newTable(c *config.Cluster, hosts []*Host, weightOf func(*Host) uint32) *table {
	t := &table{hosts: hosts}
	if weightOf != nil {
		// Envoy leaves hosts out whose locality has no weight.
		t.hosts = nil
		for _, h := range hosts {
			if w := weightOf(h); w > 0 {
				t.hosts = append(t.hosts, h)
				t.localities = append(t.localities, w)
			}
		}
	}
	if c.BalanceFactor > 0 {
		t.shares = t.normalised()
	}
	return t
}

// normalised returns what share of the weights each host has: of its locality's, times that
// of the locality among all that have hosts.
func (t *table) normalised() []float64 {
	sums := make(map[locality]uint64)
	total := uint64(0)
	for i, h := range t.hosts {
		l := t.localityOf(h)
		if _, ok := sums[l]; !ok && t.localities != nil {
			total += uint64(t.localities[i])
		}
		sums[l] += uint64(h.Weight)
	}
	shares := make([]float64, len(t.hosts))
	for i, h := range t.hosts {
		part := 1.0
		if t.localities != nil {
			part = float64(t.localities[i]) / float64(total)
		}
		shares[i] = float64(h.Weight) * part / float64(sums[t.localityOf(h)])
	}
	return shares
}

func (t *table) localityOf(h *Host) locality {
	if t.localities == nil {
		return locality{}
	}
	return localityOf(h)
}

// find returns the host for a hash as an index into t.hosts, -1 if there is none.
func (t *table) find(hash uint64) int {
	slots := t.slots.Load()
	if slots == nil {
		if len(t.hosts) < 2 {
			return len(t.hosts) - 1 // one host has all slots: no need for them
		}
		slots = t.build(new(maglev.Builder))
	}
	return slots.Lookup(hash)
}

// ready returns whether find need not build anything.
func (t *table) ready() bool { return len(t.hosts) < 2 || t.slots.Load() != nil }

// build builds the slots unless they are there. Whoever comes meanwhile waits.
func (t *table) build(b *maglev.Builder) *maglev.Table {
	t.building.Lock()
	defer t.building.Unlock()
	if slots := t.slots.Load(); slots != nil {
		return slots
	}
	names, hash := keys(t.hosts)
	opts := maglev.Options{TableSize: int(t.hosts[0].cluster.Config.Maglev.TableSize), Hash: hash}
	backends := make([]maglev.Backend, len(t.hosts))
	if t.localities != nil {
		opts.LocalityWeights = make(map[string]uint32)
	}
	for i, h := range t.hosts {
		backends[i] = maglev.Backend{Name: names[i], Weight: h.Weight}
		if t.localities != nil {
			l := localityOf(h)
			name := l.region + "\x00" + l.zone + "\x00" + l.subZone
			backends[i].Locality = name
			opts.LocalityWeights[name] = t.localities[i]
		}
	}
	slots, err := b.Build(backends, opts)
	if err != nil {
		// New has seen that the size is usable, and names are unique.
		panic(err)
	}
	t.slots.Store(slots)
	return slots
}

// entries returns how many slots a host has at least and at most. A single host counts as one.
func (t *table) entries() (least, most int) {
	slots := t.slots.Load()
	if slots == nil {
		n := min(len(t.hosts), 1)
		return n, n
	}
	least = slots.Size()
	for i := range t.hosts {
		n := slots.Slots(i)
		least, most = min(least, n), max(most, n)
	}
	return least, most
}
