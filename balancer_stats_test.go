package maglev_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// Each lease is a pick of the backend that got it. If that was not the first in
// line it is a spill of the first, if that was down, or an overflow, if it was at
// its bound; a retry that has tried the first is neither. Pick counts nothing.
func TestCountersAddUp(t *testing.T) {
	const n, requests = 10, 20000
	members := fleet(n)
	table := mustNew(t, backendsOf(members), maglev.Options{})
	b := balancer(t, n, maglev.BalancerOptions{BalanceFactor: 110, MinInFlight: 1})
	require.NoError(t, b.SetHealth(members[2].Name, false))
	require.NoError(t, b.SetDraining(members[6].Name, true))
	rng := rand.New(rand.NewPCG(4, 4))
	var picks, spills, overflows [n]uint64
	var leases []*maglev.Lease[*int]
	for range requests {
		hash := rng.Uint64()
		var tried []string
		for range rng.IntN(3) {
			tried = append(tried, members[rng.IntN(n)].Name)
		}
		b.Pick(hash)
		lease, ok := b.Acquire(hash, tried...)
		require.True(t, ok)
		require.NotContains(t, tried, lease.Name)
		got, first := *lease.Value, table.Lookup(hash)
		picks[got]++
		switch {
		case got == first || slices.Contains(tried, members[first].Name):
		case first == 2 || first == 6:
			spills[first]++
		default:
			overflows[first]++
		}
		if leases = append(leases, &lease); len(leases) > 30 {
			leases[0].Release()
			leases = leases[1:]
		}
	}
	inFlight, all, elsewhere := 0, uint64(0), uint64(0)
	for _, m := range b.Stats().Backends {
		i := slices.IndexFunc(members, func(of maglev.Member[*int]) bool { return of.Name == m.Name })
		require.Equal(t, picks[i], m.Picks, m.Name)
		require.Equal(t, spills[i], m.Spills, m.Name)
		require.Equal(t, overflows[i], m.Overflows, m.Name)
		inFlight += m.InFlight
		all += m.Picks
		elsewhere += m.Overflows
	}
	require.Equal(t, 30, inFlight)
	require.EqualValues(t, requests, all)
	require.NotZero(t, elsewhere)
}

func TestStatsOfTheTable(t *testing.T) {
	members := fleet(3)
	members[1].Weight = 2
	b := balancer(t, 0, maglev.BalancerOptions{})
	empty := b.Stats()
	require.Equal(t, maglev.BalancerStats{Backends: []maglev.BackendStats{}, Slots: 65537}, empty)

	before := time.Now()
	require.NoError(t, b.Update(members))
	stats := b.Stats()
	require.EqualValues(t, 1, stats.Rebuilds)
	require.WithinRange(t, stats.Last.At, before, time.Now())
	require.Positive(t, stats.Last.Took)
	require.LessOrEqual(t, stats.Last.Took, time.Since(before))
	require.Equal(t, 65537, stats.Last.Moved)
	require.Equal(t, 65537, stats.Last.Ideal)

	old := mustNew(t, backendsOf(members), maglev.Options{})
	for i, m := range stats.Backends {
		require.Equal(t, old.Slots(i), m.Slots)
		require.InDelta(t, m.Share, float64(m.Slots)/65537, 2.0/65537)
		require.EqualValues(t, max(1, members[i].Weight), m.Weight)
	}
	require.InDelta(t, 0.5, stats.Backends[1].Share, 1e-12)

	require.NoError(t, b.SetHealth(members[0].Name, false))
	require.InDelta(t, 0.25, b.Stats().Backends[0].Share, 1e-12, "of its slots, which it keeps")

	require.NoError(t, b.Update(members[:2]))
	next := mustNew(t, backendsOf(members[:2]), maglev.Options{})
	last := b.Stats().Last
	require.Equal(t, old.Moved(next), last.Moved)
	require.Equal(t, old.Slots(2), last.Ideal)
}

func TestCandidatesSayWhereAKeyGoesAndWhy(t *testing.T) {
	members := fleet(4)
	table := mustNew(t, backendsOf(members), maglev.Options{})
	b := balancer(t, 4, maglev.BalancerOptions{BalanceFactor: 100, MinInFlight: 1})
	order := slices.Collect(table.Candidates(7))
	want := func(picked int, states ...maglev.State) {
		t.Helper()
		var all []maglev.Candidate
		for place, i := range order {
			all = append(all, maglev.Candidate{Name: members[i].Name, State: states[place], Picked: place == picked})
		}
		before := b.Stats()
		require.Equal(t, all, b.Candidates(7))
		require.Equal(t, before, b.Stats(), "it counts nothing")
	}
	want(0, maglev.StateReady, maglev.StateReady, maglev.StateReady, maglev.StateReady)
	require.NoError(t, b.SetHealth(members[order[0]].Name, false))
	want(1, maglev.StateUnhealthy, maglev.StateReady, maglev.StateReady, maglev.StateReady)
	require.NoError(t, b.SetDraining(members[order[1]].Name, true))
	want(2, maglev.StateUnhealthy, maglev.StateDraining, maglev.StateReady, maglev.StateReady)
	one, _ := b.Acquire(7)
	two, _ := b.Acquire(7)
	three, _ := b.Acquire(7) // of a bound of ceil(3/2), which was not exceeded yet
	want(3, maglev.StateUnhealthy, maglev.StateDraining, maglev.StateFull, maglev.StateReady)
	one.Release()
	two.Release()
	three.Release()
	require.NoError(t, b.SetHealth(members[order[2]].Name, false))
	require.True(t, b.Stats().Panic)
	want(0, maglev.StateUnhealthy, maglev.StateDraining, maglev.StateUnhealthy, maglev.StateReady)
}

// A retry goes on to the next candidate, and back to the first that was tried only
// when nobody else is left.
func TestARetryGoesToTheNextCandidate(t *testing.T) {
	members := fleet(5)
	table := mustNew(t, backendsOf(members), maglev.Options{})
	b := balancer(t, 5, maglev.BalancerOptions{BalanceFactor: 125})
	for hash := range uint64(500) {
		var tried []string
		for i := range table.Candidates(hash) {
			lease, ok := b.Acquire(hash, tried...)
			require.True(t, ok)
			require.Equal(t, members[i].Name, lease.Name)
			lease.Release()
			tried = append(tried, lease.Name)
		}
		lease, ok := b.Acquire(hash, tried...)
		require.True(t, ok)
		require.Equal(t, tried[0], lease.Name)
		lease.Release()
	}
	for _, m := range b.Stats().Backends {
		require.Zero(t, m.Overflows+m.Spills)
	}
}

func TestPickAndAcquireCostNoAllocation(t *testing.T) {
	members := fleet(100)
	for name, opts := range map[string]maglev.BalancerOptions{
		"plain":      {},
		"bounded":    {BalanceFactor: 125, MinInFlight: 1},
		"slow start": {SlowStart: maglev.SlowStart{Window: time.Hour}},
	} {
		for _, failed := range []int{0, 10} {
			b := balancer(t, 90, opts)
			require.NoError(t, b.Update(members))
			for i := range failed {
				require.NoError(t, b.SetHealth(members[i].Name, false))
			}
			hash := uint64(0)
			require.Zero(t, testing.AllocsPerRun(2000, func() {
				hash += 0x9E3779B97F4A7C15
				b.Pick(hash)
			}), "Pick, %s, %d failed", name, failed)
			tried := []string{members[50].Name, members[51].Name}
			require.Zero(t, testing.AllocsPerRun(2000, func() {
				hash += 0x9E3779B97F4A7C15
				lease, _ := b.Acquire(hash)
				retry, _ := b.Acquire(hash, tried...)
				retry.Release()
				lease.Release()
			}), "Acquire, %s, %d failed", name, failed)
		}
	}
}
