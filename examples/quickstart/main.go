// Quickstart shows what a Maglev table does, with real requests: five HTTP
// servers on loopback share the keys of a file, one of them goes down, and the
// others take over its keys while theirs stay.
//
//	go run ./examples/quickstart [-keys FILE]
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// sample is 5,000 generated keys of the kinds that caches and session stores
// see.
//
//go:embed keys.txt
var sample []byte

// errUsage: the command line was wrong, and what is right has been said.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	switch err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); {
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	file, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	keys, err := keysOf(file)
	if err != nil {
		return err
	}
	f, err := play(ctx, keys)
	if err != nil {
		return err
	}
	if err := report(stdout, f); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return f.envoy.check()
}

// parse returns the file that -keys names, "" for the sample.
func parse(args []string, stderr io.Writer) (file string, err error) {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&file, "keys", "", "read the keys from `FILE`, one a line, in place of the 5,000 of the sample;\n"+
		"blank lines are skipped and a key that comes twice counts once")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "Usage: quickstart [-keys FILE]\n\n"+
			"Sends keyed HTTP requests to five servers on loopback by a Maglev table, takes\n"+
			"one server away, and shows which keys moved.")
		flags.PrintDefaults()
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return "", err
	case err != nil:
		return "", errUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "quickstart: %q is not expected; a file of keys is named with -keys\n", flags.Arg(0))
		return "", errUsage
	}
	return file, nil
}

func keysOf(file string) ([]string, error) {
	if file == "" {
		return readKeys(bytes.NewReader(sample))
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("-keys: %w", err)
	}
	defer f.Close()
	keys, err := readKeys(f)
	if err != nil {
		return nil, fmt.Errorf("-keys %s: %w", file, err)
	}
	return keys, nil
}
