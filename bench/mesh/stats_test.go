//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFigure(t *testing.T) {
	assert.Equal(t, figure{Median: 3, Min: 1, Max: 9, N: 3}, figureOf([]float64{9, 1, 3}))
	assert.Equal(t, figure{Median: 2.5, Min: 1, Max: 4, N: 4}, figureOf([]float64{4, 1, 3, 2}))
	assert.Equal(t, "2.5 (1.0-4.0)", figureOf([]float64{4, 1, 3, 2}).format(1))
	assert.Equal(t, "7", figureOf([]float64{7}).format(0))
	assert.Equal(t, "-", figureOf(nil).format(0))
}

func TestSeriesPair(t *testing.T) {
	a := series{0: 10, 1: 30, 3: 5, 4: 1}
	b := series{0: 20, 1: 20, 2: 7, 4: 0}
	assert.Equal(t, series{0: 0.5, 1: 1.5}, a.pair(b, ratio), "repeats of one alone, and those without a ratio, are left out")
	assert.Equal(t, series{0: -10, 1: 10, 4: 1}, a.pair(b, difference))
	assert.Zero(t, a.pair(nil, ratio).figure())
}

// aRun is at 200 requests a second.
func aRun(repeat int, peer string, cpu, p50 float64, invalid string) run {
	r := run{Repeat: repeat, Rate: 200, Peer: peer, CPU: cpu, PeakRSS: cpu / 2, Invalid: invalid}
	r.ClientCPU, r.BackendCPU = 10, 20
	r.Latency.P50 = p50
	return r
}

func TestSummarise(t *testing.T) {
	runs := []run{
		aRun(0, none, 0, 100, ""), aRun(0, "envoy", 200, 300, ""), aRun(0, "nginx", 50, 150, ""),
		// The machine was slow in this one, which the ratios do not show.
		aRun(1, "nginx", 100, 300, ""), aRun(1, none, 0, 200, ""), aRun(1, "envoy", 400, 600, ""),
		// A run that does not count takes its partners' ratios with it, not their figures.
		aRun(2, none, 0, 100, ""), aRun(2, "envoy", 9999, 9999, "steal 50.0 %"), aRun(2, "nginx", 60, 160, ""),
	}
	runs[8].Errors = map[string]int{"status 502": 2, "length 0": 1}

	rows := summarise(runs, []int{20, 200}, []string{none, "envoy", "nginx", "haproxy"})
	require.Len(t, rows, 3)
	envoy, nginx := rows[1], rows[2]
	assert.Equal(t, figure{300, 200, 400, 2}, envoy.CPU)
	assert.Equal(t, 1, envoy.Invalid)
	assert.False(t, envoy.Doubted)
	assert.Equal(t, figure{1, 1, 1, 2}, envoy.CPUOfEnvoy)

	assert.Equal(t, figure{60, 50, 100, 3}, nginx.CPU)
	assert.Equal(t, figure{0.25, 0.25, 0.25, 2}, nginx.CPUOfEnvoy)
	assert.Equal(t, figure{0.25, 0.25, 0.25, 2}, nginx.RSSOfEnvoy)
	assert.Equal(t, figure{60, 50, 100, 3}, nginx.AllCPU, "client and backend took the same without a proxy")
	assert.Equal(t, figure{60, 50, 100, 3}, nginx.AddedP50)
	assert.Equal(t, figure{0.25, 0.25, 0.25, 2}, nginx.P50OfEnvoy)
	assert.Equal(t, 3, nginx.Errors)
	assert.Equal(t, 3, nginx.Runs)
}

// Where nothing counts the figures are there all the same, and marked.
func TestSummariseInvalid(t *testing.T) {
	rows := summarise([]run{aRun(0, none, 0, 100, ""), aRun(0, "envoy", 200, 300, "steal 4.0 %")}, []int{200}, []string{none, "envoy"})
	require.Len(t, rows, 2)
	assert.Equal(t, figure{200, 200, 200, 1}, rows[1].CPU)
	assert.True(t, rows[1].Doubted)

	var out strings.Builder
	r := results{Summary: rows}
	require.NoError(t, r.print(&out))
	assert.Contains(t, out.String(), "1/1 !")
	assert.Contains(t, out.String(), "rests on runs that do not count")
}

func TestAccount(t *testing.T) {
	for _, test := range []struct {
		lag   float64
		steal uint64
		want  string
	}{
		{1000, 30, ""},
		{1001, 0, "the generator lagged: p99 1001 us"},
		{0, 31, "steal 3.1 %"},
	} {
		var r run
		r.Requests = 9
		r.Errors = map[string]int{"status 503": 1}
		r.Lag.P99 = test.lag
		r.account(moment{ticks: ticks{100, 0}}, moment{
			proxy: usage{cpu: 1e6, top: 3e6, rss: 2e6, pss: 1e6}, client: 2e6, backends: 3e6, ticks: ticks{1100, test.steal},
		})
		assert.Equal(t, test.want, r.Invalid)
		assert.Equal(t, []float64{100, 200, 300, 3, 2, 1}, []float64{r.CPU, r.ClientCPU, r.BackendCPU, r.PeakRSS, r.RSS, r.PSS}, "a request")
	}
}

func TestCSVAndPlot(t *testing.T) {
	runs := []run{aRun(0, "envoy", 200, 300, "steal 4.0 %, too much"), aRun(0, "nginx", 50, 150, "")}
	var out strings.Builder
	require.NoError(t, writeCSV(&out, runs))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 3)
	assert.True(t, strings.HasPrefix(lines[1], "0,200,envoy,"), lines[1])
	assert.Contains(t, lines[1], `"steal 4.0 %, too much"`)
	assert.Equal(t, strings.Count(lines[0], ","), strings.Count(lines[2], ","))

	svg := plotCPU(summarise(runs, []int{200}, []string{none, "envoy", "nginx"}))
	assert.Contains(t, svg, "200 requests/s")
	assert.Equal(t, 3, strings.Count(svg, "<rect"), "two bars on a ground")
}
