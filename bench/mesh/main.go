//go:build linux

// Mesh measures proxies side by side: meshproxy, Envoy, nginx, HAProxy and none at all, with the
// same work, on one machine, in one run. README.md says how, and how to read what it prints.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	child, err := beRole()
	if !child {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = command(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
	}
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mesh:", err)
		os.Exit(1)
	}
}

// command measures, and writes what it found also if it was interrupted.
func command(ctx context.Context, args []string, out, progress io.Writer) error {
	opts, dir, err := parseFlags(args, progress)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, opts, progress)
	if err != nil {
		return err
	}
	defer b.close()
	b.results.Command = "go run ./mesh " + strings.Join(args, " ")
	failed := b.run(ctx)
	r := &b.results
	r.Summary = summarise(r.Runs, opts.rates, opts.peers)
	if err := r.print(out); err != nil {
		return err
	}
	if len(r.Runs)+len(r.Bulk)+len(r.Idle)+len(r.Starts) > 0 {
		if err := r.save(dir); err != nil {
			return err
		}
		fmt.Fprintf(out, "\nall of it is in %s\n", dir)
	}
	return failed
}

var parts = []string{"rates", "bulk", "idle", "start"}

func parseFlags(args []string, usage io.Writer) (options, string, error) {
	names := make([]string, len(peers))
	for i := range peers {
		names[i] = peers[i].name
	}
	flags := flag.NewFlagSet("mesh", flag.ContinueOnError)
	flags.SetOutput(usage)
	rates := flags.String("rate", "20,200,2000", "requests per second, a list")
	repeats := flags.Int("repeats", 8, "repeats of everything but the idle connections")
	seconds := flags.Float64("seconds", 20, "duration of a run; half of it with 10 MB bodies")
	workers := flags.Int("workers", 1, "threads that carry traffic, of each proxy")
	wanted := flags.String("peers", strings.Join(names, ","), "peers, a list")
	what := flags.String("parts", strings.Join(parts, ","), "what to measure, a list")
	quick := flags.Bool("quick", false, "one repeat of 3 s, at 200 and 2000 requests per second, to see that all works")
	spin := flags.Bool("spin", true, "keep the cores awake; figures with and without do not compare")
	dir := flags.String("out", filepath.Join(os.TempDir(), "mesh-bench-"+time.Now().Format("20060102-150405")), "directory of the results")
	if err := flags.Parse(args); err != nil {
		return options{}, "", err
	}
	opts := options{
		repeats: *repeats, seconds: *seconds, warmUp: 2 * time.Second, workers: *workers,
		peers: strings.Split(*wanted, ","), parts: strings.Split(*what, ","), spin: *spin,
	}
	if *quick {
		*rates, opts.repeats, opts.seconds, opts.warmUp = "200,2000", 1, 3, time.Second
	}
	for _, text := range strings.Split(*rates, ",") {
		rate, err := strconv.Atoi(text)
		if err != nil || rate < 1 {
			return options{}, "", fmt.Errorf("-rate %q: has to be a list of whole numbers above 0", *rates)
		}
		opts.rates = append(opts.rates, rate)
	}
	for _, part := range opts.parts {
		if !slices.Contains(parts, part) {
			return options{}, "", fmt.Errorf("-parts %q: there is no part %q, only %s", *what, part, strings.Join(parts, ", "))
		}
	}
	if opts.repeats < 1 || opts.seconds <= 0 || opts.workers < 1 {
		return options{}, "", errors.New("-repeats, -seconds and -workers have to be above 0")
	}
	return opts, *dir, nil
}
