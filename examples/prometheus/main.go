// Prometheus exports what an httpbalancer.Transport knows of itself: its Collector,
// in collector.go, is there to be taken over. The program sends requests to three
// servers on loopback, the second of which refuses connections, and serves the
// metrics:
//
//	go run ./examples/prometheus [-addr ADDR]
//	curl http://127.0.0.1:9464/metrics
//
// or writes them out once, after 1,000 requests:
//
//	go run ./examples/prometheus -once
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

// errUsage: the command line was wrong, and what is right has been said.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "prometheus:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	addr, once, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	t, err := startTraffic()
	if err != nil {
		return err
	}
	defer t.close()
	registry := prometheus.NewRegistry()
	if err := registry.Register(NewCollector(t.transport.Stats)); err != nil {
		return err
	}
	if !once {
		return serve(ctx, addr, t, registry, stdout)
	}
	for i := range 1000 {
		if err := t.send(ctx, i); err != nil {
			return err
		}
	}
	return write(stdout, registry)
}

func parse(args []string, stderr io.Writer) (addr string, once bool, err error) {
	flags := flag.NewFlagSet("prometheus", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&addr, "addr", "127.0.0.1:9464", "serve /metrics at this loopback `ADDR`")
	flags.BoolVar(&once, "once", false, "write the metrics out after 1000 requests, and end")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return "", false, err
	case err != nil:
		return "", false, errUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "prometheus: %q is not expected; an address is given with -addr\n", flags.Arg(0))
		return "", false, errUsage
	}
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && !ip.IsLoopback() {
		fmt.Fprintf(stderr, "prometheus: -addr %s: it must be an address of loopback, such as 127.0.0.1:9464\n", addr)
		return "", false, errUsage
	}
	return addr, once, nil
}

// write writes the metrics in Prometheus's text format.
func write(w io.Writer, from prometheus.Gatherer) error {
	families, err := from.Gather()
	if err != nil {
		return err
	}
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(w, f); err != nil {
			return fmt.Errorf("writing the metrics: %w", err)
		}
	}
	return nil
}

// serve serves the metrics while 100 requests a second go on, until the context
// ends.
func serve(ctx context.Context, addr string, t *traffic, from prometheus.Gatherer, stdout io.Writer) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(from, promhttp.HandlerOpts{}))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer server.Close()
	if _, err := fmt.Fprintf(stdout, "The metrics are at http://%s/metrics, until ^C.\n", listener.Addr()); err != nil {
		return err
	}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			return err
		case <-ticker.C:
			if err := t.send(ctx, i); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}
