// Opentelemetry shows a span of each request and of each attempt at it, and metrics
// of what an httpbalancer.Transport knows of itself: spans.go and metrics.go are
// there to be taken over. The program sends requests to three servers on loopback,
// the second of which refuses connections, and writes out what an exporter would
// get:
//
//	go run ./examples/opentelemetry [-requests N]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
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
		fmt.Fprintln(os.Stderr, "opentelemetry:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	requests, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	// A program of yours has the exporters of its collector here.
	spans := tracetest.NewInMemoryExporter()
	tracers := trace.NewTracerProvider(trace.WithSyncer(spans))
	reader := metric.NewManualReader()
	meters := metric.NewMeterProvider(metric.WithReader(reader))

	t, err := startTraffic(tracers, meters)
	if err != nil {
		return err
	}
	defer t.close()
	for i := range requests {
		if err := t.send(ctx, http.MethodGet, fmt.Sprintf("user-%d", i), nil); err != nil {
			return err
		}
	}
	return report(ctx, stdout, spans.GetSpans(), reader)
}

func parse(args []string, stderr io.Writer) (requests int, err error) {
	const most = 10_000
	flags := flag.NewFlagSet("opentelemetry", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&requests, "requests", 10, fmt.Sprintf("how many requests to send, from 1 to %d", most))
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0, err
	case err != nil:
		return 0, errUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "opentelemetry: %q is not expected; a number is given with -requests\n", flags.Arg(0))
		return 0, errUsage
	case requests < 1 || requests > most:
		fmt.Fprintf(stderr, "opentelemetry: -requests %d: it must be from 1 to %d\n", requests, most)
		return 0, errUsage
	}
	return requests, nil
}
