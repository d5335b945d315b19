//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	child, err := beRole()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if !child {
		os.Exit(m.Run())
	}
}

// TestSmoke goes once, and shortly, through the checks, a rate and large bodies with each peer
// that is installed. What it measures means nothing.
func TestSmoke(t *testing.T) {
	b, err := newBench(t.Context(), options{
		rates: []int{200}, repeats: 1, seconds: 0.3, workers: 1, peers: []string{none}, parts: []string{"rates", "bulk"},
	}, t.Output())
	require.NoError(t, err)
	t.Cleanup(b.close)
	for i := range peers {
		p := &peers[i]
		t.Run(p.name, func(t *testing.T) {
			b.peers = []*peer{p}
			if p.find != nil {
				b.binaries[p.name] = findInTest(t, p, b.dir)
			}
			b.results = results{}
			require.NoError(t, b.run(t.Context()))

			require.Len(t, b.results.Runs, 1)
			r := b.results.Runs[0]
			assert.Empty(t, r.Errors)
			assert.Equal(t, 60, r.Requests)
			assert.Positive(t, r.Latency.P50)
			assert.Positive(t, r.ClientCPU)
			assert.Equal(t, p.find != nil, r.CPU > 0, "cpu %v", r.CPU)
			assert.Equal(t, p.find != nil, r.RSS > 1, "rss %v", r.RSS)
			require.Len(t, b.results.Bulk, 2)
			assert.Positive(t, b.results.Bulk[0].Rate)
			assert.Positive(t, b.results.Bulk[1].Rate)

			b.results.Summary = summarise(b.results.Runs, b.opts.rates, []string{p.name})
			var out strings.Builder
			require.NoError(t, b.results.print(&out))
			assert.Contains(t, out.String(), p.name)
			require.NoError(t, b.results.save(t.TempDir()))
		})
	}
	t.Run("same backends", func(t *testing.T) {
		b.peers = nil
		for i := range peers {
			if p := &peers[i]; p.admin {
				if b.binaries[p.name] == "" {
					t.Skipf("there is no %s, see above", p.name)
				}
				b.peers = append(b.peers, p)
			}
		}
		require.NoError(t, b.checkAll(t.Context()))
	})
}

// findInTest installs nothing. Without a proxy the test skips its part, or fails if the
// environment says that all have to be there.
func findInTest(t *testing.T, p *peer, dir string) string {
	t.Helper()
	if p.name == "envoy" && os.Getenv("MAGLEV_ENVOY") == "" {
		skipLive(t, "no Envoy: MAGLEV_ENVOY is not set")
	}
	binary, err := p.find(t.Context(), dir)
	if p.name == "meshproxy" {
		require.NoError(t, err)
	} else if err != nil {
		if os.Getenv("MAGLEV_REQUIRE_PROXIES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return binary
}

// skipLive skips, or fails where a real Envoy has to be there.
func skipLive(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("MAGLEV_REQUIRE_LIVE") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

func TestAbsentPeerIsReported(t *testing.T) {
	t.Setenv("PATH", "")
	_, err := findInPath("no-such-proxy")(context.Background(), "")
	assert.ErrorIs(t, err, errAbsent)
}

func TestFlags(t *testing.T) {
	opts, dir, err := parseFlags([]string{"-rate", "20,50", "-repeats", "3", "-peers", "none,envoy", "-seconds", "1.5", "-out", "x"}, t.Output())
	require.NoError(t, err)
	assert.Equal(t, options{
		rates: []int{20, 50}, repeats: 3, seconds: 1.5, warmUp: 2 * time.Second, workers: 1, spin: true,
		peers: []string{"none", "envoy"}, parts: parts,
	}, opts)
	assert.Equal(t, "x", dir)

	for _, args := range [][]string{
		{"-rate", "0"}, {"-rate", "fast"}, {"-rate", ""}, {"-parts", "all"}, {"-repeats", "0"}, {"-seconds", "-1"}, {"-workers", "0"},
	} {
		_, _, err := parseFlags(args, t.Output())
		assert.Error(t, err, "%v", args)
	}
	_, err = peerNamed("squid")
	assert.EqualError(t, err, `there is no peer "squid", only none, meshproxy, envoy, nginx, haproxy`)
}
