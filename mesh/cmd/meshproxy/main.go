// Meshproxy is an HTTP proxy that is configured as an Envoy is:
//
//	meshproxy -c envoy.yaml
//	meshproxy -c envoy.yaml --mode validate
//
// It refuses what it does not support; see the README of the module.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/proxy"
)

func main() {
	forgetPages() // what registering the messages of Envoy's interface has read
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

const (
	// gcPercent is GOGC's default here once the proxy serves: it keeps little and throws little
	// away, so that it can collect early without anybody noticing.
	gcPercent = 25
	// loadGCPercent is that while the configuration is read: most of what that takes is garbage
	// only once it is done.
	loadGCPercent = 400
)

func setGC(percent int) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

// The exit codes.
const (
	ok     = 0
	failed = 1
	misuse = 2
)

const usage = `usage: meshproxy -c FILE [--mode serve|validate] [-l LEVEL]
  -c, --config-path FILE   the configuration, in YAML or JSON
  --mode MODE              serve, or validate: check the configuration and exit with 0 or 1
  -l, --log-level LEVEL    debug, info, warn or error, of the log on standard error
  --version                print the version
`

// run is the whole program but for the process around it.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("meshproxy", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var file, mode, level string
	var version bool
	for _, name := range []string{"c", "config-path"} {
		flags.StringVar(&file, name, "", "")
	}
	flags.StringVar(&mode, "mode", "serve", "")
	for _, name := range []string{"l", "log-level"} {
		flags.StringVar(&level, name, "info", "")
	}
	flags.BoolVar(&version, "version", false, "")
	flags.Usage = func() { fmt.Fprint(stderr, usage) }
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return ok
	case err != nil:
		return misuse
	}
	if version {
		fmt.Fprintln(stdout, "meshproxy", proxy.Version)
		return ok
	}
	var logLevel slog.Level
	switch {
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "meshproxy: argument %q: there are only flags\n", flags.Arg(0))
		return misuse
	case file == "":
		fmt.Fprintln(stderr, "meshproxy: -c is missing: it takes the configuration's file")
		return misuse
	case mode != "serve" && mode != "validate":
		fmt.Fprintf(stderr, "meshproxy: --mode %q: it is serve or validate\n", mode)
		return misuse
	case logLevel.UnmarshalText([]byte(level)) != nil:
		fmt.Fprintf(stderr, "meshproxy: --log-level %q: it is debug, info, warn or error\n", level)
		return misuse
	}
	setGC(loadGCPercent)
	bootstrap, err := config.Load(file)
	if err != nil {
		var refused config.Errors
		if !errors.As(err, &refused) {
			err = fmt.Errorf("meshproxy: %w", err)
		}
		fmt.Fprintln(stderr, err)
		return failed
	}
	if mode == "validate" {
		fmt.Fprintf(stdout, "%s: OK\n", file)
		return ok
	}
	forgetPages()
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: logLevel}))
	if err := serve(bootstrap, log); err != nil {
		fmt.Fprintln(stderr, "meshproxy:", err)
		return failed
	}
	return ok
}

// serve serves until a signal ends it: the first one gently, the second at once.
func serve(bootstrap *config.Bootstrap, log *slog.Logger) error {
	// Who reads standard output may go, and who has started this: neither ends it.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p, err := proxy.Start(ctx, bootstrap, proxy.Options{Log: log})
	if err != nil {
		return err
	}
	setGC(gcPercent)
	debug.FreeOSMemory() // what reading the configuration has taken
	forgetPages()
	reopen := make(chan os.Signal, 1)
	signal.Notify(reopen, syscall.SIGUSR1)
	for {
		select {
		case <-reopen:
			p.ReopenLogs()
			continue
		case <-p.Quit():
		case <-ctx.Done():
		}
		break
	}
	stop()
	log.Info("draining")
	p.Close()
	log.Info("ended")
	return nil
}
