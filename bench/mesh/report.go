//go:build linux

package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// save writes results.json, runs.csv and cpu.svg into a directory.
func (r *results) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	if len(r.Runs) == 0 {
		return nil
	}
	var runs strings.Builder
	if err := writeCSV(&runs, r.Runs); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "runs.csv"), []byte(runs.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "cpu.svg"), []byte(plotCPU(r.Summary)), 0o644)
}

// writeCSV writes a line for each run, the invalid ones too.
func writeCSV(out io.Writer, runs []run) error {
	w := csv.NewWriter(out)
	if err := w.Write([]string{"repeat", "rate", "peer", "seconds", "requests", "errors", "cpu_us", "client_cpu_us", "backend_cpu_us",
		"peak_rss_mb", "rss_mb", "pss_mb", "p50_us", "p90_us", "p99_us", "p999_us", "max_us", "lag_p50_us", "lag_p99_us", "queued", "steal_percent", "invalid"}); err != nil {
		return err
	}
	number := func(f float64) string { return strconv.FormatFloat(f, 'f', 3, 64) }
	for i := range runs {
		r := &runs[i]
		errors := 0
		for _, n := range r.Errors {
			errors += n
		}
		if err := w.Write([]string{strconv.Itoa(r.Repeat), strconv.Itoa(r.Rate), r.Peer, number(r.Seconds), strconv.Itoa(r.Requests), strconv.Itoa(errors),
			number(r.CPU), number(r.ClientCPU), number(r.BackendCPU), number(r.PeakRSS), number(r.RSS), number(r.PSS),
			number(r.Latency.P50), number(r.Latency.P90), number(r.Latency.P99), number(r.Latency.P999), number(r.Latency.Max),
			number(r.Lag.P50), number(r.Lag.P99), strconv.Itoa(r.Queued), number(r.Steal), r.Invalid}); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// print writes the tables for people.
func (r *results) print(out io.Writer) error {
	m := &r.Machine
	fmt.Fprintf(out, "\n%s, %d cores, %.0f MB, Linux %s, %s, load %s\n", m.CPU, m.Cores, m.Memory, m.Kernel, m.Go, m.Load)
	for _, name := range sortedKeys(r.Versions) {
		fmt.Fprintf(out, "%s: %s\n", name, r.Versions[name])
	}
	for _, name := range sortedKeys(r.Absent) {
		fmt.Fprintf(out, "left out: %s\n", r.Absent[name])
	}
	for _, part := range []func(io.Writer){r.printRates, r.printBulk, r.printIdle, r.printStarts} {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		part(w)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func line(w io.Writer, cells ...string) { fmt.Fprintln(w, strings.Join(cells, "\t")+"\t") }

func (r *results) printRates(w io.Writer) {
	if len(r.Summary) == 0 {
		return
	}
	fmt.Fprintf(w, "\n1 KB answers, %d connections; median (range) of the repeats that count; x is the ratio to Envoy, paired by repeat\n", connections)
	line(w, "req/s", "peer", "CPU us/req", "x", "all CPU above none", "peak RSS MB", "x", "RSS at the end", "PSS at the end", "errors", "invalid")
	doubted := false
	for i := range r.Summary {
		s := &r.Summary[i]
		invalid := fmt.Sprintf("%d/%d", s.Invalid, s.Runs)
		if s.Doubted {
			invalid += " !"
			doubted = true
		}
		line(w, strconv.Itoa(s.Rate), s.Peer, s.CPU.format(1), s.CPUOfEnvoy.format(2), s.AllCPU.format(0),
			s.PeakRSS.format(1), s.RSSOfEnvoy.format(2), s.RSS.format(1), s.PSS.format(1), strconv.Itoa(s.Errors), invalid)
	}
	if doubted {
		fmt.Fprintln(w, "! rests on runs that do not count, for want of others")
	}
	fmt.Fprintln(w, "\nlatency above no proxy, us")
	line(w, "req/s", "peer", "p50", "x", "p90", "p99")
	for i := range r.Summary {
		if s := &r.Summary[i]; s.Peer != none {
			line(w, strconv.Itoa(s.Rate), s.Peer, s.AddedP50.format(0), s.P50OfEnvoy.format(2), s.AddedP90.format(0), s.AddedP99.format(0))
		}
	}
}

func (r *results) printBulk(w io.Writer) {
	if len(r.Bulk) == 0 {
		return
	}
	fmt.Fprintf(w, "\n10 MB bodies, %d connections; x is the ratio to nginx\n", bulkConns)
	line(w, "direction", "peer", "MB/s", "x", "CPU ms/MB", "x", "peak RSS MB", "invalid")
	for _, direction := range []string{"download", "upload"} {
		rate := bulkSeries(r.Bulk, direction, func(b *bulk) float64 { return b.Rate })
		cpu := bulkSeries(r.Bulk, direction, func(b *bulk) float64 { return b.CPU })
		rss := bulkSeries(r.Bulk, direction, func(b *bulk) float64 { return b.RSS })
		for _, p := range peers {
			if rate[p.name] == nil {
				continue
			}
			invalid := 0
			for i := range r.Bulk {
				if b := &r.Bulk[i]; b.Peer == p.name && b.Direction == direction && b.Invalid != "" {
					invalid++
				}
			}
			line(w, direction, p.name, rate[p.name].figure().format(0), rate[p.name].pair(rate["nginx"], ratio).figure().format(2),
				cpu[p.name].figure().format(2), cpu[p.name].pair(cpu["nginx"], ratio).figure().format(2),
				rss[p.name].figure().format(1), strconv.Itoa(invalid))
		}
	}
}

// bulkSeries is by peer. Invalid runs are in it: throughput is what the machine gave, and only
// ratios within a repeat say something.
func bulkSeries(all []bulk, direction string, of func(*bulk) float64) map[string]series {
	found := make(map[string]series)
	for i := range all {
		b := &all[i]
		if b.Direction != direction {
			continue
		}
		if found[b.Peer] == nil {
			found[b.Peer] = make(series)
		}
		found[b.Peer][b.Repeat] = of(b)
	}
	return found
}

func (r *results) printIdle(w io.Writer) {
	if len(r.Idle) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%d idle connections\n", r.Idle[0].Connections)
	line(w, "peer", "RSS MB before", "KB each, just opened", "KB each, after a request", "CPU ms/s")
	for _, i := range r.Idle {
		line(w, i.Peer, fmt.Sprintf("%.1f", i.Before), fmt.Sprintf("%.1f", i.Opened), fmt.Sprintf("%.1f", i.Used), fmt.Sprintf("%.2f", i.CPU))
	}
}

func (r *results) printStarts(w io.Writer) {
	if len(r.Starts) == 0 {
		return
	}
	fmt.Fprintln(w, "\nfrom start to ready, clusters of 100 endpoints, tables of 65537")
	line(w, "clusters", "peer", "ms", "peak RSS MB")
	for _, clusters := range []int{10, 100} {
		for _, p := range peers {
			took, rss := make(series), make(series)
			for _, s := range r.Starts {
				if s.Peer == p.name && s.Clusters == clusters {
					took[s.Repeat], rss[s.Repeat] = s.Time, s.RSS
				}
			}
			if len(took) > 0 {
				line(w, strconv.Itoa(clusters), p.name, took.figure().format(1), rss.figure().format(1))
			}
		}
	}
}
