package maglev_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log"

	"github.com/maglev-lb/maglev"
)

// Keys that come from outside can be chosen to land on one backend, unless
// the hash has a secret.
func ExampleSipHash() {
	// 16 random bytes that the whole fleet shares and nobody else knows.
	secret := [16]byte([]byte("0123456789abcdef"))

	table, err := maglev.New([]maglev.Backend{
		{Name: "cache-1"}, {Name: "cache-2"}, {Name: "cache-3"},
	}, maglev.Options{Hash: maglev.SipHash(secret)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(table.Backend(table.LookupString("user-42")).Name)
	// Output:
	// cache-2
}

// For a fleet that hashes its keys with FarmHash already.
func ExampleFarmHash() {
	table, err := maglev.New([]maglev.Backend{
		{Name: "cache-1"}, {Name: "cache-2"}, {Name: "cache-3"},
	}, maglev.Options{Hash: maglev.FarmHash})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(table.Backend(table.LookupString("user-42")).Name)
	// Output:
	// cache-3
}

// A hash of one's own has to use the seed, from which a backend's offset and
// skip differ.
func ExampleHash() {
	sha := func(key string, seed uint64) uint64 {
		sum := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(key), seed))
		return binary.LittleEndian.Uint64(sum[:])
	}
	table, err := maglev.New([]maglev.Backend{
		{Name: "cache-1"}, {Name: "cache-2"}, {Name: "cache-3"},
	}, maglev.Options{Hash: sha})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(table.Backend(table.LookupString("user-42")).Name)
	// Output:
	// cache-2
}
