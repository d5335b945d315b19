package maglev_test

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// A placed value knows which set it came with and the index it has there.
type placed struct{ set, index int }

// Lookups while sets are swapped never meet the table of one set and the values
// or states of another. Sizes: MAGLEV_SWAPS (default 40) and MAGLEV_LOOKUPS
// (default 400000); the full proof is
//
//	MAGLEV_SWAPS=10000 MAGLEV_LOOKUPS=1000000000 go test -timeout 30m -v -run TestLookupsDuringSwaps .
func TestLookupsDuringSwapsMeetOneGeneration(t *testing.T) {
	swaps, lookups := size(t, "MAGLEV_SWAPS", 40), size(t, "MAGLEV_LOOKUPS", 400000)

	// Sets that share no name, in sizes so different that an index of one is
	// often beyond the end of another.
	var sets [][]maglev.Member[placed]
	var tables []*maglev.Table
	for set, n := range []int{3, 100, 10, 300} {
		var members []maglev.Member[placed]
		var backends []maglev.Backend
		for i := range n {
			backend := maglev.Backend{Name: fmt.Sprintf("%d-%04d", set, i)}
			members = append(members, maglev.Member[placed]{Backend: backend, Value: placed{set, i}})
			backends = append(backends, backend)
		}
		sets, tables = append(sets, members), append(tables, mustNew(t, backends, maglev.Options{}))
	}
	b, err := maglev.NewBalancer[placed](maglev.BalancerOptions{})
	require.NoError(t, err)
	require.NoError(t, b.Update(sets[0]))

	const batch = 1000
	var done, wrong atomic.Int64
	var swapped atomic.Bool
	var seen [4]atomic.Int64
	var readers sync.WaitGroup
	for reader := range int64(2) {
		readers.Go(func() {
			hash := uint64(reader) << 63
			for !swapped.Load() || done.Load() < lookups {
				var of [4]int64
				bad := int64(0)
				for range batch {
					hash += 0x9E3779B97F4A7C15
					v, ok := b.Pick(hash)
					if !ok || tables[v.set].Lookup(hash) != v.index {
						bad++
					}
					of[v.set]++
				}
				done.Add(batch)
				wrong.Add(bad)
				for set := range of {
					seen[set].Add(of[set])
				}
			}
		})
	}
	// The swaps are spread over the lookups, and each set stays for three batches:
	// of two readers, one has begun one of them after the swap.
	for swap := range swaps {
		require.NoError(t, b.Update(sets[(swap+1)%int64(len(sets))]))
		for until := max(done.Load()+3*batch, (swap+1)*(lookups/swaps)); done.Load() < until; {
			runtime.Gosched()
		}
	}
	swapped.Store(true)
	readers.Wait()
	require.Zero(t, wrong.Load())
	total := int64(0)
	for set := range seen {
		require.NotZero(t, seen[set].Load(), "set %d", set)
		total += seen[set].Load()
	}
	require.Equal(t, uint64(swaps+1), b.Stats().Rebuilds)
	t.Logf("%d lookups during %d swaps: %d wrong", total, swaps, wrong.Load())
}

// size returns a size from the environment.
func size(t *testing.T, variable string, otherwise int64) int64 {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(text, 10, 64)
	require.NoError(t, err, variable)
	require.Positive(t, n, variable)
	return n
}
