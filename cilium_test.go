package maglev_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// Tables built by Cilium's own code; testdata/README.md says how.
func TestCiliumGolden(t *testing.T) {
	file, err := os.Open("testdata/cilium.jsonl")
	require.NoError(t, err)
	defer file.Close()

	cases := 0
	for lines := json.NewDecoder(file); lines.More(); cases++ {
		var line struct {
			Seed      []byte // encoding/json decodes base64, as Cilium does
			TableSize int    `json:"size"`
			Backends  []maglev.Backend
			Slots     []int
			SHA256    string
		}
		require.NoError(t, lines.Decode(&line))
		table, err := maglev.New(line.Backends, maglev.Options{
			Dialect:   maglev.Cilium(binary.BigEndian.Uint32(line.Seed)),
			TableSize: line.TableSize,
		})
		require.NoError(t, err, "case %d", cases)
		require.Equal(t, line.TableSize, table.Size(), "case %d", cases)
		var slots []int
		var coded []byte
		for slot := range table.Size() {
			i := table.Lookup(uint64(slot))
			slots = append(slots, i)
			coded = binary.LittleEndian.AppendUint32(coded, uint32(i))
		}
		if line.Slots != nil {
			require.Equal(t, line.Slots, slots, "case %d", cases)
		} else {
			sum := sha256.Sum256(coded)
			require.Equal(t, line.SHA256, hex.EncodeToString(sum[:]), "case %d, M = %d", cases, line.TableSize)
		}
	}
	require.GreaterOrEqual(t, cases, 200)
}

// The table that Cilium tests itself with (pkg/maglev, TestReproducible).
func TestCiliumKnownTable(t *testing.T) {
	table := smallestCilium(t,
		ciliumTCP("0.0.0.1:1", 2),
		ciliumTCP("0.0.0.3:3", 13),
		ciliumTCP("0.0.0.4:4", 111),
		ciliumTCP("0.0.0.5:5", 10),
	)
	// The index of a backend, and in how many slots in a row.
	runs := [][2]int{
		{2, 5}, {3, 1}, {2, 3}, {1, 1}, {2, 2}, {0, 1}, {2, 1}, {3, 1}, {2, 1}, {3, 1}, {2, 1}, {1, 1},
		{2, 7}, {1, 1}, {2, 14}, {3, 1}, {2, 1}, {1, 2}, {2, 12}, {3, 1}, {2, 3}, {1, 1}, {2, 4}, {3, 1},
		{2, 8}, {3, 1}, {2, 2}, {1, 1}, {2, 16}, {1, 2}, {2, 3}, {3, 1}, {2, 11}, {1, 2}, {2, 4}, {3, 1},
		{2, 3}, {1, 1}, {2, 4}, {3, 1}, {2, 1}, {0, 1}, {1, 1}, {2, 8}, {1, 1}, {2, 7}, {1, 1}, {2, 4},
		{3, 1}, {2, 1}, {3, 1}, {2, 9}, {1, 2}, {2, 5}, {1, 1}, {2, 7}, {3, 1}, {2, 1}, {3, 1}, {1, 1},
		{2, 8}, {1, 1}, {2, 4}, {0, 1}, {2, 1}, {1, 1}, {2, 5}, {3, 1}, {2, 3}, {1, 1}, {2, 4}, {3, 1},
		{2, 3}, {1, 1}, {2, 12}, {0, 1}, {3, 1}, {2, 3}, {3, 1}, {2, 4}, {3, 1}, {2, 2}, {1, 1}, {2, 7},
	}
	var want []int
	for _, run := range runs {
		want = append(want, slices.Repeat(run[:1], run[1])...)
	}
	require.Len(t, want, table.Size())
	for slot, i := range want {
		require.Equal(t, i, table.Lookup(uint64(slot)), "slot %d", slot)
	}
}

// Cilium ignores weights whose mean, rounded down, is 1. The counts are
// Cilium's own.
func TestCiliumIgnoresSmallWeights(t *testing.T) {
	for _, tt := range []struct {
		weights [4]uint32
		held    [4]int
	}{
		{[4]uint32{1, 1, 1, 1}, [4]int{63, 63, 63, 62}},
		{[4]uint32{1, 1, 1, 3}, [4]int{63, 63, 63, 62}}, // the mean is 1.5
		{[4]uint32{1, 2, 2, 3}, [4]int{32, 63, 63, 93}}, // 2
		{[4]uint32{100, 100, 100, 300}, [4]int{42, 42, 42, 125}},
	} {
		table := smallestCilium(t,
			ciliumTCP("10.0.0.1:80", tt.weights[0]),
			ciliumTCP("10.0.0.2:80", tt.weights[1]),
			ciliumTCP("10.0.0.3:80", tt.weights[2]),
			ciliumTCP("10.0.0.4:80", tt.weights[3]),
		)
		for i, held := range tt.held {
			require.Equal(t, held, table.Slots(i), "weights %v, backend %d", tt.weights, i)
		}
	}
}

func TestCiliumName(t *testing.T) {
	for _, tt := range []struct{ addr, protocol, want string }{
		{"10.0.0.1:80", "TCP", "[10.0.0.1:80/TCP,State:active]"},
		{"10.0.0.1:53", "UDP", "[10.0.0.1:53/UDP,State:active]"},
		{"0.0.0.0:0", "ANY", "[0.0.0.0:0/ANY,State:active]"},
		{"[fd00::1]:80", "TCP", "[[fd00::1]:80/TCP,State:active]"},
		{"[FD00:0:0:0::1]:65535", "SCTP", "[[fd00::1]:65535/SCTP,State:active]"},
		{"[::ffff:10.0.0.1]:80", "TCP", "[[::ffff:10.0.0.1]:80/TCP,State:active]"},
	} {
		require.Equal(t, tt.want, maglev.CiliumName(netip.MustParseAddrPort(tt.addr), tt.protocol))
	}
}

func ciliumTCP(addr string, weight uint32) maglev.Backend {
	return maglev.Backend{Name: maglev.CiliumName(netip.MustParseAddrPort(addr), "TCP"), Weight: weight}
}

// smallestCilium builds Cilium's smallest table, from its default seed.
func smallestCilium(t *testing.T, backends ...maglev.Backend) *maglev.Table {
	table, err := maglev.New(backends, maglev.Options{
		Dialect:   maglev.Cilium(maglev.CiliumDefaultSeed),
		TableSize: 251,
	})
	require.NoError(t, err)
	return table
}
