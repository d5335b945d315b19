package maglev

// A Table is a lookup table: Size slots, each of which holds one backend.
//
// It is immutable and safe for use by any number of goroutines. The zero value
// is a table of no backends and no slots.
type Table struct {
	divisor
	hash Hash

	// One of these holds the slots, as indexes into backends, in the smallest
	// type that fits. All are empty if no backend holds a slot. After the M
	// slots the first of them come once more, as many as near can reach: so a
	// lookup need not correct what it has reduced, which for most sizes is a
	// branch that nobody can predict.
	narrow []uint8
	medium []uint16
	wide   []uint32

	backends []Backend // in the caller's order
	order    []uint32  // the dialect's order: indexes into backends, by rank
	held     []uint32  // how many slots each backend holds
	holders  int       // how many backends hold a slot
}

// Lookup returns the backend for a hash, that of slot hash mod Size, as an
// index into the backends as they were given to [New]. It returns -1 if the
// table has no backends, or none whose locality has a weight.
func (t *Table) Lookup(hash uint64) int {
	switch c := t.near(hash); {
	case c < uint64(len(t.narrow)):
		return int(t.narrow[c])
	case c < uint64(len(t.medium)):
		return int(t.medium[c])
	case c < uint64(len(t.wide)):
		return int(t.wide[c])
	}
	return -1
}

// LookupString returns the backend for a key: Lookup(Hash(key, 0)), with the
// Hash of the table's [Options].
func (t *Table) LookupString(key string) int {
	if t.hash == nil {
		return -1
	}
	return t.Lookup(t.hash(key, 0))
}

// Backend returns backend i as it was given to [New], and the zero Backend for
// an i that no backend has, such as the -1 of [Table.Lookup].
func (t *Table) Backend(i int) Backend {
	if uint(i) >= uint(len(t.backends)) {
		return Backend{}
	}
	return t.backends[i]
}

// Len returns the number of backends.
func (t *Table) Len() int { return len(t.backends) }

// Size returns the number of slots, M.
func (t *Table) Size() int { return int(t.m) }

// Slots returns how many slots backend i holds, 0 for an i that no backend
// has. Without weights, of backends or localities, any two backends differ
// by at most one.
func (t *Table) Slots(i int) int {
	if uint(i) >= uint(len(t.held)) {
		return 0
	}
	return int(t.held[i])
}

// Moved returns the disruption of going from one table to another: the number
// of slots whose backend, by name, is not the same in both. A slot that holds a
// backend in one table only counts. If the tables differ in size, or to is nil,
// no slot has a counterpart and all of t's count.
func (t *Table) Moved(to *Table) int {
	if to == nil || t.Size() != to.Size() {
		return t.Size()
	}
	counterpart := t.counterparts(to)
	moved := 0
	for c := range t.Size() {
		if counterpart[t.at(c)+1] != to.at(c) {
			moved++
		}
	}
	return moved
}

// ideal returns how many slots of a table of the same size have to get another
// backend, given how many each backend, by name, holds in the other.
func (t *Table) ideal(to *Table) int {
	lost := t.Size() // slots whose backend need not keep them
	counterpart := t.counterparts(to)
	for i, held := range t.held {
		if j := counterpart[i+1]; j >= 0 {
			lost -= int(min(held, to.held[j]))
		}
	}
	return lost
}

// counterparts returns, for index i of t at i+1, the index of the backend with
// the same name in to. Indexes that have none are given -2; -1, no backend, is
// its own counterpart.
func (t *Table) counterparts(to *Table) []int {
	index := make(map[string]int, to.Len())
	for i := range to.backends {
		index[to.backends[i].Name] = i
	}
	counterpart := make([]int, t.Len()+1)
	counterpart[0] = -1
	for i := range t.backends {
		j, ok := index[t.backends[i].Name]
		if !ok {
			j = -2
		}
		counterpart[i+1] = j
	}
	return counterpart
}

// at returns what slot c holds.
func (t *Table) at(c int) int { return t.Lookup(uint64(c)) }
