package bench

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

func fleet(n int, weighted bool) (names []string, weights []uint32, backends []maglev.Backend) {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range n {
		names = append(names, fmt.Sprintf("10.%d.%d.%d:8080", rng.IntN(256), i/256, i%256))
		w := uint32(1)
		if weighted {
			w = 1 + rng.Uint32N(100)
		}
		weights = append(weights, w)
		backends = append(backends, maglev.Backend{Name: names[i], Weight: w})
	}
	return names, weights, backends
}

func TestPlainAgrees(t *testing.T) {
	for _, m := range []int{7, 251, 65537, 655373} {
		for _, n := range []int{1, 2, 3, 10, 100, 1000} {
			for _, weighted := range []bool{false, true} {
				names, weights, backends := fleet(n, weighted)
				want := plain(names, m)
				if weighted {
					want = plainWeighted(names, weights, m)
				}
				table, err := maglev.New(backends, maglev.Options{TableSize: m})
				require.NoError(t, err)
				for c := range want {
					require.Equal(t, want[c], table.Lookup(uint64(c)), "slot %d of %d, N=%d", c, m, n)
				}
			}
		}
	}
}

func TestRatio(t *testing.T) {
	if os.Getenv("RATIO") == "" {
		t.Skip()
	}
	for _, m := range []int{65537, 655373} {
		for _, n := range []int{10, 100, 1000} {
			for _, weighted := range []bool{false, true} {
				names, weights, backends := fleet(n, weighted)
				a, b, c := time.Duration(1e18), time.Duration(1e18), time.Duration(1e18)
				var builder maglev.Builder
				reps := 150
				if m > 100000 {
					reps = 20
				}
				for range reps {
					s := time.Now()
					if weighted {
						plainWeighted(names, weights, m)
					} else {
						plain(names, m)
					}
					a = min(a, time.Since(s))
					s = time.Now()
					maglev.New(backends, maglev.Options{TableSize: m})
					b = min(b, time.Since(s))
					s = time.Now()
					builder.Build(backends, maglev.Options{TableSize: m})
					c = min(c, time.Since(s))
				}
				fmt.Printf("M=%d N=%d w=%v plain %.3f ours %.3f builder %.3f  ratio %.2f\n", m, n, weighted, a.Seconds()*1e3, b.Seconds()*1e3, c.Seconds()*1e3, float64(a)/float64(b))
			}
		}
	}
}
