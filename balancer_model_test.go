package maglev_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// A modelled is a backend as the model sees it.
type modelled struct {
	member            maglev.Member[*int]
	healthy, draining bool
	told              bool // of the last time that it drained
	picks             uint64
}

// A balancerModel does obviously and slowly what a Balancer does: it has plain
// lists, and a table from New for each question.
type balancerModel struct {
	opts    maglev.BalancerOptions
	set     []*modelled
	left    []*modelled
	leases  []modelledLease
	drained []string // what OnDrained is to have told since it was looked at
}

type modelledLease struct {
	of    *modelled
	lease *maglev.Lease[*int]
}

func (m *balancerModel) inFlight(of *modelled) (n int) {
	for _, l := range m.leases {
		if l.of == of {
			n++
		}
	}
	return n
}

func (m *balancerModel) panics() bool {
	healthy, staying := 0, 0
	for _, of := range m.set {
		if !of.draining {
			staying++
			if of.healthy {
				healthy++
			}
		}
	}
	share := float64(healthy) / float64(max(staying, 1))
	return staying > 0 && share < float64(*m.opts.PanicThreshold)/100 && 140*healthy/staying < 100
}

func (m *balancerModel) used(of *modelled) bool {
	return !of.draining && (of.healthy || m.panics())
}

// tabled returns the backends in the table.
func (m *balancerModel) tabled() []*modelled {
	if m.opts.Unhealthy == maglev.Spill {
		return m.set
	}
	return slices.DeleteFunc(slices.Clone(m.set), func(of *modelled) bool { return !m.used(of) })
}

// pick returns who gets a request, nil for nobody, if load is bounded or not.
func (m *balancerModel) pick(t *testing.T, hash uint64, bounded bool, tried []string) *modelled {
	tabled := m.tabled()
	var backends []maglev.Backend
	var sum float64
	for _, of := range tabled {
		backends = append(backends, of.member.Backend)
		if m.used(of) {
			sum += float64(max(1, of.member.Weight))
		}
	}
	var least, again *modelled
	load := math.Inf(1)
	for i := range mustNew(t, backends, m.opts.Table).Candidates(hash) {
		of := tabled[i]
		if !m.used(of) {
			continue
		}
		if slices.Contains(tried, of.member.Name) {
			if again == nil {
				again = of
			}
			continue
		}
		over := 0.0
		if bounded {
			over = envoyOverload(uint32(len(m.leases)), uint32(m.inFlight(of)), uint32(m.opts.BalanceFactor),
				uint32(m.opts.MinInFlight), float64(max(1, of.member.Weight))/sum)
		}
		if over <= 1 {
			return of
		}
		if over < load {
			least, load = of, over
		}
	}
	if least != nil {
		return least
	}
	return again
}

// settle tells of those that are draining, or have left, and have become empty.
func (m *balancerModel) settle(all []*modelled) {
	for _, of := range all {
		if !of.told && (of.draining || slices.Contains(m.left, of)) && m.inFlight(of) == 0 {
			of.told = true
			m.drained = append(m.drained, of.member.Name)
		}
	}
	m.left = slices.DeleteFunc(m.left, func(of *modelled) bool { return of.told })
}

func (m *balancerModel) update(members []maglev.Member[*int]) {
	old := m.set
	m.set = nil
	for _, member := range members {
		of := &modelled{member: member, healthy: true}
		if i := slices.IndexFunc(old, func(of *modelled) bool { return of.member.Name == member.Name }); i >= 0 {
			of = old[i]
			of.member.Backend = member.Backend
		}
		m.set = append(m.set, of)
	}
	for _, of := range old {
		if !slices.Contains(m.set, of) {
			of.told = false // of its removal
			m.left = append(m.left, of)
		}
	}
	m.settle(m.left)
}

func (m *balancerModel) of(name string) *modelled {
	if i := slices.IndexFunc(m.set, func(of *modelled) bool { return of.member.Name == name }); i >= 0 {
		return m.set[i]
	}
	return nil
}

// checkBalancer does operations, three bytes each, on a Balancer and on the model,
// and compares what they say.
func checkBalancer(t *testing.T, options, ops []byte) {
	options = append(slices.Clone(options), make([]byte, 4)...)
	model := &balancerModel{opts: maglev.BalancerOptions{
		Table:          maglev.Options{TableSize: 31},
		Unhealthy:      maglev.Unhealthy(options[0] % 2),
		PanicThreshold: new(int(options[1]) % 101),
		BalanceFactor:  100 + int(options[2]),
		MinInFlight:    1 + int(options[3])%8,
	}}
	bounded := options[0]&2 != 0
	opts := model.opts
	if !bounded {
		opts.BalanceFactor = 0
	}
	b, err := maglev.NewBalancer[*int](opts)
	require.NoError(t, err)
	var told []string
	b.OnDrained(func(m maglev.Member[*int]) { told = append(told, m.Name) })

	for len(ops) >= 3 {
		op, x, y := ops[0]%16, ops[1], ops[2]
		ops = ops[3:]
		name := fmt.Sprintf("b%d", x%12)
		hash := maglev.XXHash(string([]byte{x, y}), 0)
		switch op {
		case 0, 1: // the set of the bits of x and y
			var members []maglev.Member[*int]
			for i := range 12 {
				if (int(y)<<8|int(x))>>i&1 != 0 {
					weight := uint32(0)
					if op == 1 {
						weight = uint32(i) % 4
					}
					members = append(members, maglev.Member[*int]{
						Backend: maglev.Backend{Name: fmt.Sprintf("b%d", i), Weight: weight}, Value: new(i)})
				}
			}
			model.update(members)
			if y&16 != 0 {
				slices.Reverse(members)
			}
			require.NoError(t, b.Update(members))
			slices.Sort(model.drained) // within one Update
			slices.Sort(told)
		case 2, 3, 4:
			of, healthy := model.of(name), y%2 == 0
			err := b.SetHealth(name, healthy)
			if of == nil {
				require.ErrorIs(t, err, maglev.ErrUnknownBackend)
				break
			}
			require.NoError(t, err)
			of.healthy = healthy
		case 5, 6:
			of, draining := model.of(name), y%2 == 0
			err := b.SetDraining(name, draining)
			if of == nil {
				require.ErrorIs(t, err, maglev.ErrUnknownBackend)
				break
			}
			require.NoError(t, err)
			if of.draining != draining {
				of.draining, of.told = draining, false
				model.settle([]*modelled{of})
			}
		case 7, 8, 9:
			if len(model.leases) > 0 {
				i := int(x) % len(model.leases)
				l := model.leases[i]
				model.leases = slices.Delete(model.leases, i, i+1)
				model.settle([]*modelled{l.of})
				l.lease.Release()
				l.lease.Release()
			}
		default:
			var tried []string
			for i := range int(op) % 3 {
				tried = append(tried, fmt.Sprintf("b%d", int(y)%12+i))
			}
			awaitModel(t, b, model)
			want := model.pick(t, hash, bounded, tried)
			lease, ok := b.Acquire(hash, tried...)
			require.Equal(t, want != nil, ok)
			if ok {
				require.Equal(t, want.member.Name, lease.Name)
				require.Same(t, want.member.Value, lease.Value)
				want.picks++
				model.leases = append(model.leases, modelledLease{want, &lease})
			}
		}
		awaitModel(t, b, model)
		compare(t, b, model, hash, bounded)
		require.Equal(t, model.drained, told)
		model.drained, told = nil, nil
	}
}

// awaitModel waits until the table is that of the backends it is to have.
func awaitModel(t *testing.T, b *maglev.Balancer[*int], model *balancerModel) {
	if model.opts.Unhealthy == maglev.Spill {
		return
	}
	var names []string
	for _, of := range model.tabled() {
		names = append(names, of.member.Name)
	}
	slices.Sort(names)
	awaitNames(t, b, names)
}

func compare(t *testing.T, b *maglev.Balancer[*int], model *balancerModel, hash uint64, bounded bool) {
	want := model.pick(t, hash, false, nil)
	value, ok := b.Pick(hash)
	require.Equal(t, want != nil, ok)
	if ok {
		require.Same(t, want.member.Value, value)
	}
	next := model.pick(t, hash, bounded, nil)
	for _, c := range b.Candidates(hash) {
		require.Equal(t, next != nil && next.member.Name == c.Name, c.Picked)
	}
	stats := b.Stats()
	require.Equal(t, model.panics(), stats.Panic)
	require.NoError(t, stats.Err)
	require.Len(t, stats.Backends, len(model.set)+len(model.left))
	for _, m := range stats.Backends[:len(model.set)] {
		of := model.of(m.Name)
		state := maglev.StateReady
		if of.draining {
			state = maglev.StateDraining
		} else if !of.healthy {
			state = maglev.StateUnhealthy
		}
		require.Equal(t, state, m.State)
		require.Equal(t, model.inFlight(of), m.InFlight)
		require.Equal(t, of.picks, m.Picks)
	}
	for i, m := range stats.Backends[len(model.set):] {
		require.True(t, m.Left)
		require.Equal(t, model.inFlight(model.left[i]) > 0, m.InFlight > 0)
	}
}

func TestRandomOperationsAgreeWithTheModel(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	for range 60 {
		options, ops := make([]byte, 4), make([]byte, 3*150)
		for i := range options {
			options[i] = byte(rng.Uint32())
		}
		for i := range ops {
			ops[i] = byte(rng.Uint32())
		}
		copy(ops, []byte{1, 0xFF, 0x0F})
		checkBalancer(t, options, ops)
	}
}

func FuzzBalancer(f *testing.F) {
	f.Add([]byte{0, 50, 25, 7}, []byte("\x01\xff\x0f\x0a\x01\x02\x02\x03\x01\x0b\x04\x05\x05\x03\x00\x07\x00\x00"))
	f.Add([]byte{3, 50, 0, 0}, []byte("\x01\xff\x0f\x0a\x01\x02\x02\x03\x01\x0b\x04\x05\x05\x03\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, options, ops []byte) {
		checkBalancer(t, options, ops[:min(len(ops), 300)])
	})
}
