// Package maglev builds Maglev lookup tables: fixed arrays of slots that turn
// the hash of a request into a backend, so that the same key always lands on
// the same backend, every backend gets its share to a percent, and a changed
// set of backends moves few keys.
//
// # The algorithm
//
// Every backend has a permutation of the M slots of the table, derived from
// two hashes of its name: offset, offset+skip, offset+2*skip, … modulo M,
// which is a prime. The backends take turns. In its turn a backend claims the
// first slot of its permutation that nobody has claimed. When all slots are
// claimed, the slot of a key is its hash modulo M:
//
//	     key "user-41"
//	          | XXHash(key, 0)
//	          v
//	6429348562278876006 mod 7 = 3
//	                            |
//	    slots   B1   B0   B1  [B0]  B2   B2   B0
//	             0    1    2    3    4    5    6
//
// As turns go round, backends of equal weight differ by one slot at most. As a
// backend's permutation depends on its name alone, a backend that goes leaves
// its slots to the others and little else changes hands; how little is what M
// decides, which should be a hundred times the number of backends or more.
//
// The algorithm is from Eisenbud et al., Maglev: A Fast and Reliable Software
// Network Load Balancer (NSDI'16), section 3.4; the loop used here is known as
// optimized populate. Weights came later, and every system has its own rule
// for them. A [Dialect] is the choice of those rules: tables built here are
// those of Envoy (the default), Cilium or Katran, slot for slot.
//
// # The types
//
// [New] builds a [Table] from named [Backend] values; [Table.Lookup] asks it
// where a hash goes and [Table.Candidates] where else. A [Builder] builds many
// tables one after another.
package maglev

import "errors"

// A Backend is one of the servers that share the keys.
type Backend struct {
	// Name is the backend's identity and what its permutation is derived
	// from: unique, not empty, and the same on every machine. Any bytes will
	// do. A [Dialect] says what the name is in the system it agrees with.
	Name string

	// Weight is the backend's share of the slots relative to the others'. 0
	// means 1.
	Weight uint32

	// Locality is the group that the backend belongs to. It is read only if
	// [Options.LocalityWeights] is set.
	Locality string
}

func (b *Backend) weight() uint32 { return max(b.Weight, 1) }

// Options say how a table is built. The zero value builds Envoy's default
// table.
type Options struct {
	// TableSize is the number of slots, M: a prime from 2 to [MaxTableSize],
	// best more than a hundred times the number of backends. There may be
	// fewer slots than backends, as in Envoy; then those whose turns come
	// first hold one, without weights the first M of the sorted backends. Default (0): the dialect's own, 65537, or
	// Cilium's 16381.
	TableSize int

	// Hash hashes the keys of [Table.LookupString] and, in Envoy's dialect,
	// the names of the backends, so that with any other than XXHash the table
	// is not that of an Envoy. Default (nil): [XXHash].
	Hash Hash

	// Dialect chooses the rules of the system to agree with. Default (the
	// zero value): [Envoy].
	Dialect Dialect

	// LocalityWeights gives each locality its share of the slots; the weights
	// of the backends then divide up their locality's share. Every backend's
	// Locality must be in it. A locality of weight 0 gets no slots. Only Envoy
	// has localities. Default (nil): localities are ignored.
	LocalityWeights map[string]uint32
}

// The errors of [New] and [Builder.Build] wrap one of these. Their text begins
// with "maglev: " and names the field, its value and what is allowed.
var (
	// ErrTableSize: Options.TableSize is not a size the dialect has, or, of
	// Katran's above 65537, not one that these backends can fill.
	ErrTableSize = errors.New("table size not usable")
	// ErrEmptyName: a backend has no name.
	ErrEmptyName = errors.New("name is empty")
	// ErrDuplicateName: two backends have the same name.
	ErrDuplicateName = errors.New("duplicate name")
	// ErrLocality: a backend's locality has no weight.
	ErrLocality = errors.New("locality without a weight")
	// ErrDialect: the dialect lacks an option, or has no use for one.
	ErrDialect = errors.New("not usable with this dialect")
)

// New builds the lookup table of the given backends. It neither keeps nor
// changes the slice. Indexes into the table are in the slice's order, but
// which names hold which slots does not depend on that order. Without backends
// the table is empty, which is not an error: its Lookup returns -1.
//
// A table of 65537 slots takes about a millisecond for up to 1000 backends. One
// backend far heavier than many thousands of others, in a table of millions of
// slots, takes seconds: it has nearly every turn, and the others are asked. An error wraps
// [ErrTableSize], [ErrEmptyName], [ErrDuplicateName], [ErrLocality] or
// [ErrDialect].
func New(backends []Backend, opts Options) (*Table, error) {
	return new(Builder).Build(backends, opts)
}
