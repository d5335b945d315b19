package cilium

import (
	"context"
	"flag"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

var (
	cases = flag.Uint64("cases", 2000, "number of cases TestSameTables draws")
	seed  = flag.Uint64("seed", 0, "seed of the cases; 0 draws one")
)

func startCilium(tb testing.TB) *Builder {
	b, err := NewBuilder()
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, b.Stop(context.Background())) })
	return b
}

// Fresh cases in every run, so that each one widens the proof.
func TestSameTables(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	t.Logf("to draw these cases again: -seed %d -cases %d", *seed, *cases)
	cilium := startCilium(t)
	var builder maglev.Builder
	sizes := make(map[int]int)
	for i := range *cases {
		c := Draw(*seed, i)
		want, err := cilium.Table(c)
		require.NoError(t, err)
		backends, opts, err := c.Maglev()
		require.NoError(t, err)
		got, err := builder.Build(backends, opts)
		require.NoError(t, err, "case %d", i)
		require.Len(t, want, got.Size(), "case %d", i)
		for slot, id := range want {
			if got.Lookup(uint64(slot)) != int(id) {
				t.Fatalf("case %d, slot %d: maglev has backend %d, Cilium %d; seed %s, M = %d, backends %v",
					i, slot, got.Lookup(uint64(slot)), id, c.HashSeed, c.TableSize, backends)
			}
		}
		sizes[c.TableSize]++
	}
	t.Logf("equal tables by size: %v", sizes)
}
