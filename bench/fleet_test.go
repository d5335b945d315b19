package bench

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// sizes and counts are the axes M and N of the benchmarks.
var (
	sizes  = []int{65537, 655373}
	counts = []int{10, 100, 1000}
)

// A fleet is one set of backends in the forms that the rivals take.
type fleet struct {
	names    []string
	weights  []uint32
	backends []maglev.Backend
}

func newFleet(n int, weighted bool) fleet {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	var f fleet
	for i := range n {
		name := fmt.Sprintf("10.%d.%d.%d:8080", rng.IntN(256), i/256, i%256)
		weight := uint32(1)
		if weighted {
			weight = 1 + rng.Uint32N(100)
		}
		f.names = append(f.names, name)
		f.weights = append(f.weights, weight)
		f.backends = append(f.backends, maglev.Backend{Name: name, Weight: weight})
	}
	return f
}

// plain builds the table in the plain way.
func (f *fleet) plain(m int, weighted bool) []int {
	if weighted {
		return plainWeighted(f.names, f.weights, m)
	}
	return plain(f.names, m)
}

// A race between loops that do different work would say nothing.
func TestPlainBuildsTheSameTable(t *testing.T) {
	for _, m := range append([]int{7, 251}, sizes...) {
		for _, n := range append([]int{1, 2, 3}, counts...) {
			for _, weighted := range []bool{false, true} {
				f := newFleet(n, weighted)
				table, err := maglev.New(f.backends, maglev.Options{TableSize: m})
				require.NoError(t, err)
				for c, want := range f.plain(m, weighted) {
					require.Equal(t, want, table.Lookup(uint64(c)), "slot %d of %d, N=%d", c, m, n)
				}
			}
		}
	}
}
