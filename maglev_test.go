package maglev_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// numbered returns n backends "10.0.x.y:8080".
func numbered(n int) []maglev.Backend {
	backends := make([]maglev.Backend, n)
	for i := range backends {
		backends[i].Name = fmt.Sprintf("10.0.%d.%d:8080", i/256, i%256)
	}
	return backends
}

func mustNew(t testing.TB, backends []maglev.Backend, opts maglev.Options) *maglev.Table {
	t.Helper()
	table, err := maglev.New(backends, opts)
	require.NoError(t, err)
	return table
}

func TestNewErrors(t *testing.T) {
	two := []maglev.Backend{{Name: "a"}, {Name: "b", Locality: "west"}}
	katran := maglev.Katran(func(string) uint64 { return 0 })
	for _, test := range []struct {
		backends []maglev.Backend
		opts     maglev.Options
		is       error
		says     []string // what the text has besides "maglev: "
	}{
		{two, maglev.Options{TableSize: 65536}, maglev.ErrTableSize, []string{"Options.TableSize 65536", "65521 and 65537"}},
		{two, maglev.Options{TableSize: 9}, maglev.ErrTableSize, []string{"TableSize 9", "7 and 11"}},
		{two, maglev.Options{TableSize: 4}, maglev.ErrTableSize, []string{"TableSize 4", "3 and 5"}},
		{two, maglev.Options{TableSize: 1}, maglev.ErrTableSize, []string{"TableSize 1", "nearest prime is 2"}},
		{two, maglev.Options{TableSize: -7}, maglev.ErrTableSize, []string{"TableSize -7", "nearest prime is 2"}},
		{two, maglev.Options{TableSize: math.MinInt}, maglev.ErrTableSize, []string{fmt.Sprint(math.MinInt)}},
		{two, maglev.Options{TableSize: 5000010}, maglev.ErrTableSize, []string{"5000010", "4999999 and 5000011"}},
		{two, maglev.Options{TableSize: 5000012}, maglev.ErrTableSize, []string{"5000012", "5000011"}},
		{two, maglev.Options{TableSize: math.MaxInt}, maglev.ErrTableSize, []string{fmt.Sprint(math.MaxInt), "5000011"}},
		{nil, maglev.Options{TableSize: 6}, maglev.ErrTableSize, []string{"TableSize 6", "5 and 7"}},
		{two, maglev.Options{Dialect: maglev.Cilium(1), TableSize: 65537}, maglev.ErrTableSize, []string{"65537", "Cilium", "nearest is 65521"}},
		{two, maglev.Options{Dialect: maglev.Cilium(1), TableSize: -1}, maglev.ErrTableSize, []string{"-1", "nearest is 251"}},
		{two, maglev.Options{Dialect: maglev.Cilium(1), TableSize: math.MaxInt}, maglev.ErrTableSize, []string{"nearest is 131071"}},
		{two, maglev.Options{Dialect: katran, TableSize: 10}, maglev.ErrTableSize, []string{"10", "7 and 11"}},
		{[]maglev.Backend{{Name: "a"}, {}}, maglev.Options{}, maglev.ErrEmptyName, []string{"backends[1].Name"}},
		{[]maglev.Backend{{Name: "x\"\n"}, {Name: "b"}, {Name: "x\"\n"}}, maglev.Options{}, maglev.ErrDuplicateName, []string{"backends[0].Name", "backends[2].Name", `"x\"\n"`}},
		{[]maglev.Backend{{Name: "b"}, {Name: "a"}, {Name: "a"}, {Name: "a"}}, maglev.Options{Dialect: katran}, maglev.ErrDuplicateName, []string{"backends[1].Name", "backends[2].Name", `"a"`}},
		{two, maglev.Options{LocalityWeights: map[string]uint32{"": 1}}, maglev.ErrLocality, []string{"backends[1].Locality", `"west"`}},
		{two, maglev.Options{LocalityWeights: map[string]uint32{}}, maglev.ErrLocality, []string{"backends[0].Locality", `""`}},
		{two, maglev.Options{LocalityWeights: map[string]uint32{"": 1, "west": 1}, Dialect: maglev.Cilium(1)}, maglev.ErrDialect, []string{"Options.LocalityWeights", "Cilium"}},
		{two, maglev.Options{Dialect: maglev.Katran(nil)}, maglev.ErrDialect, []string{"Options.Dialect", "hashOf is nil"}},
	} {
		table, err := maglev.New(test.backends, test.opts)
		require.ErrorIs(t, err, test.is)
		require.Nil(t, table)
		require.True(t, strings.HasPrefix(err.Error(), "maglev: "), "%v", err)
		for _, text := range test.says {
			require.ErrorContains(t, err, text)
		}
	}
}

func TestNoBackends(t *testing.T) {
	for name, table := range map[string]*maglev.Table{
		"none":                    mustNew(t, nil, maglev.Options{}),
		"Cilium":                  mustNew(t, []maglev.Backend{}, maglev.Options{Dialect: maglev.Cilium(0)}),
		"no locality is weighted": mustNew(t, numbered(3), maglev.Options{LocalityWeights: map[string]uint32{"": 0}}),
		"zero Table":              {},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, -1, table.Lookup(0))
			require.Equal(t, -1, table.Lookup(math.MaxUint64))
			require.Equal(t, -1, table.LookupString("key"))
			require.Zero(t, table.Slots(0))
			require.Equal(t, maglev.Backend{}, table.Backend(-1))
			n := 0
			for i := range table.Candidates(42) {
				require.Less(t, i, table.Len())
				n++
			}
			require.Equal(t, table.Len(), n)
			require.Zero(t, table.Moved(table))
		})
	}
	require.Equal(t, 65537, mustNew(t, nil, maglev.Options{}).Size())
	require.Equal(t, 16381, mustNew(t, nil, maglev.Options{Dialect: maglev.Cilium(0)}).Size())
}

func TestNewLeavesTheSliceAlone(t *testing.T) {
	backends := []maglev.Backend{{Name: "b"}, {Name: "a", Weight: 2}, {Name: "c"}}
	before := slices.Clone(backends)
	table := mustNew(t, backends, maglev.Options{TableSize: 7})
	require.Equal(t, before, backends)
	backends[1].Name = "changed"
	require.Equal(t, before[1], table.Backend(1))
}

func TestOrderOfInputDoesNotMatter(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	for _, n := range []int{2, 10, 300} {
		for _, weighted := range []bool{false, true} {
			backends := numbered(n)
			if weighted {
				for i := range backends {
					backends[i].Weight = rng.Uint32N(9)
				}
			}
			want := mustNew(t, backends, maglev.Options{TableSize: 8191})
			for range 5 {
				rng.Shuffle(n, func(i, j int) { backends[i], backends[j] = backends[j], backends[i] })
				got := mustNew(t, backends, maglev.Options{TableSize: 8191})
				require.Zero(t, want.Moved(got))
				for range 100 {
					hash := rng.Uint64()
					require.Equal(t, candidateNames(want, hash), candidateNames(got, hash))
				}
			}
		}
	}
}

func TestEqualWeightsDifferByOneSlotAtMost(t *testing.T) {
	for _, m := range []int{2, 7, 251, 65537} {
		for _, n := range []int{1, 2, 3, 100, 257, 1000} {
			table := mustNew(t, numbered(n), maglev.Options{TableSize: m})
			for i := range n {
				require.InDelta(t, float64(m)/float64(n), table.Slots(i), 1-1e-9, "M=%d N=%d", m, n)
			}
		}
	}
}

// A backend of weight w is due in round r once r*w reaches k times the largest
// weight W after k turns, so after R whole rounds it has had R*w/W turns, rounded
// down, and one. All shares are of the same R up to the last, unfinished round,
// so w/sum*M is missed by less than 2 slots and what the one adds to the sum: N
// of M slots, of which w/sum are its own.
func TestWeightsDecideTheShares(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 0))
	for range 20 {
		backends := numbered(1 + rng.IntN(200))
		sum := 0.0
		for i := range backends {
			backends[i].Weight = 1 + rng.Uint32N(1<<rng.IntN(12))
			sum += float64(backends[i].Weight)
		}
		for name, dialect := range map[string]maglev.Dialect{"Envoy": {}, "Katran": maglev.Katran(katranHash)} {
			table := mustNew(t, backends, maglev.Options{Dialect: dialect})
			for i, b := range backends {
				share := float64(b.Weight) / sum
				require.InDelta(t, share*65537, table.Slots(i), 2+share*float64(len(backends)), "%s: %+v", name, b)
			}
		}
	}
}

// The shares of keys that move when backends go and the table is rebuilt,
// M = 65537 and 655373, N = 1000: 0.673 % and 0.429 % for one, 3.33 % and 1.58 %
// for ten, 13.5 % and 11.1 % for a hundred. What a name's hash decides varies
// from fleet to fleet, so the mean of several is compared.
func TestDisruptionIsThePublishedOne(t *testing.T) {
	for _, test := range []struct {
		m, gone int
		percent float64
	}{
		{65537, 1, 0.673}, {65537, 10, 3.33}, {65537, 100, 13.5},
		{655373, 1, 0.429}, {655373, 10, 1.58}, {655373, 100, 11.1},
	} {
		if testing.Short() && test.m > 65537 {
			continue
		}
		opts := maglev.Options{TableSize: test.m}
		backends := numbered(1000)
		all := mustNew(t, backends, opts)
		rng := rand.New(rand.NewPCG(1, uint64(test.gone)))
		const fleets = 12
		moved := 0
		for range fleets {
			rng.Shuffle(len(backends), func(i, j int) { backends[i], backends[j] = backends[j], backends[i] })
			moved += all.Moved(mustNew(t, backends[test.gone:], opts))
		}
		// One fleet's share varies by about a tenth, the mean of 12 by a
		// thirtieth: three times that, and the rounding of the published figure.
		require.InEpsilon(t, test.percent/100, float64(moved)/fleets/float64(test.m), 0.1, "M=%d, %d gone", test.m, test.gone)
	}
}

func TestSeventyThousandBackends(t *testing.T) {
	backends := numbered(70000)
	for i := range backends {
		backends[i].Name = fmt.Sprintf("shard-%d", i)
	}
	table := mustNew(t, backends, maglev.Options{TableSize: 655373})
	seen := make([]bool, len(backends))
	for c := range table.Size() {
		seen[table.Lookup(uint64(c))] = true
	}
	require.False(t, slices.Contains(seen, false))

	// With fewer slots than backends, the first by name hold one each.
	table = mustNew(t, backends, maglev.Options{})
	slices.SortFunc(backends, func(a, b maglev.Backend) int { return strings.Compare(a.Name, b.Name) })
	holders := make(map[string]bool)
	for c := range table.Size() {
		holders[table.Backend(table.Lookup(uint64(c))).Name] = true
	}
	require.Len(t, holders, 65537)
	for _, b := range backends[:65537] {
		require.True(t, holders[b.Name], b.Name)
	}
}

// The number of bytes that hold a slot changes at 256 and 65536 backends.
func TestSlotWidths(t *testing.T) {
	for _, n := range []int{255, 256, 257, 65535, 65536, 65537} {
		table := mustNew(t, numbered(n), maglev.Options{TableSize: 131071})
		checkTable(t, table)
	}
}

func TestKnownEnvoyTables(t *testing.T) {
	ports := func(names []string, m int) string {
		var backends []maglev.Backend
		for _, name := range names {
			backends = append(backends, maglev.Backend{Name: name})
		}
		table := mustNew(t, backends, maglev.Options{TableSize: m})
		var text []string
		for _, name := range namesOf(table) {
			text = append(text, name[len(name)-2:])
		}
		return strings.Join(text, " ")
	}
	var addresses, names []string
	for port := 90; port <= 95; port++ {
		addresses = append(addresses, fmt.Sprintf("127.0.0.1:%d", port))
		names = append(names, fmt.Sprint(port))
	}
	require.Equal(t, "92 94 90 91 95 90 93", ports(addresses, 7))
	require.Equal(t, "92 95 90 93 94 91 90", ports(names, 7))
	require.Equal(t, "91 90 90 91 90 91 91 90 90 91 90 91 90 90 91 90 91", ports(addresses[:2], 17))
}
