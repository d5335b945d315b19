package maglev_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

func backendsOf(members []maglev.Member[*int]) []maglev.Backend {
	backends := make([]maglev.Backend, len(members))
	for i := range members {
		backends[i] = members[i].Backend
	}
	return backends
}

// requirePicksOf checks every slot: what is picked is what a table of these
// backends says.
func requirePicksOf(t *testing.T, b *maglev.Balancer[*int], members []maglev.Member[*int], opts maglev.Options) {
	t.Helper()
	table := mustNew(t, backendsOf(members), opts)
	for hash := range uint64(table.Size()) {
		value, ok := b.Pick(hash)
		if !ok || value != members[table.Lookup(hash)].Value {
			require.Failf(t, "another backend", "hash %d", hash)
		}
	}
}

func TestUpdateOfAnEqualSetRebuildsNothing(t *testing.T) {
	members := fleet(20)
	members[3].Weight = 7
	b, err := maglev.NewBalancer[*int](maglev.BalancerOptions{})
	require.NoError(t, err)
	require.NoError(t, b.Update(members))
	before := b.Stats()
	require.EqualValues(t, 1, before.Rebuilds)

	again := slices.Clone(members)
	slices.Reverse(again)
	for i := range again {
		if again[i].Weight == 0 {
			again[i].Weight = 1
		}
	}
	given := slices.Clone(again)
	require.NoError(t, b.Update(again))
	require.Equal(t, given, again, "the slice is the caller's")
	require.Equal(t, before, b.Stats())
	requirePicksOf(t, b, members, maglev.Options{})

	again[5].Weight = 2
	require.NoError(t, b.Update(again))
	require.EqualValues(t, 2, b.Stats().Rebuilds)
	requirePicksOf(t, b, again, maglev.Options{})
}

func TestUpdateKeepsValuesStatesAndCountersOfNamesThatStay(t *testing.T) {
	members := fleet(10)
	b := balancer(t, 0, maglev.BalancerOptions{})
	require.NoError(t, b.Update(members))
	name := members[4].Name
	require.NoError(t, b.SetHealth(name, false))
	require.NoError(t, b.SetDraining(members[5].Name, true))
	lease, ok := b.Acquire(1)
	require.True(t, ok)

	next := fleet(12) // other values
	require.NoError(t, b.Update(next))
	for i, m := range b.Stats().Backends {
		want := maglev.StateReady
		switch m.Name {
		case name:
			want = maglev.StateUnhealthy
		case members[5].Name:
			want = maglev.StateDraining
		case lease.Name:
			require.EqualValues(t, 1, m.Picks)
			require.Equal(t, 1, m.InFlight)
		}
		require.Equal(t, want, m.State, "%d", i)
	}
	lease.Release()
	require.NoError(t, b.SetHealth(name, true))
	require.NoError(t, b.SetDraining(members[5].Name, false))
	requirePicksOf(t, b, append(members, next[10:]...), maglev.Options{})
}

func TestANameThatWasRemovedAndComesBackIsNew(t *testing.T) {
	members := fleet(5)
	b := balancer(t, 0, maglev.BalancerOptions{})
	require.NoError(t, b.Update(members))
	require.NoError(t, b.SetHealth(members[0].Name, false))
	require.NoError(t, b.SetDraining(members[1].Name, true))
	lease, _ := b.Acquire(1)
	require.NoError(t, b.Update(nil))
	_, ok := b.Pick(1)
	require.False(t, ok)
	_, ok = b.Acquire(1)
	require.False(t, ok)
	require.ErrorIs(t, b.SetHealth(members[0].Name, true), maglev.ErrUnknownBackend)
	require.Empty(t, b.Candidates(1))

	again := fleet(5)
	require.NoError(t, b.Update(again))
	requirePicksOf(t, b, again, maglev.Options{})
	stats := b.Stats().Backends
	for _, m := range stats[:5] {
		require.Equal(t, maglev.StateReady, m.State)
		require.Zero(t, m.Picks)
		require.Zero(t, m.InFlight, "the lease is the old one's")
	}
	require.Len(t, stats, 6)
	require.True(t, stats[5].Left)
	require.Equal(t, lease.Name, stats[5].Name)
	lease.Release()
	require.Len(t, b.Stats().Backends, 5)
}

func TestUpdateErrorsLeaveTheLastGoodSet(t *testing.T) {
	opts := maglev.Options{LocalityWeights: map[string]uint32{"a": 1}}
	b, err := maglev.NewBalancer[*int](maglev.BalancerOptions{Table: opts})
	require.NoError(t, err)
	good := fleet(4)
	for i := range good {
		good[i].Locality = "a"
	}
	require.NoError(t, b.Update(good))
	for _, bad := range []struct {
		change func(m []maglev.Member[*int])
		is     error
		text   string
	}{
		{func(m []maglev.Member[*int]) { m[2].Name = "" }, maglev.ErrEmptyName,
			`maglev: members[2].Name: name is empty; it is the backend's identity and hash key`},
		{func(m []maglev.Member[*int]) { m[2].Name = m[0].Name }, maglev.ErrDuplicateName,
			`maglev: members: duplicate name: "10.0.0.0:80" comes more than once; names have to be unique`},
		{func(m []maglev.Member[*int]) { m[3].Locality = "b" }, maglev.ErrLocality,
			`maglev: members[3].Locality: locality without a weight: "b" is not in BalancerOptions.Table.LocalityWeights; add it there, with weight 0 if it is to get no slots`},
	} {
		members := append(slices.Clone(good), fleet(9)[4:]...)
		for i := range members {
			members[i].Locality = "a"
		}
		bad.change(members)
		err := b.Update(members)
		require.ErrorIs(t, err, bad.is)
		require.EqualError(t, err, bad.text)
		requirePicksOf(t, b, good, opts)
	}
	require.EqualValues(t, 1, b.Stats().Rebuilds)

	opts.LocalityWeights["b"] = 1 // the caller's map is not looked at again
	good[0].Locality = "b"
	require.ErrorIs(t, b.Update(good), maglev.ErrLocality)
}

// What only the build finds out is an error too: Katran's positions may wrap
// before they have reached every slot of a large table.
func TestASetThatCannotFillItsTableLeavesTheLastOne(t *testing.T) {
	const m = 5000011
	bad := ""
	for i := 0; ; i++ { // a skip that is a multiple of 2^14 leaves 2^18 positions
		bad = strconv.Itoa(i)
		if _, h2 := oracles["Katran"].place(bad); (h2%(m-1)+1)%(1<<14) == 0 {
			break
		}
	}
	b := balancer(t, 2, maglev.BalancerOptions{Table: maglev.Options{Dialect: maglev.Katran(katranHash), TableSize: m}})
	err := b.Update([]maglev.Member[*int]{{Backend: maglev.Backend{Name: bad, Weight: 100}}, {Backend: maglev.Backend{Name: "other"}}})
	require.ErrorIs(t, err, maglev.ErrTableSize)
	stats := b.Stats()
	require.Equal(t, err, stats.Err)
	require.Len(t, stats.Backends, 2)
	require.Equal(t, "10.0.0.0:80", stats.Backends[0].Name)
	require.EqualValues(t, 1, stats.Rebuilds)
	require.NoError(t, b.Update(fleet(2)))
	require.NoError(t, b.Stats().Err)
}

func TestNewBalancerErrors(t *testing.T) {
	for text, opts := range map[string]maglev.BalancerOptions{
		"Unhealthy 2: option out of range: it must be Spill (0) or Rebuild (1)":                                {Unhealthy: 2},
		"PanicThreshold -1: option out of range: it must be from 0 (never) to 100, in percent, or nil for 50":  {PanicThreshold: new(-1)},
		"PanicThreshold 101: option out of range: it must be from 0 (never) to 100, in percent, or nil for 50": {PanicThreshold: new(101)},
		"BalanceFactor 99: option out of range: it must be 100 or more, in percent, or 0 for no bound":         {BalanceFactor: 99},
		"BalanceFactor -1: option out of range: it must be 100 or more, in percent, or 0 for no bound":         {BalanceFactor: -1},
		"MinInFlight -1: option out of range: it must be 1 or more, or 0 for 8":                                {MinInFlight: -1},
		"SlowStart.Window -1ns: option out of range: it must be positive, or 0 for no slow start":              {SlowStart: maglev.SlowStart{Window: -1}},
		"SlowStart.Aggression -1: option out of range: it must be positive and finite, or 0 for 1":             {SlowStart: maglev.SlowStart{Aggression: -1}},
		"SlowStart.Aggression NaN: option out of range: it must be positive and finite, or 0 for 1":            {SlowStart: maglev.SlowStart{Aggression: math.NaN()}},
		"SlowStart.Aggression +Inf: option out of range: it must be positive and finite, or 0 for 1":           {SlowStart: maglev.SlowStart{Aggression: math.Inf(1)}},
		"SlowStart.MinPercent 101: option out of range: it must be from 1 to 100, or 0 for 10":                 {SlowStart: maglev.SlowStart{MinPercent: 101}},
		"SlowStart.MinPercent -1: option out of range: it must be from 1 to 100, or 0 for 10":                  {SlowStart: maglev.SlowStart{MinPercent: -1}},
	} {
		_, err := maglev.NewBalancer[int](opts)
		require.ErrorIs(t, err, maglev.ErrOption)
		require.EqualError(t, err, "maglev: BalancerOptions."+text)
	}
	_, err := maglev.NewBalancer[int](maglev.BalancerOptions{Table: maglev.Options{TableSize: 4}})
	require.ErrorIs(t, err, maglev.ErrTableSize)
}

// Whatever comes at once, each Update returns when its set, or a later one, is
// there. Sets have different sizes here. One whose Update had returned before
// another began is earlier than that, and not there any more when it returns.
func TestUpdateReturnsWhenItsSetOrALaterOneIsThere(t *testing.T) {
	const goroutines, updates = 16, 10
	b := balancer(t, 0, maglev.BalancerOptions{Table: maglev.Options{TableSize: 251}})
	var mu sync.Mutex
	size, returned := 0, map[int]bool{0: true}
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range updates {
				mu.Lock()
				size++
				n, earlier := size, maps.Clone(returned)
				mu.Unlock()
				if err := b.Update(fleet(n)); err != nil {
					t.Error(err)
				}
				if found := len(b.Stats().Backends); earlier[found] {
					t.Errorf("%d backends after an Update to %d", found, n)
				}
				mu.Lock()
				returned[n] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	last := len(b.Stats().Backends)
	require.True(t, returned[last] && last > 0)
	requirePicksOf(t, b, fleetLike(b, last), maglev.Options{TableSize: 251})
	require.LessOrEqual(t, b.Stats().Rebuilds, uint64(goroutines*updates))
}

// fleetLike is a fleet of the Balancer's values.
func fleetLike(b *maglev.Balancer[*int], n int) []maglev.Member[*int] {
	members := fleet(n)
	for hash := range uint64(251) {
		if value, ok := b.Pick(hash); ok {
			members[*value].Value = value
		}
	}
	return members
}

func ExampleState() {
	for s := maglev.StateReady; s <= maglev.StateDraining+1; s++ {
		fmt.Println(s)
	}
	// Output:
	// ready
	// warming
	// full
	// unhealthy
	// draining
	// unknown
}

func TestLocalitiesWithoutWeightsBuildNothing(t *testing.T) {
	b := balancer(t, 3, maglev.BalancerOptions{})
	members := fleet(3)
	members[1].Locality = "zone-a"
	require.NoError(t, b.Update(members))
	stats := b.Stats()
	require.Equal(t, uint64(1), stats.Rebuilds)
	require.Equal(t, "zone-a", stats.Backends[1].Locality)
}
