package cilium

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/cilium/pkg/loadbalancer"
	original "github.com/cilium/cilium/pkg/maglev"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// BenchmarkBuild measures a table of backends of Cilium's default weight.
// Cilium keeps its memory from one table to the next; its first, which takes
// several times as long, is not counted. maglev.New keeps none. Cilium also
// writes the names, which maglev is given: less than a microsecond a backend.
func BenchmarkBuild(b *testing.B) {
	for _, m := range []int{16381, 65521, 131071} {
		for _, n := range []int{10, 100, 1000} {
			c := &Case{HashSeed: original.DefaultHashSeed, TableSize: m}
			for i := range n {
				addr := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
				c.Backends = append(c.Backends, Backend{
					Addr:     netip.AddrPortFrom(addr, 8080),
					Protocol: loadbalancer.TCP,
					Weight:   loadbalancer.DefaultBackendWeight,
				})
			}
			b.Run(fmt.Sprintf("impl=maglev/M=%d/N=%d", m, n), func(b *testing.B) {
				backends, opts, err := c.Maglev()
				require.NoError(b, err)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := maglev.New(backends, opts); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(fmt.Sprintf("impl=cilium/M=%d/N=%d", m, n), func(b *testing.B) {
				config, infos, err := c.Original()
				require.NoError(b, err)
				backends := slices.Values(slices.Collect(infos))
				cilium := startCilium(b)
				cilium.Config = config
				cilium.GetLookupTable(backends) // the first allocates the memory
				b.ReportAllocs()
				for b.Loop() {
					cilium.GetLookupTable(backends)
				}
			})
		}
	}
}
