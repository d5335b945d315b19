package cilium

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"

	"github.com/cilium/cilium/pkg/loadbalancer"
	original "github.com/cilium/cilium/pkg/maglev"
)

// TableSizes are all that Cilium supports.
var TableSizes = []int{251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071}

// Draw returns case i of a seed: up to 512 backends, more often few than
// many, in no particular order, and a table that is more often small than
// large.
func Draw(seed, i uint64) *Case {
	rng := rand.New(rand.NewPCG(seed, i))
	c := &Case{
		HashSeed:  original.DefaultHashSeed,
		TableSize: TableSizes[min(rng.IntN(len(TableSizes)), rng.IntN(len(TableSizes)))],
	}
	if rng.IntN(4) > 0 {
		c.HashSeed = drawSeed(rng)
	}
	c.Backends = drawBackends(rng, 1+rng.IntN(2<<rng.IntN(9)))
	for i, w := range drawWeights(rng, len(c.Backends)) {
		c.Backends[i].Weight = w
	}
	return c
}

func drawSeed(rng *rand.Rand) string {
	var seed [12]byte
	binary.BigEndian.PutUint64(seed[:], rng.Uint64())
	binary.BigEndian.PutUint32(seed[8:], rng.Uint32())
	return base64.StdEncoding.EncodeToString(seed[:])
}

// drawBackends keeps to a few networks, so that names differ late, or by their
// port, protocol, cluster or scope alone.
func drawBackends(rng *rand.Rand, n int) []Backend {
	hosts := 1 + rng.IntN(1<<rng.IntN(17))
	ipv6 := rng.IntN(4) // 0 and 1: IPv4; 2: IPv6; 3: both
	plain := rng.IntN(2) == 0
	backends := make([]Backend, 0, n)
	seen := make(map[Backend]bool, n)
	for len(backends) < n {
		b := Backend{Addr: drawAddr(rng, rng.IntN(hosts), ipv6 == 2 || ipv6 == 3 && rng.IntN(2) == 0), Protocol: loadbalancer.TCP}
		if !plain {
			b.Protocol = []loadbalancer.L4Type{loadbalancer.TCP, loadbalancer.UDP, loadbalancer.SCTP, loadbalancer.ANY}[rng.IntN(4)]
			b.Cluster = uint32(max(0, rng.IntN(512)-256)) // an id is 511 at most
			b.Internal = rng.IntN(4) == 0
		}
		if !seen[b] {
			seen[b] = true
			backends = append(backends, b)
		}
	}
	return backends
}

func drawAddr(rng *rand.Rand, host int, ipv6 bool) netip.AddrPort {
	port := uint16(80)
	if rng.IntN(2) == 0 {
		port = uint16(rng.Uint32())
	}
	low, high := byte(host), byte(host>>8)
	addr := netip.AddrFrom4([4]byte{10, 0, high, low})
	if ipv6 {
		switch rng.IntN(4) {
		case 0: // its text has both colons and dots
			addr = netip.AddrFrom16(addr.As16())
		default:
			addr = netip.AddrFrom16([16]byte{0: 0xfd, 7: byte(rng.IntN(2)), 14: high, 15: low})
		}
	}
	return netip.AddrPortFrom(addr, port)
}

// drawWeights leaves out 0, which means 1 in maglev. In Cilium such a backend
// counts with 0, claims a slot in its first turn, and none after.
func drawWeights(rng *rand.Rand, n int) []uint16 {
	weights := make([]uint16, n)
	draw := func(weight func() int) []uint16 {
		for i := range weights {
			weights[i] = uint16(weight())
		}
		return weights
	}
	switch rng.IntN(7) {
	case 0: // equal: Cilium's default, or any other
		equal := []int{1, 2, loadbalancer.DefaultBackendWeight, math.MaxUint16, 1 + rng.IntN(math.MaxUint16)}[rng.IntN(5)]
		return draw(func() int { return equal })
	case 1: // small
		return draw(func() int { return 1 + rng.IntN(4) })
	case 2: // a mean just below 2, where they begin to count, or from 2 on
		draw(func() int { return 1 })
		for range n - 1 + rng.IntN(3) {
			weights[rng.IntN(n)]++
		}
		return weights
	case 3: // an operator's multiples of the default
		return draw(func() int { return loadbalancer.DefaultBackendWeight * (1 + rng.IntN(4)) })
	case 4: // skewed: each magnitude as likely as the next
		return draw(func() int { return max(1, rng.IntN(2<<rng.IntN(16))) })
	case 5: // a few against everyone
		return draw(func() int {
			if rng.IntN(n) == 0 {
				return math.MaxUint16
			}
			return 1
		})
	default:
		return draw(func() int { return 1 + rng.IntN(math.MaxUint16) })
	}
}
