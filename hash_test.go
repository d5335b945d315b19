package maglev_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

func TestXXHash(t *testing.T) {
	require.Equal(t, uint64(0xEF46DB3751D8E999), maglev.XXHash("", 0), "the specification's XXH64 of nothing")
	require.Equal(t, uint64(3728699739546630719), maglev.XXHash("foo", 0))
	require.Equal(t, uint64(17745830980996999794), maglev.XXHash("bar", maglev.XXHash("foo", 0)),
		"Envoy's hash of a list of two, the first one's hash being the second one's seed")
	require.NotEqual(t, maglev.XXHash("foo", 0), maglev.XXHash("foo", 1))
}

// The vectors of the SipHash paper, appendix A, and of its reference code: key
// 00 01 … 0f, input 00 01 02 … of growing length.
func TestSipHash(t *testing.T) {
	var key [16]byte
	input := make([]byte, 15)
	for i := range key {
		key[i] = byte(i)
	}
	for i := range input {
		input[i] = byte(i)
	}
	hash := maglev.SipHash(key)
	require.Equal(t, uint64(0x726fdb47dd0e0e31), hash("", 0))
	require.Equal(t, uint64(0x74f839c593dc67fd), hash("\x00", 0))
	require.Equal(t, uint64(0xa129ca6149be45e5), hash(string(input), 0))
	require.NotEqual(t, hash("foo", 0), hash("foo", 1))
	require.NotEqual(t, hash("foo", 0), maglev.SipHash([16]byte{})("foo", 0))
}

// A long input takes FarmHash's other paths; the seed counts in all.
func TestFarmHash(t *testing.T) {
	seen := make(map[uint64]bool)
	key := ""
	for len(key) < 300 {
		for seed := range uint64(3) {
			h := maglev.FarmHash(key, seed)
			require.Equal(t, h, maglev.FarmHash(key, seed))
			require.False(t, seen[h], "%d bytes, seed %d", len(key), seed)
			seen[h] = true
		}
		key += "farm"
	}
}
