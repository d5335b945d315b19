// Package bench measures maglev beside its rivals: the same work, in one run.
package bench

import (
	"slices"
	"strings"

	"github.com/maglev-lb/maglev"
)

// plain is the loop that a good Go programmer would write from the paper:
// permutations stepped and not stored, an int per slot, add and conditional
// subtract in place of a division.
func plain(names []string, m int) []int {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(names[a], names[b]) })
	next := make([]int, len(names))
	skip := make([]int, len(names))
	for rank, i := range order {
		next[rank] = int(maglev.XXHash(names[i], 0) % uint64(m))
		skip[rank] = int(maglev.XXHash(names[i], 1)%uint64(m-1)) + 1
	}
	entry := make([]int, m)
	for c := range entry {
		entry[c] = -1
	}
	for n := 0; ; {
		for rank, i := range order {
			c := next[rank]
			for entry[c] >= 0 {
				if c += skip[rank]; c >= m {
					c -= m
				}
			}
			entry[c] = i
			if c += skip[rank]; c >= m {
				c -= m
			}
			next[rank] = c
			if n++; n == m {
				return entry
			}
		}
	}
}

// plainWeighted is plain with Envoy's weights.
func plainWeighted(names []string, weights []uint32, m int) []int {
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(names[a], names[b]) })
	sum := uint64(0)
	for _, w := range weights {
		sum += uint64(w)
	}
	next := make([]int, len(names))
	skip := make([]int, len(names))
	share := make([]float64, len(names))
	target := make([]float64, len(names))
	largest := 0.0
	for rank, i := range order {
		next[rank] = int(maglev.XXHash(names[i], 0) % uint64(m))
		skip[rank] = int(maglev.XXHash(names[i], 1)%uint64(m-1)) + 1
		share[rank] = float64(weights[i]) / float64(sum)
		largest = max(largest, share[rank])
	}
	entry := make([]int, m)
	for c := range entry {
		entry[c] = -1
	}
	n := 0
	for round := 1.0; ; round++ {
		for rank, i := range order {
			if round*share[rank] < target[rank] {
				continue
			}
			target[rank] += largest
			c := next[rank]
			for entry[c] >= 0 {
				if c += skip[rank]; c >= m {
					c -= m
				}
			}
			entry[c] = i
			if c += skip[rank]; c >= m {
				c -= m
			}
			next[rank] = c
			if n++; n == m {
				return entry
			}
		}
	}
}
