package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// everything has a value of its own in each place.
var everything = httpbalancer.Stats{
	Backends: []httpbalancer.BackendStats{{
		BackendStats: maglev.BackendStats{
			Backend: maglev.Backend{Name: "a", Weight: 3},
			Slots:   11, Share: 0.75, State: maglev.StateUnhealthy, InFlight: 12,
			Picks: 13, Spills: 14, Overflows: 15,
		},
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

// readerOf returns a reader of the metrics of what the function returns.
func readerOf(t *testing.T, stats func() httpbalancer.Stats) *metric.ManualReader {
	t.Helper()
	reader := metric.NewManualReader()
	_, err := RegisterMetrics(metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"), stats)
	require.NoError(t, err)
	return reader
}

func linesFrom(t *testing.T, s httpbalancer.Stats) []string {
	t.Helper()
	lines, err := metricLines(t.Context(), readerOf(t, func() httpbalancer.Stats { return s }))
	require.NoError(t, err)
	return lines
}

func TestEveryFigureIsExported(t *testing.T) {
	require.Equal(t, `maglev.backend.active_requests{maglev.backend.name=a} 12
maglev.backend.active_requests{maglev.backend.name=gone} 17
maglev.backend.ejections{maglev.backend.name=a} 16
maglev.backend.healthy{maglev.backend.name=a} 0
maglev.backend.overflows{maglev.backend.name=a} 15
maglev.backend.overflows{maglev.backend.name=gone} 20
maglev.backend.requests{maglev.backend.name=a} 13
maglev.backend.requests{maglev.backend.name=gone} 18
maglev.backend.slots{maglev.backend.name=a} 11
maglev.backend.spills{maglev.backend.name=a} 14
maglev.backend.spills{maglev.backend.name=gone} 19
maglev.backend.status{maglev.backend.name=a,maglev.backend.state=draining} 0
maglev.backend.status{maglev.backend.name=a,maglev.backend.state=ready} 0
maglev.backend.status{maglev.backend.name=a,maglev.backend.state=unhealthy} 1
maglev.backend.status{maglev.backend.name=a,maglev.backend.state=warming} 0
maglev.backend.weight{maglev.backend.name=a} 0.75
maglev.client.active_requests{} 27
maglev.client.active_retries{} 28
maglev.client.failures{error.type=backend} 31
maglev.client.failures{error.type=no_backend} 32
maglev.client.failures{error.type=no_key} 33
maglev.client.over_budget{} 30
maglev.client.retries{} 29
maglev.discovery.failing{} 1
maglev.discovery.timestamp{} 34
maglev.panic{} 1
maglev.table.builds{} 22
maglev.table.failing{} 1
maglev.table.last_build.duration{} 0.024
maglev.table.last_build.ideal{} 26
maglev.table.last_build.moved{} 25
maglev.table.last_build.timestamp{} 23.5`, strings.Join(linesFrom(t, everything), "\n"))
}

func TestNothingIsSaidOfWhatThereIsNot(t *testing.T) {
	out := strings.Join(linesFrom(t, httpbalancer.Stats{}), "\n")
	for _, absent := range []string{"discovery", "last_build", "backend."} {
		require.NotContains(t, out, absent)
	}
	require.Contains(t, out, "maglev.table.builds{} 0")
}

func TestNamesOfAnyBytes(t *testing.T) {
	lines := linesFrom(t, httpbalancer.Stats{Backends: []httpbalancer.BackendStats{{
		BackendStats: maglev.BackendStats{Backend: maglev.Backend{Name: "a\xff"}, Left: true},
	}}})
	require.Contains(t, lines, "maglev.backend.requests{maglev.backend.name=a\uFFFD} 0")
}

func TestCountersGrowAndGaugesDoNot(t *testing.T) {
	var all metricdata.ResourceMetrics
	reader := readerOf(t, func() httpbalancer.Stats { return everything })
	require.NoError(t, reader.Collect(t.Context(), &all))
	kinds := make(map[string]string)
	for _, m := range all.ScopeMetrics[0].Metrics {
		require.NotEmpty(t, m.Description, m.Name)
		require.NotEmpty(t, m.Unit, m.Name)
		switch data := m.Data.(type) {
		case metricdata.Sum[int64]:
			require.Equal(t, metricdata.CumulativeTemporality, data.Temporality, m.Name)
			kinds[m.Name] = fmt.Sprint("sum, monotonic ", data.IsMonotonic)
		default:
			kinds[m.Name] = "gauge"
		}
	}
	for name, kind := range kinds {
		switch {
		case strings.Contains(name, ".active_") || strings.HasSuffix(name, ".slots"):
			require.Equal(t, "sum, monotonic false", kind, name)
		case kind == "gauge":
		default:
			require.Equal(t, "sum, monotonic true", kind, name)
		}
	}
	for _, counter := range []string{"backend.requests", "backend.spills", "backend.overflows", "backend.ejections",
		"table.builds", "client.retries", "client.over_budget", "client.failures"} {
		require.Equal(t, "sum, monotonic true", kinds["maglev."+counter], counter)
	}
}

func TestOneCallOfStatsACollection(t *testing.T) {
	calls := 0
	reader := readerOf(t, func() httpbalancer.Stats { calls++; return everything })
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	require.Equal(t, 1, calls)
}

func TestTrafficIsCounted(t *testing.T) {
	o := observe(t)
	key := keyAt(t, refusing)
	for range 7 {
		require.NoError(t, o.send(t.Context(), http.MethodGet, key, nil))
	}
	lines, err := metricLines(t.Context(), o.reader)
	require.NoError(t, err)
	// Five errors in a row eject it, and its keys spill.
	require.Subset(t, lines, []string{
		"maglev.backend.requests{maglev.backend.name=users-2} 5",
		"maglev.backend.spills{maglev.backend.name=users-2} 2",
		"maglev.backend.ejections{maglev.backend.name=users-2} 1",
		"maglev.backend.healthy{maglev.backend.name=users-1} 1",
		"maglev.backend.healthy{maglev.backend.name=users-2} 0",
		"maglev.client.retries{} 5",
		"maglev.client.failures{error.type=backend} 0",
	})
}

func TestOutput(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-requests", "20"}, &stdout, &stderr))
	require.Empty(t, stderr.String())
	require.Equal(t, 20, strings.Count(stdout.String(), "server.address = users.example\n"))
	require.Contains(t, stdout.String(), "      http.request.resend_count = 1\n")
	require.Contains(t, stdout.String(), "\nmaglev.backend.requests{maglev.backend.name=users-2} ")
}

func TestUsage(t *testing.T) {
	var stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-h"}, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "-requests")
	for args, want := range map[string]string{
		"-frobnicate":     "-frobnicate",
		"10":              `"10" is not expected`,
		"-requests 0":     "-requests 0: it must be from 1 to 10000",
		"-requests 10001": "-requests 10001: it must be from 1 to 10000",
	} {
		stderr.Reset()
		require.ErrorIs(t, run(t.Context(), strings.Fields(args), io.Discard, &stderr), errUsage, args)
		require.Contains(t, stderr.String(), want, args)
	}
}
