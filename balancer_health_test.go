package maglev_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// All slots of a table, and beyond: exactly the failed backend's keys move, to the
// next of the table's candidates, and come back.
func TestExactlyAFailedBackendsKeysMove(t *testing.T) {
	const n, failed = 50, 17
	members := fleet(n)
	table := mustNew(t, backendsOf(members), maglev.Options{})
	b := balancer(t, n, maglev.BalancerOptions{})
	pick := func(hash uint64) int {
		value, ok := b.Pick(hash)
		if !ok {
			t.Fatal("nothing to pick")
		}
		return *value
	}
	require.NoError(t, b.SetHealth(members[failed].Name, false))
	hash := func(slot int) uint64 { // in this slot, and with high bits
		multiple := uint64(slot) * 0x9E3779B97F4A7C15
		return multiple - multiple%uint64(table.Size()) + uint64(slot)
	}
	for slot := range table.Size() - 1 { // the last one's hash might overflow
		want := -1
		for i := range table.Candidates(hash(slot)) {
			if i != failed {
				want = i
				break
			}
		}
		if got := pick(hash(slot)); got != want {
			t.Fatalf("slot %d: %d, not %d", slot, got, want)
		}
	}
	require.NoError(t, b.SetHealth(members[failed].Name, true))
	for slot := range table.Size() - 1 {
		if got := pick(hash(slot)); got != table.Lookup(hash(slot)) {
			t.Fatalf("slot %d: %d", slot, got)
		}
	}
	require.EqualValues(t, 1, b.Stats().Rebuilds)
}

// Of N = 50 the others get a mean of 5000 of the failed one's keys, with a
// standard deviation of 1.4 %: 1.10 is far beyond chance.
func TestAFailedBackendsKeysSpreadEvenlyOverTheOthers(t *testing.T) {
	const n, mean = 50, 5000
	b := balancer(t, n, maglev.BalancerOptions{})
	table := mustNew(t, backendsOf(fleet(n)), maglev.Options{})
	require.NoError(t, b.SetHealth("10.0.0.0:80", false))
	got := make([]int, n)
	rng := rand.New(rand.NewPCG(7, 7))
	for keys := 0; keys < mean*(n-1); {
		if hash := rng.Uint64(); table.Lookup(hash) == 0 {
			value, _ := b.Pick(hash)
			got[*value]++
			keys++
		}
	}
	require.Zero(t, got[0])
	require.LessOrEqual(t, float64(slices.Max(got))/mean, 1.10)
}

func statsOf[T any](b *maglev.Balancer[T], name string) maglev.BackendStats {
	for _, m := range b.Stats().Backends {
		if m.Name == name {
			return m
		}
	}
	return maglev.BackendStats{}
}

// awaitTable waits until a table of so many backends is in place.
func awaitTable(t *testing.T, b *maglev.Balancer[*int], n int) {
	for start := time.Now(); len(b.Candidates(0)) != n; runtime.Gosched() {
		if time.Since(start) > 10*time.Second {
			require.Len(t, b.Candidates(0), n, "for ten seconds")
		}
	}
}

// awaitNames waits until the table in place is of these names, sorted. A fuzzer
// would not notice that it waits for ever.
func awaitNames(t *testing.T, b *maglev.Balancer[*int], names []string) {
	for start := time.Now(); ; {
		var placed []string
		for _, c := range b.Candidates(0) {
			placed = append(placed, c.Name)
		}
		if slices.Sort(placed); slices.Equal(placed, names) {
			return
		}
		if time.Since(start) > 10*time.Second {
			require.Equal(t, names, placed, "for ten seconds")
		}
		runtime.Gosched()
	}
}

func TestRebuildIsATableOfTheHealthyOnes(t *testing.T) {
	members := fleet(20)
	b, err := maglev.NewBalancer[*int](maglev.BalancerOptions{Unhealthy: maglev.Rebuild})
	require.NoError(t, err)
	require.NoError(t, b.Update(members))
	for _, i := range []int{3, 4, 5} {
		require.NoError(t, b.SetHealth(members[i].Name, false))
	}
	require.NoError(t, b.SetDraining(members[8].Name, true))
	awaitTable(t, b, 16)
	healthy := slices.Concat(members[:3], members[6:8], members[9:])
	requirePicksOf(t, b, healthy, maglev.Options{})
	down := statsOf(b, members[4].Name)
	require.Zero(t, down.Slots)
	require.Zero(t, down.Share)
	require.Equal(t, maglev.StateUnhealthy, down.State)

	// An Update keeps to it; below half it panics, and has all but the draining.
	require.NoError(t, b.Update(members[:19]))
	requirePicksOf(t, b, healthy[:15], maglev.Options{})
	for i := range 12 {
		require.NoError(t, b.SetHealth(members[i].Name, false))
	}
	awaitTable(t, b, 18)
	require.True(t, b.Stats().Panic)
	requirePicksOf(t, b, slices.Concat(members[:8], members[9:19]), maglev.Options{})
	for i := range 12 {
		require.NoError(t, b.SetHealth(members[i].Name, true))
	}
	require.NoError(t, b.SetDraining(members[8].Name, false))
	awaitTable(t, b, 19)
	requirePicksOf(t, b, members[:19], maglev.Options{})
}

// rebuildPrice returns the means over fleets of the shares of keys, in percent,
// that go from one healthy backend to another when 1 of n fails and the table is
// rebuilt, and that have to move, and the standard error of the former.
func rebuildPrice(t testing.TB, n, m, fleets int) (other, must, err float64) {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(m)))
	sum, squares := 0.0, 0.0
	for range fleets {
		backends := make([]maglev.Backend, n)
		subnet := rng.IntN(1 << 16)
		for i := range backends {
			backends[i].Name = fmt.Sprintf("10.%d.%d.%d:80", subnet>>8, subnet&255+i/250, i%250)
		}
		table := mustNew(t, backends, maglev.Options{TableSize: m})
		failed := rng.IntN(n)
		rest := slices.Delete(slices.Clone(backends), failed, failed+1)
		moved := table.Moved(mustNew(t, rest, maglev.Options{TableSize: m}))
		share := float64(moved-table.Slots(failed)) / float64(m) * 100
		must += float64(table.Slots(failed)) / float64(m) * 100
		sum += share
		squares += share * share
	}
	mean := sum / float64(fleets)
	variance := (squares/float64(fleets) - mean*mean) / float64(fleets-1)
	return mean, must / float64(fleets), math.Sqrt(max(variance, 0))
}

// The figures of the comment of Unhealthy, which are means over 100 fleets. Over
// fewer the tolerance is four standard errors of the mean, and half a unit of the
// last digit that the comment gives.
func TestWhatRebuildMovesBesidesTheFailedBackendsKeys(t *testing.T) {
	for _, figure := range []struct {
		n, m, fleets int
		percent      float64
	}{
		{10, 65537, 30, 0.24}, {100, 65537, 20, 0.56}, {1000, 65537, 10, 0.57},
		{10, 655373, 6, 0.07}, {100, 655373, 3, 0.14}, {1000, 655373, 2, 0.33},
	} {
		if testing.Short() && figure.m > 65537 {
			continue
		}
		other, must, err := rebuildPrice(t, figure.n, figure.m, figure.fleets)
		require.InDelta(t, figure.percent, other, 4*err+0.005, "N=%d M=%d", figure.n, figure.m)
		// Slots of any two differ by one at most.
		require.InDelta(t, 100/float64(figure.n), must, 100/float64(figure.m))
	}
}

// BenchmarkRebuildPrice prints the figures of the comment of Unhealthy.
func BenchmarkRebuildPrice(b *testing.B) {
	for _, m := range []int{65537, 655373} {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("M=%d/N=%d", m, n), func(b *testing.B) {
				for b.Loop() {
					mean, _, err := rebuildPrice(b, n, m, 100)
					b.ReportMetric(mean, "%moved")
					b.ReportMetric(err, "±%")
				}
			})
		}
	}
}

// Envoy's rule: panic if less than the threshold is healthy, and less than 1/1.4.
func TestPanicFollowsEnvoysRule(t *testing.T) {
	const n = 40
	for _, threshold := range []int{0, 1, 50, 60, 71, 72, 100, -1} {
		opts := maglev.BalancerOptions{Table: maglev.Options{TableSize: 251}}
		percent := 50.0
		if threshold >= 0 {
			opts.PanicThreshold = new(threshold)
			percent = float64(threshold)
		}
		b := balancer(t, n, opts)
		members := fleet(n)
		for down := 0; ; down++ {
			share := float64(n-down) / n * 100
			panics := share < percent && math.Floor(140*float64(n-down)/n) < 100
			require.Equal(t, panics, b.Stats().Panic, "%d of %d, threshold %d", n-down, n, threshold)
			if share >= 75 {
				require.False(t, panics)
			}
			reached := make(map[int]bool)
			for hash := range uint64(251) {
				value, ok := b.Pick(hash)
				lease, leased := b.Acquire(hash)
				lease.Release()
				require.Equal(t, ok, leased)
				require.Equal(t, down < n || panics, ok)
				if ok {
					reached[*value] = true
					require.Equal(t, value, lease.Value)
				}
			}
			if panics {
				require.Len(t, reached, n)
			} else {
				require.Len(t, reached, n-down)
			}
			if down == n {
				break
			}
			require.NoError(t, b.SetHealth(members[down].Name, false))
		}
		require.NoError(t, b.SetHealth(members[0].Name, true))
		require.Equal(t, percent > 2.5, b.Stats().Panic)
	}
}

// Draining backends are neither used in panic nor counted for it.
func TestDrainingBackendsAreNotInPanic(t *testing.T) {
	members := fleet(10)
	b := balancer(t, 10, maglev.BalancerOptions{Table: maglev.Options{TableSize: 251}})
	for i := range 6 {
		require.NoError(t, b.SetDraining(members[i].Name, true))
	}
	require.NoError(t, b.SetHealth(members[6].Name, false))
	require.False(t, b.Stats().Panic, "3 of the 4 that stay are healthy")
	for i := 7; i < 9; i++ {
		require.NoError(t, b.SetHealth(members[i].Name, false))
	}
	require.True(t, b.Stats().Panic)
	reached := make(map[int]bool)
	for hash := range uint64(251) {
		value, _ := b.Pick(hash)
		reached[*value] = true
	}
	require.Len(t, reached, 4)
	for i := range 6 {
		require.False(t, reached[i])
	}
	for i := 6; i < 10; i++ {
		require.NoError(t, b.SetDraining(members[i].Name, true))
	}
	_, ok := b.Pick(1)
	require.False(t, ok, "all are draining")
}

// Backends without slots, for want of slots or of a locality's weight, come last.
func TestBackendsWithoutSlotsAreTheLastResort(t *testing.T) {
	b, err := maglev.NewBalancer[int](maglev.BalancerOptions{
		PanicThreshold: new(0),
		BalanceFactor:  100,
		Table:          maglev.Options{LocalityWeights: map[string]uint32{"on": 1, "off": 0}},
	})
	require.NoError(t, err)
	require.NoError(t, b.Update([]maglev.Member[int]{
		{Backend: maglev.Backend{Name: "a", Locality: "on"}, Value: 1},
		{Backend: maglev.Backend{Name: "b", Locality: "off"}, Value: 2},
	}))
	both := func(hash uint64, want int) {
		value, ok := b.Pick(hash)
		require.True(t, ok)
		require.Equal(t, want, value)
		lease, ok := b.Acquire(hash)
		require.True(t, ok)
		require.Equal(t, want, lease.Value)
		lease.Release()
	}
	both(1, 1)
	require.NoError(t, b.SetHealth("a", false))
	both(1, 2)
	require.NoError(t, b.Update([]maglev.Member[int]{{Backend: maglev.Backend{Name: "b", Locality: "off"}}}))
	both(1, 2)
}

// With Rebuild there is no such resort: as in Envoy, nobody is picked.
func TestRebuildGivesALocalityOfWeight0Nothing(t *testing.T) {
	b, err := maglev.NewBalancer[int](maglev.BalancerOptions{
		Unhealthy:      maglev.Rebuild,
		PanicThreshold: new(0),
		Table:          maglev.Options{LocalityWeights: map[string]uint32{"on": 1, "off": 0}},
	})
	require.NoError(t, err)
	require.NoError(t, b.Update([]maglev.Member[int]{
		{Backend: maglev.Backend{Name: "a", Locality: "on"}, Value: 1},
		{Backend: maglev.Backend{Name: "b", Locality: "off"}, Value: 2},
	}))
	value, ok := b.Pick(1)
	require.True(t, ok)
	require.Equal(t, 1, value)
	lease, ok := b.Acquire(1, "a")
	require.True(t, ok)
	require.Equal(t, "a", lease.Name, "a retry goes to a locality of weight 0")
	require.NoError(t, b.SetHealth("a", false))
	_, ok = b.Pick(1)
	require.False(t, ok)
	require.NoError(t, b.SetHealth("a", true))
	_, ok = b.Pick(1)
	require.True(t, ok)
}
