package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// report writes the figures out: at most 80 columns but for the access log, in characters that
// any terminal or file takes.
func report(w io.Writer, f *figures) error {
	var p page
	p.line("A shop and its carts, on three servers, behind one sidecar that runs envoy.yaml.")
	p.routes(f)
	p.sessions(f)
	p.crash(f)
	p.shop(f)
	p.title("5  The access log, five lines of it")
	for _, line := range f.log {
		p.line("   %s", line)
	}
	p.title("6  Some of the statistics, as the admin server has them at /stats")
	for _, s := range f.stats {
		p.line("   %-40s %5s", s.name, s.value)
	}
	_, err := w.Write(p.Bytes())
	return err
}

// A page is a report in the making.
type page struct{ bytes.Buffer }

func (p *page) line(format string, args ...any) { fmt.Fprintf(p, format+"\n", args...) }

func (p *page) title(format string, args ...any) { p.line("\n"+format, args...) }

func (p *page) routes(f *figures) {
	p.title("1  Routes: a request's path says who answers")
	for _, r := range f.routes {
		what, _, _ := strings.Cut(r.body, "\n")
		if r.location != "" {
			_, path, _ := strings.Cut(strings.TrimPrefix(r.location, "http://"), "/")
			what = "to /" + path
		}
		who := r.server
		if who == "" {
			who = "the sidecar itself"
		}
		p.line("   GET %-12s %d  %-22s by %s", r.path, r.status, what, who)
	}
}

// bar writes how many users a server has answered: "#" for those whom it had before, "+" for those who
// are new to it.
func (p *page) bar(server string, v, before visit) {
	n, stayed := v.by(server), 0
	for i, a := range v {
		if a.server == server && before[i].server == server {
			stayed++
		}
	}
	scale := func(n int) int { return 60 * n / len(v) }
	bar := strings.Repeat("#", scale(stayed)) + strings.Repeat("+", scale(n)-scale(stayed))
	p.line("   %s  %-40s %4d users", server, bar, n)
}

func (p *page) sessions(f *figures) {
	p.title("2  Sessions: %d users put %d items each into their carts", len(f.users), len(items))
	for _, server := range cartNames {
		p.bar(server, f.sessions, f.sessions)
	}
	p.line("   %d of %d carts have all %d items: each user always came to the same server.",
		f.sessions.with(fullCart), len(f.users), len(items))
}

func (p *page) crash(f *figures) {
	p.title("3  %s crashes, and all users look into their carts", f.crashed)
	p.line("   at once: %d of %d requests failed, %d needed a second attempt elsewhere",
		f.atOnce.failed(), len(f.users), f.atOnce.again())
	its, others := f.without.moved(f.sessions, f.crashed)
	p.line("   once health checks have found it (# stayed, + moved here):")
	for _, server := range cartNames {
		p.bar(server, f.without, f.sessions)
	}
	p.line("   %d of its %d users moved, %d of the other %d; %d requests were tried again.",
		its, f.sessions.by(f.crashed), others, len(f.users)-f.sessions.by(f.crashed), f.without.again())
	its, others = f.after.moved(f.sessions, f.crashed)
	p.line("   once it is back: %d users are elsewhere than at first, and %d carts are", its+others, len(f.users)-f.after.with(fullCart))
	p.line("   empty: they were in the memory of the server that crashed.")
}

func (p *page) shop(f *figures) {
	p.title("4  The shop fails every %dth request that it gets, with 503", failEvery)
	p.line("   %d of %d requests failed; %d needed a second attempt.", f.shop.failed(), len(f.shop), f.shop.again())
}
