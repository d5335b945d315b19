package maglev_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/internal/reference"
)

// numberOf makes the backend "17" Katran's backend of hash 17.
func numberOf(name string) uint64 {
	n, _ := strconv.ParseUint(name, 10, 64)
	return n
}

// The figures of Katran's own tests: 100 backends of hash 0 to 99 and weight 10
// in the default table.
func TestKatranPublishedFigures(t *testing.T) {
	opts := maglev.Options{Dialect: maglev.Katran(numberOf)}
	backends := make([]maglev.Backend, 100)
	for i := range backends {
		backends[i] = maglev.Backend{Name: strconv.Itoa(i), Weight: 10}
	}
	all := mustNew(t, backends, opts)
	require.Equal(t, 1020, all.Moved(mustNew(t, backends[1:], opts)), "backend 0 removed")
	for i := range backends {
		backends[i].Weight = 13
	}
	require.Zero(t, all.Moved(mustNew(t, backends, opts)), "all of weight 13")
}

// Above its default size Katran's positions wrap at 2^32 before they are reduced.
func TestKatranWrapsInLargeTables(t *testing.T) {
	const m = 131071
	backends := numbered(40)
	for i := range backends {
		backends[i].Weight = uint32(1 + i%3)
	}
	table := mustNew(t, backends, maglev.Options{Dialect: maglev.Katran(katranHash), TableSize: m})

	o := oracles["Katran"]
	sorted := slices.SortedFunc(slices.Values(backends), func(a, b maglev.Backend) int { return o.less(a.Name, b.Name) })
	position := make([]uint32, len(sorted))
	skip := make([]uint32, len(sorted))
	for i, b := range sorted {
		h1, h2 := o.place(b.Name)
		position[i], skip[i] = uint32(h1%m), uint32(h2%(m-1)+1)
	}
	want := make([]string, m)
	left := m
	for i := range reference.KatranTurns(weightsOf(sorted)) {
		for want[position[i]%m] != "" {
			position[i] += skip[i]
		}
		want[position[i]%m] = sorted[i].Name
		if left--; left == 0 {
			break
		}
	}
	require.Equal(t, want, namesOf(table))
}

// With wrapped positions a skip of 2^k has 2^(32-k) different ones, which need
// not reach every slot. Katran would look for one for ever.
func TestKatranThatCannotFillItsTable(t *testing.T) {
	const m = 5000011
	name := ""
	for i := 0; ; i++ { // a skip that is a multiple of 2^14 leaves 2^18 positions
		name = strconv.Itoa(i)
		if _, h2 := oracles["Katran"].place(name); (h2%(m-1)+1)%(1<<14) == 0 {
			break
		}
	}
	other := "other"
	_, err := maglev.New([]maglev.Backend{{Name: name, Weight: 100}, {Name: other}},
		maglev.Options{Dialect: maglev.Katran(katranHash), TableSize: m})
	require.ErrorIs(t, err, maglev.ErrTableSize)
	require.ErrorContains(t, err, "TableSize 5000011")
	require.ErrorContains(t, err, "use 65537")
}

// A skip of 1 from slot 0 leaves 2^32 steps until the positions wrap, one more
// than 32 bits hold. The hash of "a" is one that leads there.
func TestKatranSkipOfOne(t *testing.T) {
	hashes := map[string]uint64{"a": 4034535217, "b": 1}
	table := mustNew(t, []maglev.Backend{{Name: "a"}, {Name: "b"}}, maglev.Options{
		TableSize: 65539,
		Dialect:   maglev.Katran(func(name string) uint64 { return hashes[name] }),
	})
	require.Equal(t, "a", table.Backend(table.Lookup(1)).Name)
	checkTable(t, table)
}
