package maglev

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/twmb/murmur3"
)

// A Dialect is the set of rules by which a system fills its tables: how a
// backend's name becomes a permutation, in which order the backends have their
// turns, what weights do, and which table sizes exist. Tables built from the
// same backends under the same dialect agree slot for slot with that system's.
//
// The zero value is [Envoy]. A Dialect may be copied and shared.
type Dialect struct {
	*dialect // nil means envoy
}

// Envoy is the dialect of Envoy 1.27 and later (lb_policy MAGLEV), and of
// gRPC and Istio where they follow it.
//
// A backend's name is its hash key: the endpoint metadata envoy.lb/hash_key if
// that is set, else the address text such as "10.0.0.1:80" or
// "[2001:db8::1]:80"; where the two differ, as in "[::1.2.3.4]:80", it is
// Envoy's text that counts and not net/netip's. offset is Hash(name, 0) mod M, skip is
// Hash(name, 1) mod (M-1) + 1, and only [XXHash] agrees with Envoy.
// Names are sorted by their bytes. With [Options.LocalityWeights] a backend's
// share is its weight's share of its locality times the locality's share of
// all localities that have backends.
var Envoy Dialect

var envoy = &dialect{
	name:        "Envoy",
	defaultSize: 65537,
	localities:  true,
	place: func(d *divisor, hash Hash, name string) preference {
		return d.preferenceOf(hash(name, 0), hash(name, 1))
	},
	turns: (*Builder).envoyTurns,
}

// ciliumSizes are the values of Cilium's option bpf-lb-maglev-table-size.
var ciliumSizes = []int{251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071}

// CiliumDefaultSeed is the seed for [Cilium] that belongs to Cilium's default
// bpf-lb-maglev-hash-seed, "JLfvgnHc2kaSUFaI".
const CiliumDefaultSeed uint32 = 0x24b7ef82

// Cilium is the dialect of Cilium 1.20. The seed is the first four bytes, read
// as a big-endian integer, of what the base64 text in
// bpf-lb-maglev-hash-seed decodes to; see [CiliumDefaultSeed].
//
// A backend's name is Cilium's text for it, which [CiliumName] writes. The
// permutation comes from MurmurHash3 over that text; [Options.Hash] serves
// LookupString alone. The table size is one of 251, 509, 1021, 2039, 4093,
// 8191, 16381 (the default), 32749, 65521 and 131071.
//
// A backend of weight 0 cannot be expressed: here that means 1. Cilium's rule
// that weights count only if their mean, rounded down, is above 1 is kept:
// weights 1, 1, 1, 3 make four equal backends, 100, 100, 100, 300 do not.
func Cilium(seed uint32) Dialect {
	return Dialect{&dialect{
		name:        "Cilium",
		defaultSize: 16381,
		sizes:       ciliumSizes,
		place: func(d *divisor, _ Hash, name string) preference {
			return d.preferenceOf(murmur3.SeedStringSum128(uint64(seed), uint64(seed), name))
		},
		turns: (*Builder).ciliumTurns,
	}}
}

// CiliumName returns the name that Cilium sorts and hashes an active backend
// by, such as "[10.0.0.1:80/TCP,State:active]". The protocol is TCP, UDP, SCTP
// or ANY. Cilium appends "@" and the cluster's id to the address of a backend in
// another cluster, and "/i" to the protocol of one in the internal scope; such
// names are written by hand.
func CiliumName(addr netip.AddrPort, protocol string) string {
	return fmt.Sprintf("[%s/%s,State:active]", addr, protocol)
}

// Katran is the dialect of Katran's table, version 2. Katran knows a backend
// by a 64-bit hash that its caller supplies; hashOf computes it from the name
// and must be pure. Backends are sorted by it.
//
// Katran leaves out a backend of weight 0. Here weight 0 means 1, so leave it
// out of the slice instead. [Options.Hash] serves LookupString alone.
//
// Katran computes positions in 32 bits. That makes no difference up to the
// default size, 65537. Above it the wrapped positions are used here too; a
// backend may then have a turn and no free slot within its reach, upon which
// New fails with [ErrTableSize] where Katran would search for ever.
func Katran(hashOf func(name string) uint64) Dialect {
	return Dialect{&dialect{
		name:        "Katran",
		defaultSize: katranSize,
		exactUpTo:   katranSize,
		sortKey:     hashOf,
		needsKey:    true,
		place: func(d *divisor, _ Hash, name string) preference {
			h := hashOf(name)
			return d.preferenceOf(katranHash(h, 42, 0), katranHash(h, 2718281828, 2307))
		},
		turns: (*Builder).katranTurns,
	}}
}

const katranSize = 65537

// katranHash is the first half of MurmurHash3 over two integers in
// little-endian order.
func katranHash(a, b, seed uint64) uint64 {
	var buf [16]byte
	binary.LittleEndian.PutUint64(buf[:8], a)
	binary.LittleEndian.PutUint64(buf[8:], b)
	h, _ := murmur3.SeedSum128(seed, seed, buf[:])
	return h
}

// String returns the name of the system.
func (d Dialect) String() string { return d.rules().name }

func (d Dialect) rules() *dialect {
	if d.dialect == nil {
		return envoy
	}
	return d.dialect
}

// dialect holds what a Dialect chooses.
type dialect struct {
	name        string
	defaultSize int
	sizes       []int // ascending; nil means every prime up to MaxTableSize
	exactUpTo   int   // positions wrap at 2^32 in larger tables; 0 means never
	localities  bool  // it knows locality weights

	// Order: ascending by sortKey, then by the bytes of the name. Without a
	// sortKey by the bytes alone.
	sortKey  func(name string) uint64
	needsKey bool

	// place gives a backend its permutation.
	place func(d *divisor, hash Hash, name string) preference

	// turns prepares what weights make of the turns; nil if nobody has one.
	// It is not asked where all weights are equal and there are no localities.
	turns func(b *Builder, t *Table, localityWeights map[string]uint32) turns
}

// check refuses options that the dialect has no use for, or lacks.
func (d *dialect) check(opts *Options) error {
	if d.needsKey && d.sortKey == nil {
		return fmt.Errorf("maglev: Options.Dialect: %w: %s's hashOf is nil; pass the function that computes a backend's 64-bit hash from its name",
			ErrDialect, d.name)
	}
	if opts.LocalityWeights != nil && !d.localities {
		return fmt.Errorf("maglev: Options.LocalityWeights: %w: %s has no localities; leave it nil", ErrDialect, d.name)
	}
	return nil
}

// size returns the table size that is asked for, or an error which names the
// nearest that there is.
func (d *dialect) size(asked int) (int, error) {
	switch {
	case asked == 0:
		return d.defaultSize, nil
	case d.sizes != nil:
		if slices.Contains(d.sizes, asked) {
			return asked, nil
		}
		return 0, fmt.Errorf("maglev: Options.TableSize %d: %w: %s has only %v; the nearest is %d",
			asked, ErrTableSize, d.name, d.sizes, nearest(d.sizes, asked))
	case asked < 2:
		return 0, fmt.Errorf("maglev: Options.TableSize %d: %w: it must be a prime from 2 to %d, or 0 for %d; the nearest prime is 2",
			asked, ErrTableSize, MaxTableSize, d.defaultSize)
	case asked > MaxTableSize:
		return 0, fmt.Errorf("maglev: Options.TableSize %d: %w: the largest is %d, a prime; use that or less",
			asked, ErrTableSize, MaxTableSize)
	case !isPrime(asked):
		below, above := primesAround(asked)
		return 0, fmt.Errorf("maglev: Options.TableSize %d: %w: it must be a prime; the nearest are %d and %d",
			asked, ErrTableSize, below, above)
	}
	return asked, nil
}

// nearest returns the element of an ascending slice that is closest to n.
func nearest(sizes []int, n int) int {
	i, _ := slices.BinarySearch(sizes, n)
	switch {
	case i == 0:
		return sizes[0]
	case i == len(sizes) || n-sizes[i-1] <= sizes[i]-n:
		return sizes[i-1]
	}
	return sizes[i]
}
