package maglev_test

import (
	"math"
	"math/rand/v2"
	"os/exec"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

func TestLookupIsHashModuloSize(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for _, m := range []int{2, 3, 5, 7, 251, 16381, 65521, 65537, 655373, 4999999, 5000011} {
		table := mustNew(t, numbered(300), maglev.Options{TableSize: m})
		check := func(hash uint64) {
			if want, got := table.Lookup(hash%uint64(m)), table.Lookup(hash); got != want { // require is slow, a million times
				require.Equal(t, want, got, "%d mod %d", hash, m)
			}
		}
		for _, hash := range []uint64{0, 1, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
			check(hash)
		}
		for range 20000 {
			multiple := rng.Uint64() / uint64(m) * uint64(m)
			check(multiple)
			check(multiple - 1)
			check(rng.Uint64())
		}
	}
}

func TestLookupStringHashesWithSeedZero(t *testing.T) {
	secret := maglev.SipHash([16]byte{1, 2, 3})
	for name, hash := range map[string]maglev.Hash{"XXHash": maglev.XXHash, "FarmHash": maglev.FarmHash, "SipHash": secret} {
		table := mustNew(t, numbered(10), maglev.Options{Hash: hash})
		for _, key := range []string{"", "user-42", "naïve"} {
			require.Equal(t, table.Lookup(hash(key, 0)), table.LookupString(key), name)
		}
	}
}

func TestMoved(t *testing.T) {
	opts := maglev.Options{TableSize: 251}
	three := mustNew(t, numbered(3), opts)
	reversed := numbered(3)
	slices.Reverse(reversed)
	require.Zero(t, three.Moved(mustNew(t, reversed, opts)), "names count, not indexes")

	two := mustNew(t, numbered(2), opts)
	require.Equal(t, three.Moved(two), two.Moved(three))
	require.GreaterOrEqual(t, three.Moved(two), three.Slots(2))

	none := mustNew(t, nil, opts)
	require.Equal(t, 251, three.Moved(none))
	require.Equal(t, 251, none.Moved(three))
	require.Zero(t, none.Moved(mustNew(t, nil, opts)))

	require.Equal(t, 251, three.Moved(mustNew(t, numbered(3), maglev.Options{TableSize: 257})))
	require.Equal(t, 251, three.Moved(nil))
}

func TestOutOfRangeIndexes(t *testing.T) {
	table := mustNew(t, numbered(3), maglev.Options{TableSize: 7})
	for _, i := range []int{-1, 3, math.MinInt, math.MaxInt} {
		require.Equal(t, maglev.Backend{}, table.Backend(i))
		require.Zero(t, table.Slots(i))
	}
}

func TestLookupCostsNoAllocation(t *testing.T) {
	table := mustNew(t, numbered(300), maglev.Options{})
	hash := uint64(0)
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		hash += 0x9E3779B97F4A7C15
		if table.Lookup(hash) < 0 || table.LookupString("user-42") < 0 {
			t.Fatal("no backend")
		}
	}))
}

func TestLookupIsInlined(t *testing.T) {
	out, err := exec.Command("go", "build", "-gcflags=-m", ".").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "can inline (*Table).Lookup\n")
	require.Contains(t, string(out), "inlining call to (*divisor).near")
}

func TestNewAllocatesLittle(t *testing.T) {
	backends := numbered(1000)
	bytes := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = maglev.New(backends, maglev.Options{})
		}
	}).AllocedBytesPerOp()
	require.LessOrEqual(t, bytes, int64(320<<10))
}

// What a Builder allocates is the table: its struct, backends, order, counts and
// slots, five pieces. A smaller build uses the memory of a larger one.
func TestBuilderMakesNoGarbage(t *testing.T) {
	weighted := numbered(1000)
	for i := range weighted {
		weighted[i].Weight = uint32(i % 7)
	}
	for name, build := range map[string]struct {
		backends []maglev.Backend
		opts     maglev.Options
	}{
		"equal weights": {numbered(1000), maglev.Options{}},
		"fewer":         {numbered(100), maglev.Options{TableSize: 16381}},
		"weights":       {weighted, maglev.Options{}},
		"Cilium":        {weighted, maglev.Options{Dialect: maglev.Cilium(1)}},
		"Katran":        {weighted, maglev.Options{Dialect: maglev.Katran(katranHash)}},
		"Katran, large": {weighted, maglev.Options{Dialect: maglev.Katran(katranHash), TableSize: 131071}},
	} {
		t.Run(name, func(t *testing.T) {
			var builder maglev.Builder
			_, err := builder.Build(build.backends, build.opts)
			require.NoError(t, err)
			require.Equal(t, 5.0, testing.AllocsPerRun(5, func() {
				_, _ = builder.Build(build.backends, build.opts)
			}))
		})
	}
}

func TestBuilderGoesOnAfterAnError(t *testing.T) {
	var builder maglev.Builder
	want := mustNew(t, numbered(10), maglev.Options{TableSize: 251})
	for _, bad := range [][]maglev.Backend{{{Name: "a"}, {Name: "a"}}, {{}}} {
		_, err := builder.Build(bad, maglev.Options{})
		require.Error(t, err)
		table, err := builder.Build(numbered(10), maglev.Options{TableSize: 251})
		require.NoError(t, err)
		require.Zero(t, want.Moved(table))
	}
}
