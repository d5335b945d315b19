// Mesh runs two services behind one sidecar: a shop, and its carts on three servers, behind a
// proxy that is configured as an Envoy is, by envoy.yaml. It shows what that configuration
// does: routes, users that always come to the same server, a server that crashes and comes back,
// requests that are tried again, the access log and the statistics.
//
//	go run ./examples/mesh [-stay]
//
// With -stay it goes on when the report is written, for requests by hand, until ^C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
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
		fmt.Fprintln(os.Stderr, "mesh:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	stay, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := newPlay(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	f, err := p.figures(ctx)
	if err != nil {
		return err
	}
	if err := report(stdout, f); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := f.check(); err != nil || !stay {
		return err
	}
	fmt.Fprintf(stdout, "\nUntil ^C:  curl -i -H 'x-user: me' http://%s/cart/\n           curl http://%s/stats\n",
		p.sidecar.addr, p.sidecar.admin)
	<-ctx.Done()
	return nil
}

func parse(args []string, stderr io.Writer) (stay bool, err error) {
	flags := flag.NewFlagSet("mesh", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&stay, "stay", false, "go on after the report, until ^C")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage: mesh [-stay]\n\n"+
			"Runs two services on loopback behind a sidecar that is configured as an Envoy is,\n"+
			"and shows what becomes of their requests.")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return false, err
	case err != nil:
		return false, errUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "mesh: %q is not expected; the only flag is -stay\n", flags.Arg(0))
		return false, errUsage
	}
	return stay, nil
}
