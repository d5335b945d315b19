package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

// report writes the figures out.
func report(w io.Writer, f *figures) error {
	var p page
	p.Intro(f.Settings)
	p.compare(f)
	p.shares(f.shares)
	p.kill(f)
	p.back(f)
	p.Title("5  What both sides have counted, warm-up included")
	p.Sums(&f.sums)
	_, err := w.Write(p.Bytes())
	return err
}

// A page is a report in the making.
type page struct{ lookup.Page }

func (p *page) compare(f *figures) {
	p.Title("1  The same %d calls by three policies, %d at a time (# cache hits)", f.Requests, lookup.Workers)
	p.Head("queries", "median", "max/mean")
	for _, c := range f.policies {
		p.Row(c.label, c.Summary, fmt.Sprint(c.Queries), lookup.Ms(c.Median), fmt.Sprintf("%.2f", c.MaxMean))
	}
	p.Line("   The %d most popular keys, as many as a cache holds, get %.1f %% of the", f.Capacity(), 100*float64(f.popular)/float64(f.Requests))
	p.Line("   calls: a server that is asked for all keys cannot hit more often.")
	p.Line("   max/mean: the busiest server's calls over the mean of all. By the key it is")
	p.Line("   above 1, as a popular key stays at its server too.")
}

func (p *page) shares(s shares) {
	const width = 24
	p.Title("2  Where policies send %d keys, without calls (# max/mean, %d servers)", shareKeys, many)
	p.Line("   %-13s %-*s %12s %12s", "", width, "", fmt.Sprintf("%d servers", few), fmt.Sprintf("%d servers", many))
	largest := max(s.ringHash.many, s.maglev.many, s.dice.many)
	for _, row := range []struct {
		label string
		share
	}{{ringHash.label, s.ringHash}, {maglevHash.label, s.maglev}, {"dice", s.dice}} {
		bar := strings.Repeat("#", int(row.many/largest*width+0.5))
		p.Line("   %-13s %-*s %12.2f %12.2f", row.label, width, bar, row.few, row.many)
	}
	p.Line("   dice: each key at any server, the mean of %d rolls. No hash is more even than", rolls)
	p.Line("   that, but by luck.")
}

func (p *page) kill(f *figures) {
	p.Title("3  %s, which has the most popular key, is killed under load (maglev)", f.kill.Server)
	p.BeforeAndAfter(f.kill)
	p.Line("   %d of %d calls failed; gRPC's retryPolicy has sent %d again.", f.kill.Failed, f.Requests, f.retries)
	m := f.kill.Lost()
	p.Line("   Keys that moved: %d of its %d, %d of the others' %d.", m.OwnMoved, m.Own, m.OthersMoved, m.Others)
	least, most := f.takenOver()
	p.Line("   Each of the others has taken over %d to %d.", least, most)
}

func (p *page) back(f *figures) {
	p.Title("4  %s is back under load, its cache empty", f.back.Server)
	p.BeforeAndAfter(f.back)
	m := f.back.Gained()
	p.Line("   %d of %d calls failed. Its first one came %d ms after its start:", f.back.Failed, f.Requests, f.waited.Milliseconds())
	p.Line("   the client tries to connect every %d ms or so.", patience.Milliseconds())
	p.Line("   Keys that moved: %d back to it, %d between others.", m.OwnMoved, m.OthersMoved)
}
