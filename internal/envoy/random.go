package envoy

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
)

// Random returns a cluster that Envoy accepts, of any kind there is: with fewer
// slots than backends, weights up to 2^31, localities that get nothing. No two
// names are equal, and their order is random.
//
// Half of the clusters have localities, and most have hundreds of slots or more:
// to compute the shares in another order of float operations changes one such
// table in twenty, and none with a few slots.
func Random(r *rand.Rand) Cluster {
	c := Cluster{TableSize: randomSize(r)}
	for _, name := range randomNames(r, randomCount(r)) {
		c.Backends = append(c.Backends, Backend{Name: name})
	}
	for i, weight := range randomWeights(r, len(c.Backends)) {
		c.Backends[i].Weight = weight
	}
	if r.IntN(2) == 0 {
		addLocalities(r, &c)
	}
	r.Shuffle(len(c.Backends), func(i, j int) {
		c.Backends[i], c.Backends[j] = c.Backends[j], c.Backends[i]
	})
	return c
}

func randomSize(r *rand.Rand) int {
	switch n := r.IntN(200); {
	case n == 0:
		return 655373
	case n < 16:
		return 65537
	case n < 60:
		return choose(r, 2, 3, 5, 7, 11, 13, 17, 31, 61, 127, 251, 257)
	default:
		return primeFrom(int(logUniform(r, 65000)))
	}
}

// primeFrom returns the first prime that is not below n.
func primeFrom(n int) int {
	for !big.NewInt(int64(n)).ProbablyPrime(0) { // exact below 2^64
		n++
	}
	return n
}

func randomCount(r *rand.Rand) int {
	if r.IntN(40) == 0 {
		return 1 // fills the table alone
	}
	return 1 + int(logUniform(r, 400))
}

// logUniform returns a number from 1 to limit, every order of magnitude as
// likely as another.
func logUniform(r *rand.Rand, limit float64) uint32 {
	return uint32(math.Pow(limit, r.Float64()))
}

func choose[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// sumLimit is the greatest sum that Envoy allows, of the weights of all
// backends, and of those of all localities, also of ones without backends.
const sumLimit = math.MaxUint32

// randomWeights returns n weights, 0 where it is not to be set.
func randomWeights(r *rand.Rand, n int) []uint32 {
	weights := make([]uint32, n)
	kind, all := r.IntN(8), logUniform(r, float64(sumLimit/uint32(n)))
	for i := range weights {
		switch kind {
		case 0, 1: // unset
		case 2:
			weights[i] = all
		case 3:
			weights[i] = uint32(r.IntN(3)) // some unset
		case 4:
			weights[i] = 1 + uint32(r.IntN(10))
		case 5:
			weights[i] = 90 + uint32(r.IntN(21))
		case 6:
			weights[i] = logUniform(r, 1<<31)
		case 7:
			weights[i] = 1
		}
	}
	if kind == 7 && n > 1 {
		weights[r.IntN(n)] = 1 << 31
	}
	limit(weights)
	return weights
}

// limit lowers the last weights until they and those before have a sum that
// Envoy allows.
func limit(weights []uint32) {
	left := uint64(sumLimit)
	for i, weight := range weights {
		others := uint64(len(weights) - i - 1) // to which 1 is left each
		weights[i] = uint32(min(uint64(weight), left-others))
		left -= uint64(max(weights[i], 1))
	}
}

// addLocalities puts the backends into localities. A quarter of those clusters
// gives the localities no weights. In the others some localities have weight 0
// and some no backends.
func addLocalities(r *rand.Rand, c *Cluster) {
	names := make([]string, 1+r.IntN(6))
	for i := range names {
		names[i] = fmt.Sprintf("zone-%c", 'a'+i)
	}
	for i := range c.Backends {
		c.Backends[i].Locality = choose(r, names...)
	}
	if r.IntN(4) == 0 {
		return
	}
	if r.IntN(3) == 0 {
		names = append(names, "zone-without-backends")
	}
	weights := randomWeights(r, len(names))
	if slices.Max(weights) == 0 && r.IntN(4) > 0 {
		weights = slices.Repeat([]uint32{1}, len(names)) // seldom an empty table
	}
	if r.IntN(3) == 0 {
		weights[r.IntN(len(weights))] = 0
	}
	c.LocalityWeights = make(map[string]uint32, len(names))
	for i, name := range names {
		c.LocalityWeights[name] = weights[i]
	}
}

func randomNames(r *rand.Rand, n int) []string {
	name := choose(r, plainIPv4, randomIPv4, randomIPv6, randomIPv6, plainKey, randomKey, nestedKey, longKey, mixed)
	names := make([]string, 0, n)
	seen := make(map[string]bool, n)
	for len(names) < n {
		if name := name(r); !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

func mixed(r *rand.Rand) string {
	return choose(r, randomIPv4, randomIPv6, plainKey, randomKey)(r)
}

func plainIPv4(r *rand.Rand) string {
	return fmt.Sprintf("10.0.%d.%d:8080", r.IntN(4), r.IntN(256))
}

func randomIPv4(r *rand.Rand) string {
	return fmt.Sprintf("%d.%d.%d.%d:%d", 128+r.IntN(64), r.IntN(256), r.IntN(256), r.IntN(256), 1+r.IntN(65535))
}

// randomIPv6 makes addresses with many zeros in them, as it is in writing those
// that programs differ.
func randomIPv6(r *rand.Rand) string {
	var b [16]byte
	for i := 0; i < len(b); i += 2 {
		if r.IntN(2) == 0 {
			b[i], b[i+1] = byte(r.IntN(256)), byte(r.IntN(256))
		}
	}
	switch r.IntN(8) {
	case 0:
		b = [16]byte{10: 0xff, 11: 0xff, 12: 10, 13: b[13], 14: b[14], 15: b[15]}
	case 1:
		b = [16]byte{12: 10, 13: b[13], 14: b[14], 15: b[15]}
	}
	return addressText(netip.AddrPortFrom(netip.AddrFrom16(b), uint16(1+r.IntN(65535))))
}

func plainKey(r *rand.Rand) string {
	return fmt.Sprintf("%s-%d", choose(r, "backend", "shard", "replica"), r.IntN(1000))
}

// nestedKey makes keys of which one is a prefix of another.
func nestedKey(r *rand.Rand) string {
	return strings.Repeat(choose(r, "a", "ab", "ab\x00", "é"), 1+r.IntN(40)) + choose(r, "", "", "0", "ÿ", " ")
}

// longKey makes keys that differ near the end, after several of the blocks that
// XXH64 works in.
func longKey(r *rand.Rand) string {
	const prefix = "spiffe://cluster.local/ns/production/sa/checkout/region/"
	return strings.Repeat(prefix, 1+r.IntN(3)) + fmt.Sprintf("%x", r.Uint64N(1<<uint(4+r.IntN(40))))
}

// randomKey makes keys of characters that take one to four bytes in UTF-8.
// Lines of the log end in newline, so that one is out.
func randomKey(r *rand.Rand) string {
	ranges := [][2]rune{{0x01, 0x09}, {0x20, 0x7e}, {0x20, 0x7e}, {0xc0, 0xff}, {0x370, 0x3ff}, {0x400, 0x4ff}, {0x4e00, 0x9fff}, {0xac00, 0xd7a3}, {0x20000, 0x2a6d0}}
	var key strings.Builder
	for range 1 + r.IntN(40) {
		from := choose(r, ranges...)
		key.WriteRune(from[0] + r.Int32N(from[1]-from[0]+1))
	}
	return key.String()
}
