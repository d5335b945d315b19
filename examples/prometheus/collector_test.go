package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// everything has a value of its own in each place.
var everything = httpbalancer.Stats{
	Backends: []httpbalancer.BackendStats{{
		BackendStats: maglev.BackendStats{
			Backend: maglev.Backend{Name: "a", Weight: 3, Locality: "zone"},
			Slots:   11, Share: 0.75, State: maglev.StateUnhealthy, InFlight: 12,
			Picks: 13, Spills: 14, Overflows: 15,
		},
		URL:    "http://10.0.0.1:80",
		Health: health.Status{Name: "a", Ejections: 16},
	}, {
		BackendStats: maglev.BackendStats{
			Backend: maglev.Backend{Name: "gone"}, State: maglev.StateDraining, Left: true,
			InFlight: 17, Picks: 18, Spills: 19, Overflows: 20,
		},
	}},
	Slots: 21, Panic: true, Tables: 22,
	Rebuilt: maglev.Rebuilt{At: time.Unix(23, 5e8), Took: 24 * time.Millisecond, Moved: 25, Ideal: 26},
	Err:     errors.New("too many"),

	InFlight: 27, RetriesInFlight: 28, Retries: 29, OverBudget: 30, Failed: 31, NoBackend: 32, NoKey: 33,
	Discovered: time.Unix(34, 0), DiscoveryErr: errors.New("no such host"),
}

func collectorOf(s httpbalancer.Stats) *Collector {
	return NewCollector(func() httpbalancer.Stats { return s })
}

// samples returns the lines of a collection that are no comments.
func samples(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	var out bytes.Buffer
	require.NoError(t, write(&out, registry))
	var lines []string
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}

func TestEveryFigureIsExported(t *testing.T) {
	require.Equal(t, `maglev_backend_ejections_total{backend="a"} 16
maglev_backend_healthy{backend="a"} 0
maglev_backend_info{backend="a",locality="zone",url="http://10.0.0.1:80"} 1
maglev_backend_overflows_total{backend="a"} 15
maglev_backend_overflows_total{backend="gone"} 20
maglev_backend_requests_in_flight{backend="a"} 12
maglev_backend_requests_in_flight{backend="gone"} 17
maglev_backend_requests_total{backend="a"} 13
maglev_backend_requests_total{backend="gone"} 18
maglev_backend_slots{backend="a"} 11
maglev_backend_spills_total{backend="a"} 14
maglev_backend_spills_total{backend="gone"} 19
maglev_backend_state{backend="a",state="draining"} 0
maglev_backend_state{backend="a",state="ready"} 0
maglev_backend_state{backend="a",state="unhealthy"} 1
maglev_backend_state{backend="a",state="warming"} 0
maglev_backend_weight_ratio{backend="a"} 0.75
maglev_discovery_failing 1
maglev_discovery_timestamp_seconds 34
maglev_panic 1
maglev_request_failures_total{reason="backend"} 31
maglev_request_failures_total{reason="no backend"} 32
maglev_request_failures_total{reason="no key"} 33
maglev_requests_in_flight 27
maglev_retries_in_flight 28
maglev_retries_over_budget_total 30
maglev_retries_total 29
maglev_table_build_failing 1
maglev_table_builds_total 22
maglev_table_last_build_duration_seconds 0.024
maglev_table_last_build_ideal_slots 26
maglev_table_last_build_moved_slots 25
maglev_table_last_build_timestamp_seconds 23.5
maglev_table_slots 21
`, samples(t, collectorOf(everything)))
}

func TestNamesAndHelpsAreAsPrometheusAsks(t *testing.T) {
	problems, err := testutil.CollectAndLint(collectorOf(everything))
	require.NoError(t, err)
	require.Empty(t, problems)
}

func TestNothingIsSaidOfWhatThereIsNot(t *testing.T) {
	out := samples(t, collectorOf(httpbalancer.Stats{}))
	for _, absent := range []string{"discovery", "last_build", "backend_"} {
		require.NotContains(t, out, absent)
	}
	require.Contains(t, out, "maglev_table_slots 0\n")
}

func TestNamesOfAnyBytes(t *testing.T) {
	s := httpbalancer.Stats{Backends: []httpbalancer.BackendStats{{
		BackendStats: maglev.BackendStats{Backend: maglev.Backend{Name: "a\"\n\xff"}, Left: true},
	}}}
	require.Contains(t, samples(t, collectorOf(s)), `maglev_backend_requests_total{backend="a\"\n`+"\uFFFD"+`"} 0`)
}

func TestOneCallOfStatsACollection(t *testing.T) {
	calls := 0
	c := NewCollector(func() httpbalancer.Stats { calls++; return everything })
	require.Equal(t, 34, testutil.CollectAndCount(c))
	require.Equal(t, 1, calls)
}

func TestTrafficIsCounted(t *testing.T) {
	traffic, err := startTraffic()
	require.NoError(t, err)
	defer traffic.close()
	c := NewCollector(traffic.transport.Stats)
	for i := range 200 {
		require.NoError(t, traffic.send(t.Context(), i))
	}
	s := traffic.transport.Stats()
	picks := uint64(0)
	for _, b := range s.Backends {
		picks += b.Picks
	}
	require.Equal(t, 200+s.Retries, picks)

	out := samples(t, c)
	// Five errors in a row eject it.
	require.Contains(t, out, `maglev_backend_requests_total{backend="users-2"} 5`+"\n")
	require.Contains(t, out, `maglev_backend_ejections_total{backend="users-2"} 1`+"\n")
	require.Contains(t, out, `maglev_backend_healthy{backend="users-2"} 0`+"\n")
	require.Contains(t, out, `maglev_backend_state{backend="users-2",state="unhealthy"} 1`+"\n")
	require.Contains(t, out, `maglev_backend_healthy{backend="users-1"} 1`+"\n")
	require.Contains(t, out, "maglev_retries_total 5\n")
	require.Contains(t, out, `maglev_request_failures_total{reason="backend"} 0`+"\n")
	require.NotContains(t, out, `maglev_backend_spills_total{backend="users-2"} 0`+"\n")
}

func TestCollectionsWhileRequestsGoOn(t *testing.T) {
	traffic, err := startTraffic()
	require.NoError(t, err)
	defer traffic.close()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(NewCollector(traffic.transport.Stats))
	var wg sync.WaitGroup
	errs := make(chan error, 2*100)
	for range 2 {
		wg.Go(func() {
			for i := range 100 {
				errs <- traffic.send(t.Context(), i)
			}
		})
	}
	for range 20 {
		_, err := registry.Gather()
		require.NoError(t, err)
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

func TestOnce(t *testing.T) {
	var stdout bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-once"}, &stdout, io.Discard))
	problems, err := promlint.New(bytes.NewReader(stdout.Bytes())).Lint()
	require.NoError(t, err)
	require.Empty(t, problems)
	require.Contains(t, stdout.String(), "# TYPE maglev_backend_requests_total counter\n")
	require.Contains(t, stdout.String(), "# TYPE maglev_backend_requests_in_flight gauge\n")
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- run(ctx, []string{"-addr", "127.0.0.1:0"}, w, io.Discard) }()
	buffer := make([]byte, 4096)
	n, err := r.Read(buffer)
	require.NoError(t, err)
	_, address, ok := strings.Cut(string(buffer[:n]), "The metrics are at ")
	require.True(t, ok)
	resp, err := http.Get(strings.TrimSuffix(address, ", until ^C.\n"))
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), `maglev_backend_requests_total{backend="users-1"} `)
	cancel()
	require.NoError(t, <-done)
}

func TestUsage(t *testing.T) {
	var stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-h"}, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "-once")
	for args, want := range map[string]string{
		"-frobnicate":    "-frobnicate",
		"metrics":        `"metrics" is not expected`,
		"-addr 9464":     "-addr 9464: it must be an address of loopback",
		"-addr :9464":    "-addr :9464: it must be an address of loopback",
		"-addr 8.8.8.8:": "-addr 8.8.8.8:: it must be an address of loopback",
	} {
		stderr.Reset()
		require.ErrorIs(t, run(t.Context(), strings.Fields(args), io.Discard, &stderr), errUsage, args)
		require.Contains(t, stderr.String(), want, args)
	}
}
