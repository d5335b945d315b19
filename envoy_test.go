package maglev_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/internal/envoy"
	"github.com/stretchr/testify/require"
)

// TestEnvoyGolden compares with tables that an Envoy 1.40.0 has built.
// testdata/envoy.jsonl is the output of internal/envoy/draw.
func TestEnvoyGolden(t *testing.T) {
	file, err := os.Open("testdata/envoy.jsonl")
	require.NoError(t, err)
	defer file.Close()
	n := 0
	for lines := json.NewDecoder(file); ; n++ {
		var want envoy.Recording
		if err := lines.Decode(&want); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		t.Run(fmt.Sprintf("%03d/%v", n, &want.Cluster), func(t *testing.T) {
			t.Parallel()
			got := slotsOf(t, want.Cluster)
			if want.SHA256 != "" {
				require.Equal(t, want.SHA256, envoy.Digest(got))
				return
			}
			requireSameSlots(t, want.Slots, got)
		})
	}
	require.GreaterOrEqual(t, n, 200, "cases in testdata/envoy.jsonl")
}

// TestEnvoyLive compares with the tables that an Envoy builds now, for random
// clusters. These variables of the environment direct it:
//
//	MAGLEV_ENVOY           the binary; else the envoy in PATH, if it is 1.40
//	MAGLEV_ENVOY_CLUSTERS  how many clusters; else 100
//	MAGLEV_ENVOY_SEED      the seed of a run to repeat; else a random one
//	MAGLEV_REQUIRE_LIVE    1 to fail without an Envoy
func TestEnvoyLive(t *testing.T) {
	binary, err := envoy.Find(t.Context())
	if err != nil {
		if os.Getenv("MAGLEV_REQUIRE_LIVE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	clusters := number(t, "MAGLEV_ENVOY_CLUSTERS", 100)
	seed := number(t, "MAGLEV_ENVOY_SEED", rand.Uint64())
	t.Logf("to repeat this run: MAGLEV_ENVOY_SEED=%d MAGLEV_ENVOY_CLUSTERS=%d", seed, clusters)

	const batch = 50 // in one Envoy, with a seed of its own
	for first := uint64(0); first < clusters; first += batch {
		t.Run(fmt.Sprintf("from=%d", first), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, first))
			drawn := make([]envoy.Cluster, min(batch, clusters-first))
			for i := range drawn {
				drawn[i] = envoy.Random(r)
			}
			tables, err := envoy.Tables(t.Context(), binary, drawn)
			require.NoError(t, err)
			for i, c := range drawn {
				t.Run(fmt.Sprintf("%02d/%v", i, &c), func(t *testing.T) {
					requireSameSlots(t, tables[i], slotsOf(t, c))
				})
			}
		})
	}
}

func number(t *testing.T, variable string, otherwise uint64) uint64 {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, variable)
	return n
}

// slotsOf returns what this package puts into the slots of a cluster's table:
// indexes into the backends, nothing if the table is empty.
func slotsOf(t *testing.T, c envoy.Cluster) []int {
	backends := make([]maglev.Backend, len(c.Backends))
	for i, b := range c.Backends {
		backends[i] = maglev.Backend(b)
	}
	table, err := maglev.New(backends, maglev.Options{TableSize: c.TableSize, LocalityWeights: c.LocalityWeights})
	require.NoError(t, err)
	require.Equal(t, c.TableSize, table.Size())
	slots := make([]int, table.Size())
	for c := range slots {
		slots[c] = table.Lookup(uint64(c))
	}
	if slots[0] == -1 {
		require.Equal(t, -1, slices.Max(slots), "a table is empty or it is not")
		return nil
	}
	require.NotEqual(t, -1, slices.Min(slots), "a table is empty or it is not")
	return slots
}

// requireSameSlots shows the first slot that differs, and not the millions that
// a table may have.
func requireSameSlots(t *testing.T, envoys, ours []int) {
	t.Helper()
	require.Equal(t, len(envoys), len(ours), "slots")
	for c := range ours {
		if ours[c] != envoys[c] {
			require.Equal(t, envoys[c], ours[c], "slot %d, and perhaps more", c)
		}
	}
}
