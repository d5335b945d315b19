package maglev_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// drains collects what OnDrained tells.
type drains struct {
	sync.Mutex
	names []string
}

func (d *drains) of(b *maglev.Balancer[*int]) {
	b.OnDrained(func(m maglev.Member[*int]) {
		d.Lock()
		defer d.Unlock()
		d.names = append(d.names, m.Name)
	})
}

func (d *drains) take() []string {
	d.Lock()
	defer d.Unlock()
	names := d.names
	d.names = nil
	return names
}

// hold takes a lease of a backend.
func hold(t *testing.T, b *maglev.Balancer[*int], name string) *maglev.Lease[*int] {
	for hash := range uint64(1 << 16) {
		for _, c := range b.Candidates(hash) {
			if c.Picked && c.Name == name {
				lease, ok := b.Acquire(hash)
				require.True(t, ok)
				require.Equal(t, name, lease.Name)
				return &lease
			}
		}
	}
	require.Fail(t, "no key for "+name)
	return nil
}

func requireNoKeys(t *testing.T, b *maglev.Balancer[*int], name string) {
	t.Helper()
	for hash := range uint64(251) {
		lease, ok := b.Acquire(hash)
		require.True(t, ok)
		require.NotEqual(t, name, lease.Name)
		lease.Release()
		value, _ := b.Pick(hash)
		require.Equal(t, lease.Value, value)
	}
}

var small = maglev.BalancerOptions{Table: maglev.Options{TableSize: 251}}

func TestARemovedBackendKeepsItsRequests(t *testing.T) {
	var told drains
	b := balancer(t, 4, small)
	told.of(b)
	one, two := hold(t, b, "10.0.0.3:80"), hold(t, b, "10.0.0.3:80")
	require.NoError(t, b.Update(fleet(3)))
	requireNoKeys(t, b, "10.0.0.3:80")
	left := statsOf(b, "10.0.0.3:80")
	require.True(t, left.Left)
	require.Equal(t, 2, left.InFlight)
	require.Equal(t, maglev.StateDraining, left.State)
	one.Release()
	one.Release()
	require.Empty(t, told.take())
	two.Release()
	require.Equal(t, []string{"10.0.0.3:80"}, told.take())
	two.Release()
	require.Len(t, b.Stats().Backends, 3)
	require.Empty(t, told.take())

	require.NoError(t, b.Update(nil)) // at once, in the order of names
	require.Equal(t, []string{"10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80"}, told.take())
}

func TestAMarkedBackendDrainsAndComesBack(t *testing.T) {
	const name = "10.0.0.1:80"
	var told drains
	b := balancer(t, 4, small)
	told.of(b)
	lease := hold(t, b, name)
	require.NoError(t, b.SetDraining(name, true))
	require.NoError(t, b.SetDraining(name, true))
	require.Equal(t, maglev.StateDraining, statsOf(b, name).State)
	require.False(t, statsOf(b, name).Left)
	requireNoKeys(t, b, name)
	require.Empty(t, told.take())

	require.NoError(t, b.SetDraining(name, false)) // before it is empty
	lease.Release()
	require.Empty(t, told.take())

	for range 3 { // each time; at once if it is empty
		require.NoError(t, b.SetDraining(name, true))
		require.Equal(t, []string{name}, told.take())
		requireNoKeys(t, b, name)
		require.NoError(t, b.SetDraining(name, false))
		hold(t, b, name).Release()
		require.Empty(t, told.take())
	}
	require.ErrorIs(t, b.SetDraining("no", true), maglev.ErrUnknownBackend)
	require.EqualError(t, b.SetHealth("no", true), `maglev: Balancer.SetHealth: unknown backend: "no" is not in the set`)
}

// One that is marked, drained and then removed has gone for good, which is worth
// telling; nothing of it is left.
func TestADrainedBackendThatIsRemoved(t *testing.T) {
	const name = "10.0.0.1:80"
	var told drains
	b := balancer(t, 2, small)
	told.of(b)
	require.NoError(t, b.SetDraining(name, true))
	require.Equal(t, []string{name}, told.take())
	require.NoError(t, b.Update(fleet(1)))
	require.Equal(t, []string{name}, told.take())
	require.Len(t, b.Stats().Backends, 1)

	// Marked and removed before it is empty: told of once.
	require.NoError(t, b.Update(fleet(2)))
	lease := hold(t, b, name)
	require.NoError(t, b.SetDraining(name, true))
	require.NoError(t, b.Update(fleet(1)))
	require.Empty(t, told.take())
	lease.Release()
	require.Equal(t, []string{name}, told.take())
}

// The callback may do anything with the Balancer, and gets the Member of the set.
func TestOnDrainedMayCallBack(t *testing.T) {
	b := balancer(t, 4, small)
	var told []string
	b.OnDrained(func(m maglev.Member[*int]) {
		told = append(told, m.Name)
		require.Equal(t, m.Name, fleet(4)[*m.Value].Name)
		require.EqualValues(t, 1, m.Weight)
		require.NotEmpty(t, b.Stats().Backends)
		require.NotEmpty(t, b.Candidates(1))
		lease, ok := b.Acquire(1)
		require.True(t, ok)
		lease.Release()
		if len(told) == 1 {
			require.NoError(t, b.SetDraining(m.Name, false))
			require.NoError(t, b.SetHealth(m.Name, false))
			require.NoError(t, b.Update(fleet(2))) // tells of two more
		}
	})
	lease := hold(t, b, "10.0.0.3:80")
	require.NoError(t, b.SetDraining("10.0.0.3:80", true))
	require.Empty(t, told)
	lease.Release()
	require.Equal(t, []string{"10.0.0.3:80", "10.0.0.2:80", "10.0.0.3:80"}, told)
	require.Len(t, b.Stats().Backends, 2)
}

func TestReleaseOfOneLeaseFromManyGoroutines(t *testing.T) {
	b := balancer(t, 1, maglev.BalancerOptions{BalanceFactor: 100})
	other, _ := b.Acquire(1)
	lease, _ := b.Acquire(1)
	var all sync.WaitGroup
	for range 16 {
		all.Go(lease.Release)
	}
	all.Wait()
	require.Equal(t, 1, b.Stats().Backends[0].InFlight)
	other.Release()
	new(maglev.Lease[*int]).Release() // of no backend
	require.Zero(t, b.Stats().Backends[0].InFlight)
}

// Under load from all sides, a backend that OnDrained tells of has nothing in
// flight, gets nothing until it is marked otherwise, and each is told of once.
func TestDrainingUnderLoad(t *testing.T) {
	const n, rounds = 6, 150
	b := balancer(t, n, maglev.BalancerOptions{Table: maglev.Options{TableSize: 251}, BalanceFactor: 125})
	type of struct {
		inFlight, told atomic.Int64
		drained        atomic.Bool
	}
	var backends [n]of
	b.OnDrained(func(m maglev.Member[*int]) {
		if i := *m.Value; i < n {
			if backends[i].inFlight.Load() != 0 {
				t.Errorf("%d has requests in flight", i)
			}
			backends[i].drained.Store(true)
			backends[i].told.Add(1)
		}
	})
	stop := make(chan struct{})
	var load sync.WaitGroup
	for worker := range 4 {
		load.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(worker), 2))
			for {
				select {
				case <-stop:
					return
				default:
				}
				lease, ok := b.Acquire(rng.Uint64())
				if !ok {
					t.Error("nothing to acquire")
					return
				}
				at := &backends[*lease.Value]
				// It is counted in by the Balancer already: so it cannot be told of.
				if at.drained.Load() {
					t.Errorf("a lease of %d, which is drained", *lease.Value)
				}
				at.inFlight.Add(1)
				_ = b.SetHealth(lease.Name, rng.IntN(10) > 0)
				at.inFlight.Add(-1)
				lease.Release()
			}
		})
	}
	members := fleet(n)
	for round := range rounds {
		i := 1 + round%(n-1) // one stays, so that there is somebody
		at := &backends[i]
		if round%3 == 0 {
			require.NoError(t, b.Update(slices.Delete(slices.Clone(members), i, i+1)))
		} else {
			require.NoError(t, b.SetDraining(members[i].Name, true))
		}
		for !at.drained.Load() { // the load goes on: it has to come
			lease, _ := b.Acquire(uint64(round))
			lease.Release()
		}
		at.drained.Store(false)
		if round%3 == 0 {
			require.NoError(t, b.Update(members))
		} else {
			require.NoError(t, b.SetDraining(members[i].Name, false))
		}
	}
	close(stop)
	load.Wait()
	told := int64(0)
	for i := range backends {
		told += backends[i].told.Load()
	}
	require.EqualValues(t, rounds, told)
	for _, m := range b.Stats().Backends {
		require.Zero(t, m.InFlight)
	}
}

// All backends that are empty are told of, even if the callback panics.
func TestOnDrainedThatPanics(t *testing.T) {
	b := balancer(t, 3, maglev.BalancerOptions{})
	var told []string
	b.OnDrained(func(m maglev.Member[*int]) {
		told = append(told, m.Name)
		panic(m.Name)
	})
	require.Panics(t, func() { _ = b.Update(nil) })
	require.Equal(t, []string{"10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80"}, told)
}

// To copy a Lease and release both is a mistake, but not one that stops the Balancer.
func TestCopiesOfALeaseThatAreAllReleased(t *testing.T) {
	b := balancer(t, 1, maglev.BalancerOptions{BalanceFactor: 100})
	(*maglev.Lease[*int])(nil).Release()
	for range 3 {
		lease, ok := b.Acquire(1)
		require.True(t, ok)
		twin := reflect.New(reflect.TypeOf(&lease).Elem())
		twin.Elem().Set(reflect.ValueOf(&lease).Elem()) // where vet does not see it
		lease.Release()
		twin.Interface().(*maglev.Lease[*int]).Release()
	}
	_, ok := b.Acquire(1)
	require.True(t, ok)
}

// A name that comes as draining is told of at once and never picked; one that stays
// keeps its state.
func TestMembersThatComeAsDraining(t *testing.T) {
	b := balancer(t, 3, maglev.BalancerOptions{})
	var told drains
	told.of(b)
	members := fleet(4)
	members[1].Draining, members[3].Draining = true, true
	require.NoError(t, b.Update(members))
	require.Equal(t, []string{"10.0.0.3:80"}, told.names)
	require.Equal(t, maglev.StateReady, statsOf(b, "10.0.0.1:80").State)
	require.Equal(t, maglev.StateDraining, statsOf(b, "10.0.0.3:80").State)
	for i := range 1000 {
		value, ok := b.Pick(uint64(i) << 40)
		require.True(t, ok)
		require.NotEqual(t, 3, *value)
	}
	require.NoError(t, b.SetDraining("10.0.0.3:80", false))
	lease, ok := b.Acquire(7, "10.0.0.0:80", "10.0.0.1:80", "10.0.0.2:80")
	require.True(t, ok)
	require.Equal(t, "10.0.0.3:80", lease.Name)
}
