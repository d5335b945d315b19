//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// A run is one peer under one rate for some seconds.
type run struct {
	Repeat, Rate int
	Peer         string
	Seconds      float64

	CPU        float64 // µs of the proxy for a request, with what it uses when nothing comes
	ClientCPU  float64 // the same of the load generator
	BackendCPU float64 // and of the backends
	PeakRSS    float64 // MB of the proxy
	RSS, PSS   float64 // the same at the end of the run

	loadResult

	Steal   float64 // percent of the processors' time that the hypervisor gave to others
	Invalid string  // why the run does not count, "" if it does
}

// The bounds of a run that counts.
const (
	maxLag   = 1000.0 // µs, at the 99th percentile
	maxSteal = 3.0    // percent
)

// measure runs a peer once, with processes of its own.
func (b *bench) measure(ctx context.Context, p *peer, rate int) (*run, error) {
	r := &run{Rate: rate, Peer: p.name, Seconds: b.opts.seconds}
	err := b.with(ctx, p, func(w *world) error {
		load, err := startRole("load")
		if err != nil {
			return err
		}
		defer load.stop()
		plan := loadPlan{w.targets, w.prefix, rate, b.opts.warmUp, time.Duration(b.opts.seconds * float64(time.Second))}
		return r.drive(ctx, w, load, plan)
	})
	return r, err
}

func (r *run) drive(ctx context.Context, w *world, load *process, plan loadPlan) error {
	if err := json.NewEncoder(load.in).Encode(plan); err != nil {
		return err
	}
	if line, err := load.out.ReadString('\n'); err != nil || line != "warm\n" {
		return fmt.Errorf("the load generator did not warm up: %q, %w", line, err)
	}
	before, err := snapshot(w, load, false)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(load.in, "go"); err != nil {
		return err
	}
	answered := make(chan error, 1)
	go func() { answered <- load.line(&r.loadResult) }()
	select {
	case err = <-answered:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	after, err := snapshot(w, load, true)
	if err != nil {
		return err
	}
	r.account(before, after)
	return nil
}

// A moment is what has been used up to it.
type moment struct {
	proxy            usage
	client, backends time.Duration
	ticks            ticks
}

func snapshot(w *world, load *process, withPSS bool) (m moment, err error) {
	if m.ticks, err = readTicks(); err != nil {
		return m, err
	}
	if m.proxy, err = w.proxyUsage(withPSS); err != nil {
		return m, err
	}
	if m.client, err = treeCPU(load.pid()); err != nil {
		return m, err
	}
	m.backends, err = treeCPU(w.backends.pid())
	return m, err
}

// account fills in what lies between two moments.
func (r *run) account(before, after moment) {
	sent := r.Requests
	for _, n := range r.Errors {
		sent += n
	}
	each := func(before, after time.Duration) float64 {
		return (after - before).Seconds() * 1e6 / float64(max(sent, 1))
	}
	r.CPU = each(before.proxy.cpu, after.proxy.cpu)
	r.ClientCPU = each(before.client, after.client)
	r.BackendCPU = each(before.backends, after.backends)
	r.PeakRSS, r.RSS, r.PSS = megabytes(after.proxy.top), megabytes(after.proxy.rss), megabytes(after.proxy.pss)
	r.Steal = after.ticks.stealSince(before.ticks)
	switch {
	case r.Lag.P99 > maxLag:
		r.Invalid = fmt.Sprintf("the generator lagged: p99 %.0f us", r.Lag.P99)
	case r.Steal > maxSteal:
		r.Invalid = fmt.Sprintf("steal %.1f %%", r.Steal)
	}
}

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }

// String is a line of progress.
func (r *run) String() string {
	text := fmt.Sprintf("%2d %5d/s %-9s cpu %6.1f us  rss %5.1f MB  p50 %6.0f  p99 %7.0f us  lag p99 %5.0f us  steal %4.1f %%",
		r.Repeat+1, r.Rate, r.Peer, r.CPU, r.RSS, r.Latency.P50, r.Latency.P99, r.Lag.P99, r.Steal)
	if len(r.Errors) > 0 {
		text += fmt.Sprintf("  ERRORS %v", r.Errors)
	}
	if r.Invalid != "" {
		text += "  INVALID: " + r.Invalid
	}
	return text
}
