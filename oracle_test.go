package maglev_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/murmur3"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/internal/reference"
)

// The rules of the dialects once more, as the systems state them: divisions,
// stored permutations, and sorting by comparing.

func katranHash(name string) uint64 { return maglev.XXHash(name, 7) >> 40 } // 24 bits, so that some are equal

type oracle struct {
	dialect maglev.Dialect
	sizes   []int
	place   func(name string) (h1, h2 uint64)
	less    func(a, b string) int
	turns   func(backends []maglev.Backend, localities map[string]uint32) iter.Seq[int]
}

func weightsOf(backends []maglev.Backend) []uint32 {
	weights := make([]uint32, len(backends))
	for i, b := range backends {
		weights[i] = max(b.Weight, 1)
	}
	return weights
}

var oracles = map[string]oracle{
	"Envoy": {
		sizes: []int{2, 3, 5, 7, 11, 13, 31, 61, 127, 251, 509, 1021},
		place: func(name string) (uint64, uint64) { return maglev.XXHash(name, 0), maglev.XXHash(name, 1) },
		less:  strings.Compare,
		turns: func(backends []maglev.Backend, localities map[string]uint32) iter.Seq[int] {
			if localities == nil {
				return reference.EnvoyTurns(reference.EnvoyShares(weightsOf(backends), nil, nil))
			}
			var names []string
			var weights []uint32
			for name, w := range localities {
				names = append(names, name)
				weights = append(weights, w)
			}
			locality := make([]int, len(backends))
			for i, b := range backends {
				locality[i] = slices.Index(names, b.Locality)
			}
			return reference.EnvoyTurns(reference.EnvoyShares(weightsOf(backends), locality, weights))
		},
	},
	"Cilium": {
		dialect: maglev.Cilium(0xC0FFEE),
		sizes:   []int{251, 509, 1021},
		place:   func(name string) (uint64, uint64) { return murmur3.SeedStringSum128(0xC0FFEE, 0xC0FFEE, name) },
		less:    strings.Compare,
		turns: func(backends []maglev.Backend, _ map[string]uint32) iter.Seq[int] {
			return reference.CiliumTurns(weightsOf(backends))
		},
	},
	"Katran": {
		dialect: maglev.Katran(katranHash),
		sizes:   []int{2, 3, 7, 61, 251, 1021},
		place: func(name string) (uint64, uint64) {
			mm3 := func(b, seed uint64) uint64 {
				data := binary.LittleEndian.AppendUint64(nil, katranHash(name))
				h, _ := murmur3.SeedSum128(seed, seed, binary.LittleEndian.AppendUint64(data, b))
				return h
			}
			return mm3(42, 0), mm3(2718281828, 2307)
		},
		less: func(a, b string) int {
			return cmp.Or(cmp.Compare(katranHash(a), katranHash(b)), strings.Compare(a, b))
		},
		turns: func(backends []maglev.Backend, _ map[string]uint32) iter.Seq[int] {
			return reference.KatranTurns(weightsOf(backends))
		},
	},
}

// table returns the name in each slot, as the reference fills it.
func (o oracle) table(backends []maglev.Backend, m int, localities map[string]uint32) []string {
	sorted := slices.SortedFunc(slices.Values(backends), func(a, b maglev.Backend) int { return o.less(a.Name, b.Name) })
	permutation := make([][]int, len(sorted))
	for i, b := range sorted {
		h1, h2 := o.place(b.Name)
		permutation[i] = reference.Permutation(h1%uint64(m), h2%uint64(m-1)+1, m)
	}
	names := make([]string, m)
	for c, i := range reference.PopulateTurns(permutation, m, o.turns(sorted, localities)) {
		names[c] = sorted[i].Name
	}
	return names
}

// randomBackends draws up to n backends of all kinds of names and weights.
func randomBackends(rng *rand.Rand, n int) []maglev.Backend {
	prefix := []string{"", "10.0.0.", "cache-", "\x00", "höst-"}[rng.IntN(5)]
	weight := []func() uint32{
		func() uint32 { return 0 },
		func() uint32 { return 3 },
		func() uint32 { return rng.Uint32N(5) },
		func() uint32 { return 1 + rng.Uint32N(1000) },
		func() uint32 { return 1 << rng.IntN(17) },
		func() uint32 { return []uint32{1, 65535}[rng.IntN(20)/19] },
	}[rng.IntN(6)]
	seen := make(map[string]bool)
	var backends []maglev.Backend
	for range n {
		name := prefix + fmt.Sprint(rng.IntN(4*n))
		if rng.IntN(4) == 0 {
			name += strings.Repeat("\x00", 1+rng.IntN(9))
		}
		if !seen[name] {
			seen[name] = true
			backends = append(backends, maglev.Backend{Name: name, Weight: weight(), Locality: string(rune('a' + rng.IntN(4)))})
		}
	}
	return backends
}

func namesOf(t *maglev.Table) []string {
	names := make([]string, t.Size())
	for c := range names {
		names[c] = t.Backend(t.Lookup(uint64(c))).Name
	}
	return names
}

// checkAgainstOracle builds one random table of each dialect and compares every
// slot with the reference.
func checkAgainstOracle(t *testing.T, builder *maglev.Builder, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	backends := randomBackends(rng, 1+rng.IntN(1<<rng.IntN(9)))
	for name, o := range oracles {
		opts := maglev.Options{Dialect: o.dialect, TableSize: o.sizes[rng.IntN(len(o.sizes))]}
		if name == "Envoy" && rng.IntN(3) == 0 {
			opts.LocalityWeights = map[string]uint32{"a": 1, "b": rng.Uint32N(3), "c": rng.Uint32N(1000), "d": 0, "absent": 7}
			if !slices.ContainsFunc(backends, func(b maglev.Backend) bool { return opts.LocalityWeights[b.Locality] > 0 }) {
				opts.LocalityWeights = nil
			}
		}
		table, err := builder.Build(backends, opts)
		require.NoError(t, err, name)
		require.Equal(t, o.table(backends, opts.TableSize, opts.LocalityWeights), namesOf(table),
			"seed %d: %s, M=%d, %v, %v", seed, name, opts.TableSize, opts.LocalityWeights, backends)
		checkTable(t, table)
	}
}

// checkTable checks what holds for every table.
func checkTable(t *testing.T, table *maglev.Table) {
	held := make([]int, table.Len())
	for c := range table.Size() {
		held[table.Lookup(uint64(c))]++
	}
	for i, want := range held {
		require.Equal(t, want, table.Slots(i), "backend %d", i)
	}
	require.Zero(t, table.Moved(table))
}

func TestTablesEqualReference(t *testing.T) {
	var builder maglev.Builder // one for all, so that nothing is left over from the last
	for seed := range uint64(400) {
		checkAgainstOracle(t, &builder, seed)
	}
}

func FuzzTablesEqualReference(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkAgainstOracle(t, new(maglev.Builder), seed) })
}
