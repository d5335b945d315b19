package main

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

// A placement says where keys are, without any calls: by its hash, the servers in the
// order in which a key prefers them.
type placement struct {
	servers int
	order   func(hash uint64) iter.Seq[int]
}

// first returns the server of a key, if one or none is down.
func (p placement) first(key, down string) string {
	for i := range p.order(maglev.XXHash(key, 0)) {
		if name := lookup.NameOf(i); name != down {
			return name
		}
	}
	return ""
}

// count returns how many of the keys each server has.
func (p placement) count(keys []string) map[int]int {
	by := make(map[int]int)
	for _, key := range keys {
		for i := range p.order(maglev.XXHash(key, 0)) {
			by[i]++
			break
		}
	}
	return by
}

func (p placement) maxMean(keys []string) float64 { return lookup.MaxMean(p.count(keys), p.servers) }

// byTable is by a table of the hosts.
func byTable(t *testing.T, servers int) placement {
	t.Helper()
	backends := make([]maglev.Backend, servers)
	for i := range backends {
		backends[i].Name = host(i)
	}
	table, err := maglev.New(backends, maglev.Options{})
	require.NoError(t, err)
	return placement{servers, table.Candidates}
}

// byRing is by a ring as gRFC A42 has it for servers of equal weight: each has as many
// points as make 1024 or a few more in all.
func byRing(servers int, host func(i int) string) placement {
	type point struct {
		hash   uint64
		server int
	}
	var points []point
	for i := range servers {
		for j := range (1024 + servers - 1) / servers {
			points = append(points, point{maglev.XXHash(fmt.Sprintf("%s_%d", host(i), j), 0), i})
		}
	}
	slices.SortFunc(points, func(a, b point) int { return cmp.Compare(a.hash, b.hash) })
	return placement{servers, func(hash uint64) iter.Seq[int] {
		return func(yield func(int) bool) {
			at, _ := slices.BinarySearchFunc(points, hash, func(p point, hash uint64) int { return cmp.Compare(p.hash, hash) })
			for i := range points {
				if !yield(points[(at+i)%len(points)].server) {
					return
				}
			}
		}
	}}
}
