package maglev

import (
	"encoding/binary"
	"unsafe"

	"github.com/cespare/xxhash/v2"
	"github.com/dchest/siphash"
	"github.com/dgryski/go-farm"
)

// A Hash maps a key and a seed to 64 bits. It must be a pure function: the
// same on every machine and in every process that is to agree about a table,
// and safe to call from several goroutines.
//
// Which one to use:
//
//   - [XXHash], the default, is Envoy's. Choose it unless you know better.
//   - [FarmHash] is for fleets whose keys are hashed with FarmHash already.
//   - [SipHash] is for keys that an adversary can choose.
//
// A seed is no defence. Whoever can choose keys can also find many that land
// on one backend of a table built with XXHash or FarmHash: both are published
// functions, made to be fast and not to resist, and collisions are known that
// hold under every seed. SipHash with a secret key withstands that. The key
// belongs to the fleet: members with different keys build different tables.
type Hash func(key string, seed uint64) uint64

// XXHash is XXH64, the hash of Envoy's Maglev tables and of its header and
// cookie hash policies. It is a [Hash].
func XXHash(key string, seed uint64) uint64 {
	if seed == 0 {
		return xxhash.Sum64String(key)
	}
	var d xxhash.Digest
	d.ResetWithSeed(seed)
	_, _ = d.WriteString(key) // never fails
	return d.Sum64()
}

// FarmHash is FarmHash's Hash64WithSeed. It is a [Hash].
func FarmHash(key string, seed uint64) uint64 {
	return farm.Hash64WithSeed(bytesOf(key), seed)
}

// SipHash returns SipHash-2-4 under a secret key of 128 bits, for keys that an
// adversary can choose. The halves of the key are read as little-endian
// integers, as in the SipHash paper, and the seed is XORed into the second
// half; with seed 0 the result is plain SipHash-2-4.
func SipHash(key [16]byte) Hash {
	k0 := binary.LittleEndian.Uint64(key[:8])
	k1 := binary.LittleEndian.Uint64(key[8:])
	return func(s string, seed uint64) uint64 {
		return siphash.Hash(k0, k1^seed, bytesOf(s))
	}
}

// bytesOf returns the bytes of s without copying them; they must only be read.
func bytesOf(s string) []byte {
	return unsafe.Slice(unsafe.StringData(s), len(s))
}
