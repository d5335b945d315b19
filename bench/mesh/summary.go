//go:build linux

package main

import "math"

// Results are everything that was found, as they are written in JSON.
type results struct {
	Machine  machine
	Versions map[string]string
	Absent   map[string]string // peers that were to be measured, and why they were not
	Command  string
	Runs     []run
	Bulk     []bulk
	Idle     []idle
	Starts   []start
	Summary  []row
}

// A row sums up the runs of one peer at one rate.
type row struct {
	Rate    int
	Peer    string
	Runs    int  // all of them
	Invalid int  // of which do not count. If that is all, they do after all.
	Errors  int  // requests not answered as they should be, in all runs
	Doubted bool // the figures rest on invalid runs: all of the peer's, of Envoy's or without a proxy

	CPU        figure // µs of the proxy for a request
	AllCPU     figure // µs of client, proxy and backend together, above that without a proxy
	PeakRSS    figure // MB
	RSS, PSS   figure // MB at the end
	AddedP50   figure // µs above that without a proxy
	AddedP90   figure
	AddedP99   figure
	CPUOfEnvoy figure // ratios to Envoy's
	RSSOfEnvoy figure // of the peaks
	P50OfEnvoy figure // of the added median
}

// summarise makes the rows, in the order of rates and peers.
func summarise(runs []run, rates []int, names []string) []row {
	var rows []row
	for _, rate := range rates {
		base, envoy := chosen(runs, rate, none), chosen(runs, rate, "envoy")
		for _, name := range names {
			all := chosen(runs, rate, name)
			if len(all.runs) == 0 {
				continue
			}
			r := row{Rate: rate, Peer: name, Runs: all.total, Invalid: all.invalid, Errors: all.errors}
			r.Doubted = all.doubted() || name != none && (base.doubted() || envoy.doubted())
			r.CPU = all.series(cpuOf).figure()
			r.PeakRSS = all.series(peakOf).figure()
			r.RSS = all.series(func(r *run) float64 { return r.RSS }).figure()
			r.PSS = all.series(func(r *run) float64 { return r.PSS }).figure()
			r.AllCPU = all.above(base, func(r *run) float64 { return r.CPU + r.ClientCPU + r.BackendCPU }).figure()
			r.AddedP50 = all.above(base, p50Of).figure()
			r.AddedP90 = all.above(base, func(r *run) float64 { return r.Latency.P90 }).figure()
			r.AddedP99 = all.above(base, func(r *run) float64 { return r.Latency.P99 }).figure()
			if name != none {
				r.CPUOfEnvoy = all.series(cpuOf).pair(envoy.series(cpuOf), ratio).figure()
				r.RSSOfEnvoy = all.series(peakOf).pair(envoy.series(peakOf), ratio).figure()
				r.P50OfEnvoy = all.above(base, p50Of).pair(envoy.above(base, p50Of), positiveRatio).figure()
			}
			rows = append(rows, r)
		}
	}
	return rows
}

func cpuOf(r *run) float64  { return r.CPU }
func peakOf(r *run) float64 { return r.PeakRSS }
func p50Of(r *run) float64  { return r.Latency.P50 }

// positiveRatio is not a number where the noise is greater than what was measured.
func positiveRatio(a, b float64) float64 {
	if b <= 0 {
		return math.NaN()
	}
	return a / b
}

// A choice is the runs of one peer at one rate that count.
type choice struct {
	runs                   []*run
	total, invalid, errors int
}

// chosen leaves invalid runs out, unless there are no others.
func chosen(runs []run, rate int, peer string) choice {
	var c choice
	var invalid []*run
	for i := range runs {
		r := &runs[i]
		if r.Rate != rate || r.Peer != peer {
			continue
		}
		c.total++
		for _, n := range r.Errors {
			c.errors += n
		}
		if r.Invalid != "" {
			invalid = append(invalid, r)
		} else {
			c.runs = append(c.runs, r)
		}
	}
	c.invalid = len(invalid)
	if len(c.runs) == 0 {
		c.runs = invalid
	}
	return c
}

func (c choice) doubted() bool { return c.total > 0 && c.invalid == c.total }

func (c choice) series(of func(*run) float64) series {
	s := make(series)
	for _, r := range c.runs {
		s[r.Repeat] = of(r)
	}
	return s
}

// above is what the runs have more than those without a proxy.
func (c choice) above(base choice, of func(*run) float64) series {
	return c.series(of).pair(base.series(of), difference)
}
