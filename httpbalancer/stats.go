package httpbalancer

import (
	"net/url"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/health"
)

// Stats is what a [Transport] has to say about itself, for an adapter of a metrics
// library to read at each collection. Its counters only grow.
type Stats struct {
	// Backends are those of the set, in the order of their names, and then
	// those that have left it with requests in flight.
	Backends []BackendStats

	Slots   int            // of the table
	Panic   bool           // so few backends are healthy that health is ignored
	Tables  uint64         // built so far
	Rebuilt maglev.Rebuilt // how the last of them was
	Err     error          // why the next one could not be built; nil if it could

	InFlight        int    // requests whose response has not begun
	RetriesInFlight int    // of them, those that are being tried again
	Retries         uint64 // attempts beyond the first
	OverBudget      uint64 // requests not tried again as the budget was used up
	Failed          uint64 // requests that ended with an error, the caller's deadline included, at a backend
	NoBackend       uint64 // requests that no backend was there for
	NoKey           uint64 // requests refused for want of a key

	// Discovered is when discovery last had something to say, and
	// DiscoveryErr what was wrong with it. Both are zero without discovery.
	Discovered   time.Time
	DiscoveryErr error
}

// BackendStats is the part of [Stats] about one backend.
type BackendStats struct {
	maglev.BackendStats

	URL    string        // scheme, host and port; of those in the set
	Health health.Status // why it is healthy or not
}

// Stats returns what there is to say, at this moment. It costs a walk over the
// backends.
func (t *Transport) Stats() Stats {
	if !t.made() {
		return Stats{}
	}
	of := t.balancer.Stats()
	s := Stats{
		Slots:      of.Slots,
		Panic:      of.Panic,
		Tables:     of.Rebuilds,
		Rebuilt:    of.Last,
		Err:        of.Err,
		Retries:    t.requests.retries.Load(),
		OverBudget: t.requests.overBudget.Load(),
		Failed:     t.requests.failed.Load(),
		NoBackend:  t.requests.noBackend.Load(),
		NoKey:      t.requests.noKey.Load(),
	}
	s.InFlight, s.RetriesInFlight = t.budget.InFlight()
	s.Discovered, s.DiscoveryErr = t.discovery.last()

	verdicts := make(map[string]health.Status)
	for _, v := range t.monitor.Status() {
		verdicts[v.Name] = v
	}
	urls := make(map[string]string)
	t.mu.Lock()
	for name, u := range t.upstreams {
		c := u.conn.Load()
		urls[name] = (&url.URL{Scheme: c.scheme, Host: c.host}).String()
	}
	t.mu.Unlock()
	for _, b := range of.Backends {
		stats := BackendStats{BackendStats: b}
		if !b.Left {
			stats.URL, stats.Health = urls[b.Name], verdicts[b.Name]
		}
		s.Backends = append(s.Backends, stats)
	}
	return s
}
