package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// report writes the figures out: at most 80 columns, in characters that any
// terminal or file takes.
func report(w io.Writer, f *figures) error {
	p := page{keys: f.keys}
	p.line("Five HTTP servers on loopback, %d keys, a Maglev table of %d slots.", f.keys, f.slots)
	p.shares(f)
	p.failover(&f.failover)
	p.takeover(f)
	p.disruption(f)
	p.envoy(f.envoy)
	_, err := w.Write(p.Bytes())
	return err
}

// A page is a report in the making.
type page struct {
	bytes.Buffer
	keys int
}

func (p *page) shares(f *figures) {
	p.title("1  Every key goes to the server that the table names")
	scale := largest(f.before, f.after)
	for _, name := range five {
		p.bar(name, f.before[name], 0, scale)
	}
	p.line("   %d of %d requests were answered by the server that the table names.", total(f.before), f.keys)
}

func (p *page) failover(f *failover) {
	p.title("2  %s is shut down; the table's Candidates say who is next", gone)
	if f.key == "" {
		p.line("   None of these keys was its own.")
		return
	}
	p.line("   %.16q: %s refuses, %s answers.", f.key, gone, f.answered)
	p.line("   All of its %d keys, by who is next:", total(f.spread))
	p.line("   %s", list(f.spread))
}

// list names how many keys go to each server that is left.
func list(counts map[string]int) string {
	var parts []string
	for _, name := range four {
		parts = append(parts, fmt.Sprintf("%d to %s", counts[name], host(name)))
	}
	return strings.Join(parts, ", ")
}

func (p *page) takeover(f *figures) {
	p.title("3  A new table of the four that are left (# stayed, + moved here)")
	scale := largest(f.before, f.after)
	for _, name := range four {
		came := 0
		for m, n := range f.moves {
			if m.to == name {
				came += n
			}
		}
		p.bar(name, f.after[name]-came, came, scale)
	}
}

func (p *page) disruption(f *figures) {
	p.title("4  Keys that moved, from one server to another")
	p.row("from \\ to", func(to string) any { return host(to) })
	for _, from := range five {
		p.row(from, func(to string) any {
			if from == to {
				return "-"
			}
			return f.moves[move{from, to}]
		})
	}
	p.line("")
	p.bar("ideal", f.before[gone], 0, f.keys)
	p.bar("this table", total(f.moves), 0, f.keys)
	p.bar("hash % N", f.byModulo, 0, f.keys)
}

func (p *page) envoy(c comparison) {
	p.title("5  The tables of a real Envoy 1.40 (recorded) and ours, as SHA-256")
	for _, tables := range c {
		verdict := "the same, slot for slot"
		if tables.envoy != tables.ours {
			verdict = "NOT the same"
		}
		p.line("   %d servers: %s", tables.servers, verdict)
		p.line("   Envoy  %s", tables.envoy)
		p.line("   ours   %s", tables.ours)
	}
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) title(format string, args ...any) { p.line("\n"+format, args...) }

// row writes a label and a cell for each server that is left.
func (p *page) row(label string, cell func(to string) any) {
	fmt.Fprintf(p, "   %-14s", label)
	for _, to := range four {
		fmt.Fprintf(p, "%12v", cell(to))
	}
	p.line("")
}

// bar writes stayed and moved as a bar, which is full at scale, and how many
// of all keys they are.
func (p *page) bar(label string, stayed, moved, scale int) {
	const width = 40
	length := func(n int) int { return (n*width + scale/2) / scale }
	hashes := length(stayed)
	bar := strings.Repeat("#", hashes) + strings.Repeat("+", length(stayed+moved)-hashes)
	p.line("   %-14s %-*s %6d %6.1f %%", label, width, bar, stayed+moved, 100*float64(stayed+moved)/float64(p.keys))
}

// host leaves out the port, which is the same for all.
func host(name string) string { return strings.TrimSuffix(name, ":8080") }

func largest(all ...map[string]int) int {
	most := 0
	for _, counts := range all {
		for _, n := range counts {
			most = max(most, n)
		}
	}
	return most
}
