package main

import (
	"fmt"
	"io"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

// report writes the figures out.
func report(w io.Writer, f *figures) error {
	var p page
	p.Intro(f.Settings)
	p.compare(f)
	p.kill(f)
	p.add(f)
	p.Title("4  What both sides have counted, warm-up included")
	p.Sums(&f.sums)
	_, err := w.Write(p.Bytes())
	return err
}

// A page is a report in the making.
type page struct{ lookup.Page }

func (p *page) compare(f *figures) {
	p.Title("1  The same %d requests by three clients, %d at a time (# cache hits)", f.Requests, lookup.Workers)
	p.Head("queries", "median", "p99")
	for _, c := range f.clients {
		p.Row(c.name, c.Summary, fmt.Sprint(c.Queries), lookup.Ms(c.Median), lookup.Ms(c.P99))
	}
	p.Line("   The %d most popular keys, as many as a cache holds, get %.1f %% of the", f.Capacity(), 100*float64(f.popular)/float64(f.Requests))
	p.Line("   requests. A server that is asked for all keys cannot hit more often; by the")
	p.Line("   key, each is asked for its own.")
}

func (p *page) kill(f *figures) {
	p.Title("2  %s is killed under load", f.kill.Server)
	p.BeforeAndAfter(f.kill)
	moves := f.kill.Lost()
	p.Line("   %d of %d requests failed, %d were tried again at another server.", f.kill.Failed, f.Requests, f.retries)
	p.Line("   Keys that moved: %d of its %d, %d of the others' %d.", moves.OwnMoved, moves.Own, moves.OthersMoved, moves.Others)
}

func (p *page) add(f *figures) {
	p.Title("3  %s is added under load", f.add.Server)
	p.BeforeAndAfter(f.add)
	moves := f.add.Gained()
	p.Line("   %d of %d requests failed.", f.add.Failed, f.Requests)
	p.Line("   Keys that moved: %d to %s (1/%d of all are %d), %d between others.",
		moves.OwnMoved, f.add.Server, f.Servers, f.Keys/f.Servers, moves.OthersMoved)
}
