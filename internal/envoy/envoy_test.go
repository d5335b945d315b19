package envoy

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// script writes a program that takes Envoy's place.
func script(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "envoy")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700))
	return path
}

var pair = Cluster{TableSize: 3, Backends: []Backend{{Name: "10.0.0.1:80"}, {Name: "key"}}}

func TestTablesAreAttributedByTheLog(t *testing.T) {
	// Tables come in an order of Envoy's own, here the second cluster's first.
	binary := script(t, `cat >&2 <<-END
	initializing Primary cluster cluster-1 completed
	maglev: single host 127.0.0.1:80
	initializing Primary cluster cluster-2 completed
	maglev: normalized hosts weights is empty, skipping building table
	initializing Primary cluster cluster-0 completed
	maglev: i=0 address=10.0.0.1:80 host=10.0.0.1:80
	maglev: i=1 address=127.0.0.1:80 host=key
	maglev: i=2 address=10.0.0.1:80 host=10.0.0.1:80
	starting main dispatch loop
	END
	exec sleep 60`)
	got, err := Tables(t.Context(), binary, []Cluster{pair, pair, pair})
	require.NoError(t, err)
	require.Equal(t, [][]int{{0, 1, 0}, {1, 1, 1}, nil}, got)
}

func TestTablesErrors(t *testing.T) {
	const begin = "initializing Primary cluster cluster-0 completed\n"
	for _, c := range []struct{ name, log, want string }{
		{"no configuration it accepts", "bad weight\n", "ended before it was up (exit status 3)"},
		{"no table", begin + "starting main dispatch loop\n", "cluster-0: 0 slots, want 3"},
		{"another address", begin + "maglev: i=0 address=10.0.0.2:80 host=x\n", "cluster-0 has no address 10.0.0.2:80"},
		{"another key", begin + "maglev: i=0 address=127.0.0.1:80 host=x\n", `"x", want "key"`},
		{"a slot left out", begin + "maglev: i=1 address=127.0.0.1:80 host=key\n", "slot 1 where 0 was expected"},
		{"no cluster", "maglev: i=0 address=127.0.0.1:80 host=key\n", "before any cluster"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Tables(t.Context(), script(t, "cat >&2 <<END\n"+c.log+"END\nexit 3"), []Cluster{pair})
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestTablesShowTheLogsEnd(t *testing.T) {
	_, err := Tables(t.Context(), script(t, "echo bad weight >&2; exit 1"), []Cluster{pair})
	require.ErrorContains(t, err, "the end of its log:\n\tbad weight")
}

func TestTablesDoNotHang(t *testing.T) {
	// The shell is killed; its child still has the log open.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	_, err := Tables(ctx, script(t, "sleep 10; true"), []Cluster{pair})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(begin), 5*time.Second)
}

// These texts are from the log of Envoy 1.40.0.
func TestAddressTextIsEnvoys(t *testing.T) {
	for _, want := range []string{
		"10.0.0.1:80", "[::1]:80", "[::]:80", "[fe80::]:80", "[0:1::]:80",
		"[::1.2.3.4]:80", "[::0.1.0.2]:80", "[::ffff:1.2.3.4]:80", "[::ffff:0:102:304]:80",
		"[::5:102:304]:80", "[64:ff9b::102:304]:80", "[1:0:2:3:4:5:6:7]:80", "[1::2:0:0:3:4]:80", "[1:2:3:4:5:6::]:80",
	} {
		require.Equal(t, want, addressText(netip.MustParseAddrPort(want)))
	}
}

func TestRandomClustersAreWhatEnvoyAccepts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		c := Random(r)
		require.NotEmpty(t, c.Backends)
		names, sum := make(map[string]bool), uint64(0)
		for _, b := range c.Backends {
			require.False(t, names[b.Name], "%q twice", b.Name)
			names[b.Name] = true
			sum += uint64(max(b.Weight, 1))
		}
		require.LessOrEqual(t, sum, uint64(sumLimit))
		sum = 0
		for _, weight := range c.LocalityWeights {
			sum += uint64(weight)
		}
		require.LessOrEqual(t, sum, uint64(sumLimit))
	}
}
