package cluster

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestStride(t *testing.T) {
	tests := map[string][]uint32{
		"one":         {7},
		"equal":       {3, 3, 3},
		"1 to 3":      {1, 2, 3},
		"a heavy one": {1, 1, 1, 97},
		"primes":      {2, 3, 5, 7, 11, 13},
		"largest":     {math.MaxUint32, math.MaxUint32 / 2},
	}
	for name, weights := range tests {
		t.Run(name, func(t *testing.T) {
			sum := 0.0
			for _, w := range weights {
				sum += float64(w)
			}
			const turns = 100_000
			s := newStride(weights, 0)
			counts, behind := make([]float64, len(weights)), 0.0
			for n := range turns {
				counts[s.next()]++
				for i, w := range weights {
					behind = max(behind, math.Abs(counts[i]-float64(n+1)*float64(w)/sum))
				}
			}
			for i, w := range weights {
				// A share of the turns, but for the round that is under way.
				assert.InDelta(t, turns*float64(w)/sum, counts[i], 3, "weight %d", w)
			}
			// At no time is anybody further behind or ahead than a few turns: it is smooth.
			assert.LessOrEqual(t, behind, 4.0)
		})
	}
}

func TestScaled(t *testing.T) {
	assert.Equal(t, []uint32{1 << 20, 1 << 19, 0, 1}, scaled([]float64{7, 3.5, 0, 1e-12}))
	assert.Equal(t, []uint32{0}, scaled([]float64{0}))
}
