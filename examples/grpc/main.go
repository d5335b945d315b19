// Grpc shows what keys that stay are worth to a gRPC service: eight lookup servers on
// loopback, each with a small cache in front of a slow database, are sent the same calls
// by three policies: gRPC's round_robin and ring_hash, and maglev, of package
// grpcbalancer. Then a server is killed under load, and comes back.
//
//	go run ./examples/grpc [-keys N] [-requests N] [-servers N]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
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
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	s, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := play(ctx, s)
	if err != nil {
		return err
	}
	if err := report(stdout, f); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return f.check()
}

func parse(args []string, stderr io.Writer) (lookup.Settings, error) {
	var s lookup.Settings
	flags := flag.NewFlagSet("grpc", flag.ContinueOnError)
	flags.SetOutput(stderr)
	s.Flags(flags)
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage: grpc [-keys N] [-requests N] [-servers N]\n\n"+
			"Sends keyed gRPC calls to caching servers on loopback by the policies round_robin,\n"+
			"ring_hash and maglev, kills one server and starts it again.")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return s, err
	case err != nil:
		return s, errUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "grpc: %q is not expected; numbers are given as in -keys 1000\n", flags.Arg(0))
		return s, errUsage
	}
	if err := s.Check(); err != nil {
		fmt.Fprintln(stderr, "grpc:", err)
		return s, errUsage
	}
	return s, nil
}
