package maglev_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/maglev-lb/maglev"
)

func Example() {
	table, err := maglev.New([]maglev.Backend{
		{Name: "10.0.0.1:8080"},
		{Name: "10.0.0.2:8080"},
		{Name: "10.0.0.3:8080"},
	}, maglev.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []string{"user-41", "user-42", "user-43"} {
		i := table.LookupString(key)
		fmt.Println(key, "->", table.Backend(i).Name)
	}
	// Output:
	// user-41 -> 10.0.0.2:8080
	// user-42 -> 10.0.0.3:8080
	// user-43 -> 10.0.0.3:8080
}

// Everything there is, in one place.
func Example_glance() {
	backends := []maglev.Backend{
		{Name: "10.0.0.1:8080"},                     // the identity, and what is hashed
		{Name: "10.0.0.2:8080", Weight: 3},          // three times the slots; 0 means 1
		{Name: "10.0.0.3:8080", Locality: "zone-b"}, // read if LocalityWeights is set
	}
	table, err := maglev.New(backends, maglev.Options{ // a *Table
		TableSize:       65537,         // a prime up to MaxTableSize; 0: the dialect's default
		Hash:            maglev.XXHash, // or FarmHash, SipHash(secret), a Hash of yours
		Dialect:         maglev.Envoy,  // or Cilium(CiliumDefaultSeed) with CiliumName, Katran(hashOf)
		LocalityWeights: nil,           // Envoy's, such as {"zone-a": 3, "zone-b": 1}
	})
	if err != nil {
		log.Fatal(err) // an ErrTableSize, ErrEmptyName, ErrDuplicateName, ErrLocality or ErrDialect
	}

	i := table.LookupString("user-42") // an index into backends; -1 if the table is empty
	hash := maglev.XXHash("user-42", 0)
	i = table.Lookup(hash)            // the same, from a hash
	name := table.Backend(i).Name     // the Backend as it was given
	share := table.Slots(i)           // how many slots it holds
	n, m := table.Len(), table.Size() // how many backends and slots there are
	for i := range table.Candidates(hash) {
		_ = i // all backends, in the order in which this hash prefers them
	}

	var builder maglev.Builder // builds table after table in the same memory
	next, err := builder.Build(backends[:2], maglev.Options{})
	if err != nil {
		log.Fatal(err)
	}
	moved := table.Moved(next) // how many slots have another backend, by name

	fmt.Println(name, share, n, m, moved)
	// Output:
	// 10.0.0.3:8080 13107 3 65537 13127
}

func ExampleNew_weights() {
	table, err := maglev.New([]maglev.Backend{
		{Name: "small-1", Weight: 1},
		{Name: "small-2", Weight: 1},
		{Name: "large-1", Weight: 4},
	}, maglev.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for i := range table.Len() {
		fmt.Printf("%s %.2f%%\n", table.Backend(i).Name, 100*float64(table.Slots(i))/float64(table.Size()))
	}
	// Output:
	// small-1 16.67%
	// small-2 16.67%
	// large-1 66.67%
}

// Envoy divides the slots among the localities first, and each locality's
// among its endpoints.
func ExampleNew_localities() {
	table, err := maglev.New([]maglev.Backend{
		{Name: "10.1.0.1:80", Locality: "zone-a"},
		{Name: "10.1.0.2:80", Locality: "zone-a"},
		{Name: "10.2.0.1:80", Locality: "zone-b"},
		{Name: "10.2.0.2:80", Locality: "zone-b", Weight: 3},
	}, maglev.Options{
		LocalityWeights: map[string]uint32{"zone-a": 80, "zone-b": 20},
	})
	if err != nil {
		log.Fatal(err)
	}
	for i := range table.Len() {
		backend := table.Backend(i)
		fmt.Printf("%s %s %4.1f%%\n", backend.Locality, backend.Name, 100*float64(table.Slots(i))/float64(table.Size()))
	}
	// Output:
	// zone-a 10.1.0.1:80 40.0%
	// zone-a 10.1.0.2:80 40.0%
	// zone-b 10.2.0.1:80  5.0%
	// zone-b 10.2.0.2:80 15.0%
}

// The kind of an error is for programs, its text for people.
func ExampleNew_errors() {
	backends := []maglev.Backend{{Name: "10.0.0.1:8080"}, {Name: "10.0.0.1:8080"}}

	_, err := maglev.New(backends, maglev.Options{})
	fmt.Println(errors.Is(err, maglev.ErrDuplicateName))
	fmt.Println(err)

	_, err = maglev.New(backends[:1], maglev.Options{TableSize: 10_000})
	fmt.Println(errors.Is(err, maglev.ErrTableSize))
	fmt.Println(err)

	// Output:
	// true
	// maglev: backends[0].Name and backends[1].Name: duplicate name "10.0.0.1:8080"; names are identities, so merge the two or rename one
	// true
	// maglev: Options.TableSize 10000: table size not usable: it must be a prime; the nearest are 9973 and 10007
}

// The table of a Cilium agent with the default bpf-lb-maglev-hash-seed and
// bpf-lb-maglev-table-size.
func ExampleCilium() {
	var backends []maglev.Backend
	for _, addr := range []string{"10.0.1.17:8080", "10.0.2.4:8080", "[fd00::1]:8080"} {
		backends = append(backends, maglev.Backend{
			Name: maglev.CiliumName(netip.MustParseAddrPort(addr), "TCP"),
		})
	}
	table, err := maglev.New(backends, maglev.Options{
		Dialect: maglev.Cilium(maglev.CiliumDefaultSeed),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(table.Size(), "slots")
	for slot := range 3 {
		fmt.Println(slot, table.Backend(table.Lookup(uint64(slot))).Name)
	}
	// Output:
	// 16381 slots
	// 0 [[fd00::1]:8080/TCP,State:active]
	// 1 [[fd00::1]:8080/TCP,State:active]
	// 2 [10.0.1.17:8080/TCP,State:active]
}

// Katran knows a backend by a 64-bit hash. Here it is the address.
func ExampleKatran() {
	hashOf := func(name string) uint64 {
		addr := netip.MustParseAddr(name).As4()
		return uint64(binary.BigEndian.Uint32(addr[:]))
	}
	table, err := maglev.New([]maglev.Backend{
		{Name: "10.0.0.1", Weight: 100},
		{Name: "10.0.0.2", Weight: 100},
		{Name: "10.0.0.3", Weight: 50},
	}, maglev.Options{Dialect: maglev.Katran(hashOf)})
	if err != nil {
		log.Fatal(err)
	}
	for i := range table.Len() {
		fmt.Println(table.Backend(i).Name, table.Slots(i))
	}
	// Output:
	// 10.0.0.1 26215
	// 10.0.0.2 26215
	// 10.0.0.3 13107
}

// A backend that is down is passed over. Its keys spread over the others, and
// nobody else's keys move.
func ExampleTable_Candidates() {
	table, err := maglev.New([]maglev.Backend{
		{Name: "cache-1"}, {Name: "cache-2"}, {Name: "cache-3"}, {Name: "cache-4"},
	}, maglev.Options{})
	if err != nil {
		log.Fatal(err)
	}
	down := map[string]bool{"cache-2": true}

	pick := func(key string) string {
		for i := range table.Candidates(maglev.XXHash(key, 0)) {
			if name := table.Backend(i).Name; !down[name] {
				return name
			}
		}
		return "" // all are down
	}

	for _, key := range []string{"user-41", "user-42", "user-43", "user-44", "user-45", "user-46"} {
		fmt.Println(key, table.Backend(table.LookupString(key)).Name, "->", pick(key))
	}
	// Output:
	// user-41 cache-4 -> cache-4
	// user-42 cache-2 -> cache-1
	// user-43 cache-4 -> cache-4
	// user-44 cache-1 -> cache-1
	// user-45 cache-1 -> cache-1
	// user-46 cache-3 -> cache-3
}

// A control loop rebuilds the table whenever the backends change. The older
// tables stay as they are.
func ExampleBuilder() {
	var builder maglev.Builder
	var names []string
	for _, joins := range []string{"cache-1", "cache-2", "cache-3"} {
		names = append(names, joins)
		var backends []maglev.Backend
		for _, name := range names {
			backends = append(backends, maglev.Backend{Name: name})
		}
		table, err := builder.Build(backends, maglev.Options{})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(table.Len(), "backends, the first holds", table.Slots(0), "slots")
	}
	// Output:
	// 1 backends, the first holds 65537 slots
	// 2 backends, the first holds 32769 slots
	// 3 backends, the first holds 21846 slots
}

// What it costs to take one of ten backends away: its own tenth of the slots,
// and a little.
func ExampleTable_Moved() {
	var backends []maglev.Backend
	for i := range 10 {
		backends = append(backends, maglev.Backend{Name: fmt.Sprintf("10.0.0.%d:8080", i)})
	}
	before, err := maglev.New(backends, maglev.Options{})
	if err != nil {
		log.Fatal(err)
	}
	after, err := maglev.New(backends[:9], maglev.Options{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("its own: %.2f%%\n", 100*float64(before.Slots(9))/float64(before.Size()))
	fmt.Printf("moved:   %.2f%%\n", 100*float64(before.Moved(after))/float64(before.Size()))
	// Output:
	// its own: 10.00%
	// moved:   10.21%
}

// Backends without weights differ by one slot at most.
func ExampleTable_Slots() {
	table, err := maglev.New([]maglev.Backend{
		{Name: "cache-1"}, {Name: "cache-2"}, {Name: "cache-3"},
	}, maglev.Options{TableSize: 1009})
	if err != nil {
		log.Fatal(err)
	}
	for i := range table.Len() {
		fmt.Println(table.Backend(i).Name, table.Slots(i))
	}
	// Output:
	// cache-1 337
	// cache-2 336
	// cache-3 336
}

// A key need not be a string: hash what identifies the flow, the same way on
// every machine.
func ExampleTable_Lookup() {
	table, err := maglev.New([]maglev.Backend{
		{Name: "dns-1"}, {Name: "dns-2"}, {Name: "dns-3"},
	}, maglev.Options{})
	if err != nil {
		log.Fatal(err)
	}
	client := netip.MustParseAddrPort("192.0.2.7:53124")
	flow, err := client.MarshalBinary()
	if err != nil {
		log.Fatal(err)
	}
	i := table.Lookup(maglev.XXHash(string(flow), 0))
	fmt.Println(client, "->", table.Backend(i).Name)
	// Output:
	// 192.0.2.7:53124 -> dns-3
}

// A table does not change, so a new one is swapped in while requests read the
// old one, without a lock.
func ExampleTable_atomic() {
	var current atomic.Pointer[maglev.Table]

	update := func(names ...string) {
		var backends []maglev.Backend
		for _, name := range names {
			backends = append(backends, maglev.Backend{Name: name})
		}
		table, err := maglev.New(backends, maglev.Options{})
		if err != nil {
			log.Fatal(err)
		}
		current.Store(table)
	}
	pick := func(key string) string {
		table := current.Load() // once: an index belongs to its table
		return table.Backend(table.LookupString(key)).Name
	}

	update("cache-1", "cache-2", "cache-3")
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for n := range 1000 {
				if pick(fmt.Sprintf("user-%d", n)) == "" {
					log.Fatal("no backend")
				}
			}
		})
	}
	fmt.Println(pick("user-42"))
	update("cache-1", "cache-3")
	fmt.Println(pick("user-42"))
	readers.Wait()
	// Output:
	// cache-2
	// cache-3
}

// The order of the backends is of no consequence for where keys go, only for
// the indexes.
func ExampleTable_Backend() {
	names := []string{"cache-1", "cache-2", "cache-3"}
	for range 2 {
		var backends []maglev.Backend
		for _, name := range names {
			backends = append(backends, maglev.Backend{Name: name})
		}
		table, err := maglev.New(backends, maglev.Options{})
		if err != nil {
			log.Fatal(err)
		}
		i := table.LookupString("user-43")
		fmt.Println(i, table.Backend(i).Name)
		slices.Reverse(names)
	}
	// Output:
	// 2 cache-3
	// 0 cache-3
}
