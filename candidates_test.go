package maglev_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

func candidateNames(t *maglev.Table, hash uint64) []string {
	var names []string
	for i := range t.Candidates(hash) {
		names = append(names, t.Backend(i).Name)
	}
	return names
}

// splitMix64 is the finaliser as its author's C prints it.
func splitMix64(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// The documented rule up to its bound: Lookup(hash), then the slots of re-hashes.
func TestCandidatesFollowTheRule(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 2, 3, 8, 9, 50, 1000} {
		table := mustNew(t, numbered(n), maglev.Options{})
		for range 50 {
			hash := rng.Uint64()
			var want []int
			give := func(i int) {
				if !slices.Contains(want, i) {
					want = append(want, i)
				}
			}
			give(table.Lookup(hash))
			for a := uint64(1); a <= uint64(4*n+64); a++ {
				give(table.Lookup(splitMix64(hash + a*0x9E3779B97F4A7C15)))
			}
			got := slices.Collect(table.Candidates(hash))
			require.Equal(t, want, got[:len(want)])
			slices.Sort(got)
			for i := range n {
				require.Equal(t, i, got[i], "every backend once")
			}
		}
	}
}

func TestCandidatesWithoutASlotComeLast(t *testing.T) {
	backends := numbered(40)
	table := mustNew(t, backends, maglev.Options{TableSize: 13})
	for hash := range uint64(200) {
		all := slices.Collect(table.Candidates(hash))
		require.Len(t, all, 40)
		for place, i := range all {
			require.Equal(t, place < 13, table.Slots(i) > 0, "place %d", place)
		}
	}
}

// Heavy backends leave so few slots to light ones that the re-hashes miss some;
// those follow all the same, in another order for another hash.
func TestCandidatesBeyondTheRehashes(t *testing.T) {
	backends := numbered(60)
	backends[7].Weight = 1 << 20
	table := mustNew(t, backends, maglev.Options{TableSize: 65537})
	orders := make(map[string]bool)
	for hash := range uint64(20) {
		names := candidateNames(table, hash)
		require.Len(t, names, 60)
		orders[fmt.Sprint(names[40:])] = true
		unique := slices.Compact(slices.Sorted(slices.Values(names)))
		require.Len(t, unique, 60)
	}
	require.Len(t, orders, 20)
}

// A failed backend's keys spread evenly: of N = 50 the others get a mean of
// keys/49 with a standard deviation of its root. With 49*20000 keys that is 0.7 %,
// so that max/mean <= 1.10 is far beyond chance; what is left over are the
// slots' own shares.
func TestFailedBackendsKeysSpreadEvenly(t *testing.T) {
	const n, mean = 50, 20000
	table := mustNew(t, numbered(n), maglev.Options{})
	got := make([]int, n)
	rng := rand.New(rand.NewPCG(2, 2))
	for keys := 0; keys < mean*(n-1); {
		hash := rng.Uint64()
		if table.Lookup(hash) != 0 {
			continue
		}
		for i := range table.Candidates(hash) {
			if i != 0 {
				got[i]++
				keys++
				break
			}
		}
	}
	require.LessOrEqual(t, float64(slices.Max(got))/mean, 1.10)
}

func TestFirstEightCandidatesCostNoAllocation(t *testing.T) {
	table := mustNew(t, numbered(100), maglev.Options{})
	hash := uint64(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		hash += 0x9E3779B97F4A7C15
		n := 0
		for range table.Candidates(hash) {
			if n++; n == 8 {
				break
			}
		}
	}))
}

// Whatever New takes, every backend is a candidate once; whatever it does not
// take, it says so.
func FuzzNewAndCandidates(f *testing.F) {
	f.Add("a\xffb\xffc", 7, uint64(1), uint32(1), byte(0))
	f.Add("a\xffa", 8, uint64(1), uint32(1), byte(1))
	f.Add("\xff", 251, uint64(1), uint32(1<<31), byte(2))
	f.Fuzz(func(t *testing.T, names string, size int, hash uint64, weight uint32, dialect byte) {
		size %= 1 << 14
		var backends []maglev.Backend
		for i, name := range splitAt0xFF(names) {
			backends = append(backends, maglev.Backend{Name: name, Weight: weight >> (i % 32), Locality: name[:min(1, len(name))]})
		}
		opts := maglev.Options{TableSize: size}
		switch dialect % 4 {
		case 1:
			opts.Dialect = maglev.Cilium(weight)
		case 2:
			opts.Dialect = maglev.Katran(katranHash)
		case 3:
			opts.LocalityWeights = map[string]uint32{"": weight, "a": 1, "b": weight, "c": 0}
		}
		table, err := maglev.New(backends, opts)
		if err != nil {
			require.ErrorContains(t, err, "maglev: ")
			require.Nil(t, table)
			return
		}
		seen := make([]bool, table.Len())
		for i := range table.Candidates(hash) {
			require.False(t, seen[i])
			seen[i] = true
		}
		require.False(t, slices.Contains(seen, false))
		if first := table.Lookup(hash); first >= 0 {
			for i := range table.Candidates(hash) {
				require.Equal(t, first, i)
				break
			}
		}
	})
}

func splitAt0xFF(s string) (parts []string) {
	start := 0
	for i := range len(s) {
		if s[i] == 0xFF {
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
