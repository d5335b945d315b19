package bench

import (
	"fmt"
	"math/bits"
	"strconv"
	"testing"

	kkdai "github.com/kkdai/maglev"
	"github.com/serialx/hashring"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// golden spreads the hashes of a counter over the table.
const golden = 0x9E3779B97F4A7C15

var sink int

// BenchmarkLookup compares Lookup with the least that a table can cost: one
// read of an array of the same width, reduced by multiply-shift. That puts a
// key elsewhere than hash mod M, so it is a bound and no rival.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{100, 1000} {
		f := newFleet(n, false)
		table, err := maglev.New(f.backends, maglev.Options{})
		require.NoError(b, err)
		run := func(impl string, loop func(b *testing.B)) {
			b.Run(fmt.Sprintf("impl=%s/M=%d/N=%d", impl, table.Size(), n), func(b *testing.B) {
				b.ReportAllocs()
				loop(b)
			})
		}
		run("maglev", func(b *testing.B) {
			sum, hash := 0, uint64(0)
			for b.Loop() {
				hash += golden
				sum += table.Lookup(hash)
			}
			sink = sum
		})
		if n <= 256 {
			run("bare", bareRead[uint8](table))
		} else {
			run("bare", bareRead[uint16](table))
		}
	}
}

func bareRead[S uint8 | uint16](table *maglev.Table) func(b *testing.B) {
	slots := make([]S, table.Size())
	for c := range slots {
		slots[c] = S(table.Lookup(uint64(c)))
	}
	return func(b *testing.B) {
		sum, hash := 0, uint64(0)
		for b.Loop() {
			hash += golden
			c, _ := bits.Mul64(hash, uint64(len(slots)))
			sum += int(slots[c])
		}
		sink = sum
	}
}

// BenchmarkLookupString starts from the key, which is where the rivals start.
func BenchmarkLookupString(b *testing.B) {
	keys := make([]string, 4096)
	for i := range keys {
		keys[i] = "user-" + strconv.Itoa(i*7919)
	}
	for _, n := range []int{10, 100} {
		f := newFleet(n, false)
		table, err := maglev.New(f.backends, maglev.Options{})
		require.NoError(b, err)
		rival, err := kkdai.NewMaglev(f.names, uint64(table.Size()))
		require.NoError(b, err)

		// A ring needs many points a node to come near a table's evenness.
		const points = 1600
		weights := make(map[string]int)
		for _, name := range f.names {
			weights[name] = points
		}
		ring := hashring.NewWithWeights(weights)

		for _, impl := range []struct {
			name   string
			lookup func(key string) bool
		}{
			{"maglev", func(key string) bool { return table.LookupString(key) >= 0 }},
			{"kkdai", func(key string) bool { _, err := rival.Get(key); return err == nil }},
			{"ring", func(key string) bool { _, ok := ring.GetNode(key); return ok }},
		} {
			b.Run(fmt.Sprintf("impl=%s/M=%d/N=%d", impl.name, table.Size(), n), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if !impl.lookup(keys[i%len(keys)]) {
						b.Fatal("no backend")
					}
					i++
				}
			})
		}
	}
}
