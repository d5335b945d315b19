package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// report writes the figures out: at most 80 columns, in characters that any
// terminal or file takes.
func report(w io.Writer, f *figures) error {
	var p page
	p.line("%d lookup servers on loopback, %d keys, some more popular than others. Each", f.servers, f.keys)
	p.line("server has a cache of %d keys; what is not there costs a query of %v.", f.capacity(), queryTime)
	p.compare(f)
	p.kill(f)
	p.add(f)
	p.sums(&f.sums)
	_, err := w.Write(p.Bytes())
	return err
}

// A page is a report in the making.
type page struct{ bytes.Buffer }

func (p *page) compare(f *figures) {
	p.title("1  The same %d requests by three clients, %d at a time (# cache hits)", f.requests, workers)
	p.head()
	for _, c := range f.clients {
		p.row(c.name, c.summary)
	}
	p.line("   The %d most popular keys, as many as a cache holds, get %.1f %% of the", f.capacity(), 100*float64(f.popular)/float64(f.requests))
	p.line("   requests. A server that is asked for all keys cannot hit more often; by the")
	p.line("   key, each is asked for its own.")
}

func (p *page) kill(f *figures) {
	k := &f.kill
	p.title("2  %s is killed under load", k.server)
	p.head()
	p.row("before", k.before)
	p.row("from then on", k.after)
	p.line("   %d of %d requests failed, %d were tried again at another server.", k.failed, f.requests, f.retries)
	p.line("   Keys that moved: %d of its %d, %d of the others' %d.", k.ownMoved, k.own, k.othersMoved, k.others)
}

func (p *page) add(f *figures) {
	a := &f.add
	p.title("3  %s is added under load", a.server)
	p.head()
	p.row("before", a.before)
	p.row("from then on", a.after)
	p.line("   %d of %d requests failed.", a.failed, f.requests)
	p.line("   Keys that moved: %d to %s (1/%d of all are %d), %d between others.",
		a.ownMoved, a.server, f.servers, f.keys/f.servers, a.othersMoved)
}

func (p *page) sums(s *sums) {
	p.title("4  What both sides have counted, warm-up included")
	p.line("   Answers     %7d by the clients, %d by the servers, %d of them cut off", s.answers, s.served, s.cut)
	p.line("   Cache hits  %7d by the clients", s.hits)
	p.line("   Misses      %7d by the caches, %d queries by the database", s.misses, s.queries)
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) title(format string, args ...any) { p.line("\n"+format, args...) }

const barWidth = 24

func (p *page) head() {
	p.line("   %-13s %-*s %7s %8s %9s %9s", "", barWidth, "", "hits", "queries", "median", "p99")
}

// row writes a share of cache hits as a bar, and what it led to.
func (p *page) row(label string, s summary) {
	bar := strings.Repeat("#", int(s.hitRate()*barWidth+0.5))
	p.line("   %-13s %-*s %5.1f %% %8d %9s %9s", label, barWidth, bar, 100*s.hitRate(), s.queries, ms(s.median), ms(s.p99))
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
