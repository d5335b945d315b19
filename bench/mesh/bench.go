//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Options are the command's flags.
type options struct {
	rates   []int
	repeats int
	seconds float64
	warmUp  time.Duration
	workers int
	peers   []string
	parts   []string
	spin    bool
}

// A bench measures peers side by side.
type bench struct {
	opts           options
	dir            string // of everything that is gone afterwards
	peers          []*peer
	binaries       map[string]string
	maxConnections int
	progress       io.Writer
	results        results
}

// newBench finds the peers. Those that are not installed are left out, and the results say so.
func newBench(ctx context.Context, opts options, progress io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp("", "mesh-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{opts: opts, dir: dir, binaries: make(map[string]string), progress: progress}
	if err := b.find(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) find(ctx context.Context) error {
	descriptors, err := raiseDescriptors()
	if err != nil {
		return err
	}
	b.maxConnections = min(12000, descriptors-200)
	if b.results.Machine, err = thisMachine(); err != nil {
		return err
	}
	b.results.Versions, b.results.Absent = make(map[string]string), make(map[string]string)
	for _, name := range b.opts.peers {
		p, err := peerNamed(name)
		if err != nil {
			return err
		}
		if p.find == nil {
			b.peers = append(b.peers, p)
			continue
		}
		binary, err := p.find(ctx, b.dir)
		if errors.Is(err, errAbsent) {
			b.results.Absent[name] = err.Error()
			continue
		}
		if err != nil {
			return err
		}
		b.peers = append(b.peers, p)
		b.binaries[name] = binary
		if b.results.Versions[name], err = version(ctx, p, binary); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

// raiseDescriptors raises the limit of open files for this process and its children as far as
// it may, and returns it.
func raiseDescriptors() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	const enough = 32768
	wish := syscall.Rlimit{Cur: max(limit.Max, enough), Max: max(limit.Max, enough)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &wish) != nil { // no right to more than Max
		wish = syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &wish); err != nil {
			return 0, fmt.Errorf("raise the limit of open files: %w", err)
		}
	}
	return int(min(wish.Cur, 1<<20)), nil
}

// run goes through the parts that are wanted.
func (b *bench) run(ctx context.Context) error {
	if b.opts.spin {
		spinner, err := startRole("spinner")
		if err != nil {
			return err
		}
		defer spinner.stop()
	}
	if err := b.checkAll(ctx); err != nil {
		return err
	}
	steps := map[string]func(context.Context) error{
		"rates": b.measureRates, "bulk": b.measureBulk, "idle": b.measureIdle, "start": b.measureStarts,
	}
	for _, part := range b.opts.parts {
		if err := steps[part](ctx); err != nil {
			return err
		}
	}
	return nil
}

// measureRates goes through the blocks: in each, every peer has its turn at one rate.
func (b *bench) measureRates(ctx context.Context) error {
	for repeat := range b.opts.repeats {
		for _, rate := range b.opts.rates {
			for _, i := range rand.Perm(len(b.peers)) {
				r, err := b.measure(ctx, b.peers[i], rate)
				if err != nil {
					return fmt.Errorf("%s at %d requests/s: %w", b.peers[i].name, rate, err)
				}
				r.Repeat = repeat
				b.results.Runs = append(b.results.Runs, *r)
				fmt.Fprintln(b.progress, r)
			}
		}
	}
	return nil
}

// with starts backends and a proxy, both anew, and stops them when f is done. Without a proxy,
// proxy is nil and targets are the backends.
func (b *bench) with(ctx context.Context, p *peer, f func(w *world) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	behind, addresses, err := startBackends()
	if err != nil {
		return err
	}
	defer behind.stop()
	w := &world{backends: behind, targets: addresses}
	if p.find != nil {
		var stop func()
		if stop, err = b.addProxy(ctx, w, p, addresses); err != nil {
			return err
		}
		defer stop()
	}
	return f(w)
}

// addProxy starts a proxy before the backends.
func (b *bench) addProxy(ctx context.Context, w *world, p *peer, addresses []netip.AddrPort) (stop func(), err error) {
	s, err := b.newSite(addresses)
	if err != nil {
		return nil, err
	}
	if w.proxy, err = startPeer(ctx, p, b.binaries[p.name], s); err != nil {
		return nil, err
	}
	w.prefix = "/api"
	w.targets = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), s.Listen)}
	return func() {
		w.proxy.stop()
		_ = os.RemoveAll(s.Dir)
	}, nil
}

// A world is what a run takes place in.
type world struct {
	backends *process
	proxy    *process // nil: none
	targets  []netip.AddrPort
	prefix   string // of paths
}

// proxyUsage is zero without a proxy.
func (w *world) proxyUsage(withPSS bool) (usage, error) {
	if w.proxy == nil {
		return usage{}, nil
	}
	return treeUsage(w.proxy.pid(), withPSS)
}
