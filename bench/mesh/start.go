//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"time"
)

// Start is how long a proxy took from its start until it was ready.
type start struct {
	Repeat   int
	Peer     string
	Clusters int     // each of 100 endpoints, with a table of 65537
	Time     float64 // ms
	RSS      float64 // MB at its peak
}

// A cluster of configs/clusters.yaml.
type cluster struct {
	Name      string
	Endpoints []netip.AddrPort // where nobody is: nothing connects to them
}

func someClusters(n int) []cluster {
	all := make([]cluster, n)
	for i := range all {
		all[i] = cluster{Name: fmt.Sprintf("cluster-%d", i)}
		for j := range 100 {
			address := netip.AddrFrom4([4]byte{10, 0, byte(i), byte(j)})
			all[i].Endpoints = append(all[i].Endpoints, netip.AddrPortFrom(address, 8080))
		}
	}
	return all
}

// measureStarts starts those that have Envoy's configuration and administration.
func (b *bench) measureStarts(ctx context.Context) error {
	for repeat := range b.opts.repeats {
		for _, clusters := range []int{10, 100} {
			for _, i := range rand.Perm(len(b.peers)) {
				p := b.peers[i]
				if !p.admin {
					continue
				}
				r := start{Repeat: repeat, Peer: p.name, Clusters: clusters}
				if err := b.start(ctx, p, &r); err != nil {
					return fmt.Errorf("%s with %d clusters: %w", p.name, clusters, err)
				}
				b.results.Starts = append(b.results.Starts, r)
				fmt.Fprintf(b.progress, "%2d %-9s ready after %6.1f ms with %d clusters, rss %.1f MB\n",
					repeat+1, p.name, r.Time, clusters, r.RSS)
			}
		}
	}
	return nil
}

func (b *bench) start(ctx context.Context, p *peer, r *start) error {
	s, err := b.newSite(nil)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(s.Dir) }()
	s.Workers = runtime.NumCPU() // a start carries no traffic: let it have all there is
	s.Clusters = someClusters(r.Clusters)
	config, err := s.write("clusters.yaml")
	if err != nil {
		return err
	}
	began := time.Now()
	proc, err := launchPeer(p, b.binaries[p.name], config, s)
	if err != nil {
		return err
	}
	defer proc.stop()
	if err := proc.await(ctx, fmt.Sprintf("http://127.0.0.1:%d/ready", s.Admin), time.Minute); err != nil {
		return err
	}
	r.Time = time.Since(began).Seconds() * 1e3
	used, err := treeUsage(proc.pid(), false)
	r.RSS = megabytes(used.top)
	return err
}
