package lookup

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// A Page is a report in the making: at most 80 columns, in characters that any
// terminal or file takes.
type Page struct{ bytes.Buffer }

// Line writes a line.
func (p *Page) Line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

// Title writes the title of a section.
func (p *Page) Title(format string, args ...any) { p.Line("\n"+format, args...) }

// Intro writes what is measured.
func (p *Page) Intro(f Settings) {
	p.Line("%d lookup servers on loopback, %d keys, some more popular than others. Each", f.Servers, f.Keys)
	p.Line("server has a cache of %d keys; what is not there costs a query of %v.", f.Capacity(), QueryTime)
}

const barWidth = 24

// Head names the columns of rows: three.
func (p *Page) Head(columns ...string) {
	p.Line("   %-13s %-*s %7s%s", "", barWidth, "", "hits", cells(columns))
}

// Row writes a share of cache hits as a bar, and what it led to.
func (p *Page) Row(label string, s Summary, columns ...string) {
	bar := strings.Repeat("#", int(s.HitRate()*barWidth+0.5))
	p.Line("   %-13s %-*s %5.1f %%%s", label, barWidth, bar, 100*s.HitRate(), cells(columns))
}

func cells(columns []string) string {
	var b strings.Builder
	for _, c := range columns {
		fmt.Fprintf(&b, " %9s", c)
	}
	return b.String()
}

// BeforeAndAfter writes what became of the requests of a change.
func (p *Page) BeforeAndAfter(c *Change) {
	p.Head("queries", "median", "p99")
	for _, row := range []struct {
		label string
		s     Summary
	}{{"before", c.Before}, {"from then on", c.After}} {
		p.Row(row.label, row.s, fmt.Sprint(row.s.Queries), Ms(row.s.Median), Ms(row.s.P99))
	}
}

// Sums writes what both sides have counted.
func (p *Page) Sums(s *Sums) {
	p.Line("   Answers     %7d by the clients, %d by the servers, %d of them cut off", s.Answers, s.Served, s.Cut)
	p.Line("   Cache hits  %7d by the clients", s.Hits)
	p.Line("   Misses      %7d by the caches, %d queries by the database", s.Misses, s.Queries)
}

// Ms writes milliseconds.
func Ms(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
}
