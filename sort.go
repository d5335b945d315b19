package maglev

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unsafe"
)

// sort puts the dialect's order of the backends into t.order, and refuses names
// that are empty or not unique.
//
// It sorts integers, which is several times faster than comparing names: the
// first bits of what the dialect sorts by, and a backend's index in the low
// bits. Only where the first bits are equal the names are compared. The
// integers lie in the memory of the cursors, which are not in use yet.
func (b *Builder) sort(t *Table, sortKey func(name string) uint64) error {
	if len(t.backends) == 0 {
		return nil
	}
	keys := unsafe.Slice((*uint64)(unsafe.Pointer(&b.board.cursors[0])), len(t.backends))
	low := uint64(1)<<bits.Len(uint(len(keys)-1)) - 1
	name := func(key uint64) string { return t.backends[key&low].Name }

	common := commonPrefix(t.backends)
	for i := range keys {
		s := t.backends[i].Name
		if s == "" {
			return fmt.Errorf("maglev: backends[%d].Name: %w; it is the backend's identity and hash key", i, ErrEmptyName)
		}
		key := uint64(0)
		if sortKey != nil {
			key = sortKey(s)
		} else {
			key = firstBytes(s[common:])
		}
		keys[i] = key&^low | uint64(i)
	}
	slices.Sort(keys)

	for rest := keys; len(rest) > 0; {
		equal := 1
		for equal < len(rest) && rest[equal]&^low == rest[0]&^low {
			equal++
		}
		if equal > 1 {
			slices.SortFunc(rest[:equal], func(x, y uint64) int {
				if sortKey != nil {
					if c := cmp.Compare(sortKey(name(x)), sortKey(name(y))); c != 0 {
						return c
					}
				}
				return cmp.Or(strings.Compare(name(x), name(y)), cmp.Compare(x, y))
			})
		}
		for i := 1; i < equal; i++ {
			if name(rest[i-1]) == name(rest[i]) {
				return fmt.Errorf("maglev: backends[%d].Name and backends[%d].Name: %w %q; names are identities, so merge the two or rename one",
					rest[i-1]&low, rest[i]&low, ErrDuplicateName, name(rest[i]))
			}
		}
		rest = rest[equal:]
	}
	for rank, key := range keys {
		t.order[rank] = uint32(key & low)
	}
	return nil
}

// firstBytes returns the first 8 bytes of s, filled up with zeros, as an
// integer that orders like them.
func firstBytes(s string) uint64 {
	if len(s) >= 8 {
		return binary.BigEndian.Uint64(bytesOf(s))
	}
	var head [8]byte
	copy(head[:], s)
	return binary.BigEndian.Uint64(head[:])
}

// commonPrefix returns how many bytes all names have in common at their
// beginning.
func commonPrefix(backends []Backend) int {
	prefix := backends[0].Name
	for i := range backends {
		for !strings.HasPrefix(backends[i].Name, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return len(prefix)
}
