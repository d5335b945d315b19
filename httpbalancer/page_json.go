package httpbalancer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/retry"
)

// A report is what the debug page has to say. As JSON it is what DebugHandler
// documents; the page is made from it too.
type report struct {
	Time           time.Time        `json:"time"`
	Status         string           `json:"status"`
	Panic          bool             `json:"panic"`
	PanicThreshold int              `json:"panic_threshold_percent"`
	Unhealthy      string           `json:"unhealthy"`
	Slots          int              `json:"slots"`
	Tables         uint64           `json:"tables_built"`
	LastTable      *tableReport     `json:"last_table"`
	TableError     *string          `json:"table_error"`
	Discovery      *discoveryReport `json:"discovery"`
	Requests       requestsReport   `json:"requests"`
	Retries        retriesReport    `json:"retries"`
	Backends       []backendReport  `json:"backends"`
	Lookup         *lookupReport    `json:"lookup"`
}

type tableReport struct {
	At    time.Time `json:"at"`
	Took  float64   `json:"took_seconds"`
	Moved int       `json:"slots_moved"`
	Ideal int       `json:"slots_ideal"`
}

type discoveryReport struct {
	HeardAt *time.Time `json:"heard_at"`
	Error   *string    `json:"error"`
}

type requestsReport struct {
	InFlight  int    `json:"in_flight"`
	Failed    uint64 `json:"failed"`
	NoBackend uint64 `json:"no_backend"`
	NoKey     uint64 `json:"no_key"`
}

type retriesReport struct {
	InFlight      int     `json:"in_flight"`
	Limit         int     `json:"limit"`
	Max           int     `json:"max_per_request"`
	BudgetPercent float64 `json:"budget_percent"`
	BudgetMin     int     `json:"budget_min"`
	Sent          uint64  `json:"sent"`
	OverBudget    uint64  `json:"over_budget"`
}

type backendReport struct {
	Name               string     `json:"name"`
	URL                *string    `json:"url"`
	Locality           string     `json:"locality"`
	Weight             uint32     `json:"weight"`
	Left               bool       `json:"left"`
	Slots              int        `json:"slots"`
	SlotShare          float64    `json:"slot_share"`
	WeightShare        float64    `json:"weight_share"`
	State              string     `json:"state"`
	Healthy            *bool      `json:"healthy"`
	Reason             *string    `json:"reason"`
	InFlight           int        `json:"in_flight"`
	Picks              uint64     `json:"picks"`
	Spills             uint64     `json:"spills"`
	Overflows          uint64     `json:"overflows"`
	LastCheck          *time.Time `json:"last_check"`
	CheckError         *string    `json:"check_error"`
	EjectedUntil       *time.Time `json:"ejected_until"`
	Ejections          int        `json:"ejections"`
	Consecutive5xx     int        `json:"consecutive_5xx"`
	ConsecutiveGateway int        `json:"consecutive_gateway"`
	ConsecutiveLocal   int        `json:"consecutive_local"`
	VerdictError       *string    `json:"verdict_error"`
}

type lookupReport struct {
	Key        *string           `json:"key"`
	Hash       string            `json:"hash"`
	Slot       *uint64           `json:"slot"`
	First      *string           `json:"first"`
	Picked     *string           `json:"picked"`
	Candidates []candidateReport `json:"candidates"`

	hash uint64
}

type candidateReport struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Picked bool   `json:"picked"`
}

func writeJSON(to *bytes.Buffer, t *Transport, asked inquiry, wrong error) error {
	enc := json.NewEncoder(to)
	enc.SetIndent("", "  ")
	if wrong != nil {
		return enc.Encode(map[string]string{"error": wrong.Error()})
	}
	return enc.Encode(t.report(asked))
}

// report says how things are, and where what was asked for goes.
func (t *Transport) report(asked inquiry) report {
	stats := t.Stats()
	r := report{
		Time:           time.Now().UTC(),
		Status:         t.status(),
		Panic:          stats.Panic,
		PanicThreshold: 50,
		Unhealthy:      "spill",
		Slots:          stats.Slots,
		Tables:         stats.Tables,
		TableError:     textOf(stats.Err),
		Requests:       requestsReport{stats.InFlight, stats.Failed, stats.NoBackend, stats.NoKey},
		Retries: retriesReport{
			InFlight:      stats.RetriesInFlight,
			Max:           max(t.opts.Retry.Max, 0),
			BudgetPercent: budgetValue(t.opts.Retry.Budget.Percent, 20),
			BudgetMin:     budgetValue(t.opts.Retry.Budget.Min, 3),
			Sent:          stats.Retries,
			OverBudget:    stats.OverBudget,
		},
		Backends: make([]backendReport, len(stats.Backends)),
	}
	r.Retries.Limit = max(r.Retries.BudgetMin, int(r.Retries.BudgetPercent*float64(stats.InFlight)/100))
	if threshold := t.opts.Balancer.PanicThreshold; threshold != nil {
		r.PanicThreshold = *threshold
	}
	if t.opts.Balancer.Unhealthy == maglev.Rebuild {
		r.Unhealthy = "rebuild"
	}
	if last := stats.Rebuilt; stats.Tables > 0 {
		r.LastTable = &tableReport{last.At.UTC(), last.Took.Seconds(), last.Moved, last.Ideal}
	}
	if t.opts.Discover != nil {
		r.Discovery = &discoveryReport{timeOf(stats.Discovered), textOf(stats.DiscoveryErr)}
	}
	for i, b := range stats.Backends {
		r.Backends[i] = reportOf(b, stats.Slots)
	}
	if asked.field != "" {
		r.Lookup = t.lookup(asked, r.Slots)
	}
	return r
}

func reportOf(b BackendStats, slots int) backendReport {
	r := backendReport{
		Name:               b.Name,
		Locality:           b.Locality,
		Weight:             b.Weight,
		Left:               b.Left,
		Slots:              b.Slots,
		SlotShare:          finite(float64(b.Slots) / float64(slots)),
		WeightShare:        finite(b.Share),
		State:              b.State.String(),
		InFlight:           b.InFlight,
		Picks:              b.Picks,
		Spills:             b.Spills,
		Overflows:          b.Overflows,
		LastCheck:          timeOf(b.Health.LastCheck),
		CheckError:         textOf(b.Health.CheckError),
		EjectedUntil:       timeOf(b.Health.EjectedUntil),
		Ejections:          b.Health.Ejections,
		Consecutive5xx:     b.Health.Consecutive5xx,
		ConsecutiveGateway: b.Health.ConsecutiveGateway,
		ConsecutiveLocal:   b.Health.ConsecutiveLocal,
		VerdictError:       textOf(b.Health.SetterError),
	}
	if !b.Left {
		r.URL, r.Healthy = &b.URL, &b.Health.Healthy
	}
	if b.Health.Reason != "" {
		r.Reason = &b.Health.Reason
	}
	return r
}

// status says whether there is anything to balance over.
func (t *Transport) status() string {
	if t.balancer == nil || t.closed.Load() {
		return "closed"
	}
	select {
	case <-t.settled:
		return "open"
	default:
		return "waiting"
	}
}

// lookup says where a key or hash goes.
func (t *Transport) lookup(asked inquiry, slots int) *lookupReport {
	hash, candidatesOf := maglev.Hash(maglev.XXHash), func(uint64) []maglev.Candidate { return nil }
	if t.balancer != nil { // it is nil in the zero Transport
		hash, candidatesOf = t.opts.Balancer.Table.Hash, t.balancer.Candidates
	}
	l := &lookupReport{hash: asked.hash}
	if asked.field == "key" {
		l.Key, l.hash = &asked.text, hash(asked.text, 0)
	}
	l.Hash = fmt.Sprintf("0x%016x", l.hash)
	candidates := candidatesOf(l.hash)
	l.Candidates = make([]candidateReport, len(candidates))
	for i, c := range candidates {
		l.Candidates[i] = candidateReport{c.Name, c.State.String(), c.Picked}
		if c.Picked {
			l.Picked = &candidates[i].Name
		}
	}
	if len(candidates) > 0 && slots > 0 {
		l.First = &candidates[0].Name
		l.Slot = new(l.hash % uint64(slots))
	}
	return l
}

// budgetValue returns what a field of a retry budget means.
func budgetValue[N int | float64](value, otherwise N) N {
	switch value {
	case 0:
		return otherwise
	case retry.None:
		return 0
	}
	return value
}

// finite returns f, and 0 for the share of a whole that is 0, which JSON has no
// number for.
func finite(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	return f
}

func textOf(err error) *string {
	if err == nil {
		return nil
	}
	return new(err.Error())
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}
