package route

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// FuzzMatch compares Match with the documented rules, written down one after the other without any
// index. Tables and requests are drawn from few letters, so that much matches.
func FuzzMatch(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, "a.b", "/a/b?x=y")
	}
	f.Fuzz(func(t *testing.T, seed uint64, host, path string) {
		d := drawer{rand.New(rand.NewPCG(seed, 0))}
		rc := d.table()
		table := New(rc)
		for range 20 {
			ex := &message.Exchange{Request: message.Request{Method: "GET", Scheme: "http", Authority: host, Path: path}}
			for range d.IntN(3) {
				ex.Request.Fields.Add(d.one("x", "y", "content-type"), d.one("a", "b", "", "application/grpc"))
			}
			random := d.Uint64()
			wantHost, wantRoute := referenceMatch(rc, &ex.Request, random)
			h, r := table.Match(ex, random)
			require.Equal(t, wantHost == nil, h == nil)
			if h != nil {
				require.Same(t, wantHost, h.Config)
			}
			require.Equal(t, wantRoute == nil, r == nil)
			if r != nil {
				require.Equal(t, wantRoute.Name, r.Config.Name)
			}
			host, path = d.host(), d.path()+d.one("", "", "?", "?x", "?x=a&y", "?y&x=b;c")
		}
	})
}

type drawer struct{ *rand.Rand }

func (d drawer) one(of ...string) string { return of[d.IntN(len(of))] }

func (d drawer) text(letters string, most int) string {
	b := make([]byte, d.IntN(most+1))
	for i := range b {
		b[i] = letters[d.IntN(len(letters))]
	}
	return string(b)
}

func (d drawer) host() string { return d.text("abA.:0", 5) + d.one("", "", ":8", "]", "]:8") }
func (d drawer) path() string { return "/" + d.text("abA/;", 5) }

func (d drawer) table() *config.RouteConfig {
	rc := &config.RouteConfig{IgnorePort: d.IntN(3) == 0, IgnorePathParameters: d.IntN(3) == 0}
	taken := map[string]bool{}
	for i := range d.IntN(8) {
		h := &config.VirtualHost{Name: fmt.Sprint(i)}
		for range 1 + d.IntN(4) {
			domain := strings.ToLower(d.host())
			domain = []string{domain, "*" + domain, domain + "*"}[d.IntN(3)]
			if !taken[domain] {
				taken[domain] = true
				h.Domains = append(h.Domains, domain)
			}
		}
		for j := range d.IntN(24) {
			h.Routes = append(h.Routes, &config.Route{Name: fmt.Sprint(j), Match: d.match(), Direct: &config.DirectResponse{Status: 200}})
		}
		rc.VirtualHosts = append(rc.VirtualHosts, h)
	}
	return rc
}

func (d drawer) match() (m config.RouteMatch) {
	path := d.path()
	switch d.IntN(5) {
	case 0:
		m.Prefix = &path
	case 1, 2:
		m.Path = &path
	case 3:
		m.PathPrefix = &path
	default:
		m.Regex, _ = config.CompileRegex(path+"[ab]*", true)
	}
	m.IgnoreCase = d.IntN(4) == 0
	if d.IntN(4) == 0 {
		m.Headers = append(m.Headers, config.HeaderMatch{Name: d.one("x", "y"), String: &config.StringMatch{Exact: new(d.one("a", ""))}, Invert: d.IntN(2) == 0})
	}
	if d.IntN(4) == 0 {
		m.Query = append(m.Query, config.QueryMatch{Name: d.one("x", "y"), Present: new(d.IntN(2) == 0)})
	}
	if d.IntN(6) == 0 {
		m.Fraction = &config.Fraction{Numerator: 50, Denominator: 100}
	}
	m.GRPC = d.IntN(8) == 0
	return m
}

func referenceMatch(rc *config.RouteConfig, r *message.Request, random uint64) (*config.VirtualHost, *config.Route) {
	host := strings.ToLower(r.Authority)
	if i := strings.LastIndex(host, ":"); rc.IgnorePort && i >= 0 && !strings.Contains(host[i:], "]") {
		host = host[:i]
	}
	var found *config.VirtualHost
	best := -1
	for _, h := range rc.VirtualHosts {
		for _, domain := range h.Domains {
			if rank := referenceRank(domain, host); rank > best {
				found, best = h, rank
			}
		}
	}
	if found == nil || !strings.HasPrefix(r.Path, "/") {
		return found, nil
	}
	for _, route := range found.Routes {
		if referenceRoute(rc, &route.Match, r, random) {
			return found, route
		}
	}
	return found, nil
}

// referenceRank returns how good a domain is for a host, -1 if it is for others.
func referenceRank(domain, host string) int {
	switch {
	case domain == "*":
		return 0
	case strings.HasPrefix(domain, "*"):
		if strings.HasSuffix(host, domain[1:]) && len(host) >= len(domain) {
			return 1000 + len(domain)
		}
	case strings.HasSuffix(domain, "*"):
		if strings.HasPrefix(host, domain[:len(domain)-1]) && len(host) >= len(domain) {
			return len(domain)
		}
	case domain == host:
		return 2000
	}
	return -1
}

func referenceRoute(rc *config.RouteConfig, m *config.RouteMatch, r *message.Request, random uint64) bool {
	path, query, _ := strings.Cut(r.Path, "?")
	if rc.IgnorePathParameters {
		segments := strings.Split(path, "/")
		for i := range segments {
			segments[i], _, _ = strings.Cut(segments[i], ";")
		}
		path = strings.Join(segments, "/")
	}
	fold := func(s string) string {
		if m.IgnoreCase {
			return strings.ToLower(s)
		}
		return s
	}
	switch {
	case m.Prefix != nil && !strings.HasPrefix(fold(path), fold(*m.Prefix)),
		m.Path != nil && fold(path) != fold(*m.Path),
		m.PathPrefix != nil && fold(path) != fold(*m.PathPrefix) && !strings.HasPrefix(fold(path), fold(*m.PathPrefix)+"/"),
		m.Regex != nil && !m.Regex.MatchString(path):
		return false
	}
	for _, h := range m.Headers {
		present, equal := false, false
		for _, f := range r.Fields {
			if f.Name == h.Name {
				present = true
				equal = equal || f.Value == *h.String.Exact
			}
		}
		if !present || equal == h.Invert {
			return false
		}
	}
	for _, q := range m.Query {
		present := false
		for pair := range strings.SplitSeq(query, "&") {
			name, _, _ := strings.Cut(pair, "=")
			present = present || name == q.Name
		}
		if present != *q.Present {
			return false
		}
	}
	kind, _ := r.Fields.Get("content-type")
	return (!m.GRPC || kind == "application/grpc") && (m.Fraction == nil || random%100 < 50)
}
