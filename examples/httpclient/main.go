// Httpclient shows what keys that stay are worth: eight lookup servers on
// loopback, each with a small cache in front of a slow database, are asked the same
// things by three clients. One picks servers at random, one in turn, and one by the
// key, with package httpbalancer. Then a server is killed under load, and one is
// added.
//
//	go run ./examples/httpclient [-keys N] [-requests N] [-servers N] [-serve ADDR]
//
// With -serve it goes on when the report is written, sends 200 requests a second,
// and shows at http://ADDR/ what the client knows of its servers.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
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
		fmt.Fprintln(os.Stderr, "httpclient:", err)
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
	var listener net.Listener
	if s.serve != "" { // first, as the address may be in use
		if listener, err = net.Listen("tcp", s.serve); err != nil {
			return fmt.Errorf("-serve: %w", err)
		}
		defer listener.Close()
	}
	p, err := newPlay(s.Settings)
	if err != nil {
		return err
	}
	defer p.close()
	f, err := p.figures(ctx)
	if err != nil {
		return err
	}
	if err := report(stdout, f); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if err := f.check(); err != nil || listener == nil {
		return err
	}
	return p.serve(ctx, listener, stdout)
}

// settings are what the command line says.
type settings struct {
	lookup.Settings
	serve string // an address, "" not to
}

func parse(args []string, stderr io.Writer) (settings, error) {
	var s settings
	flags := flag.NewFlagSet("httpclient", flag.ContinueOnError)
	flags.SetOutput(stderr)
	s.Flags(flags)
	flags.StringVar(&s.serve, "serve", "", "go on after the report, and show the client's state at this loopback `ADDR`,\nsuch as 127.0.0.1:8080")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage: httpclient [-keys N] [-requests N] [-servers N] [-serve ADDR]\n\n"+
			"Sends keyed HTTP requests to caching servers on loopback, picked at random, in\n"+
			"turn, and by httpbalancer, kills one server and adds one.")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return s, err
	case err != nil:
		return s, errUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "httpclient: %q is not expected; numbers are given as in -keys 1000\n", flags.Arg(0))
		return s, errUsage
	}
	if err := s.check(); err != nil {
		fmt.Fprintln(stderr, "httpclient:", err)
		return s, errUsage
	}
	return s, nil
}

func (s *settings) check() error {
	if err := s.Check(); err != nil || s.serve == "" {
		return err
	}
	host, _, err := net.SplitHostPort(s.serve)
	if err != nil {
		return fmt.Errorf("-serve %s: %w; it must be like 127.0.0.1:8080", s.serve, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && !ip.IsLoopback() {
		return fmt.Errorf("-serve %s: it must be an address of loopback, such as 127.0.0.1:8080", s.serve)
	}
	return nil
}
