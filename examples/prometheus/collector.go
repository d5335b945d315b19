package main

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// A Collector is a [prometheus.Collector] of the Stats of an
// [httpbalancer.Transport]. Each collection calls Stats once, so its figures belong
// together. Any number of goroutines may use it.
//
// Of several transports, register each with a label of its own:
//
//	prometheus.WrapRegistererWith(prometheus.Labels{"transport": "users"}, registry)
type Collector struct{ stats func() httpbalancer.Stats }

// NewCollector returns a Collector of what the function returns, such as the Stats
// method of a Transport.
func NewCollector(stats func() httpbalancer.Stats) *Collector { return &Collector{stats} }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("maglev_"+name, help, labels, nil)
}

// Of each backend, by its name.
var (
	backendRequests  = describe("backend_requests_total", "Requests sent to the backend, retries included.", "backend")
	backendSpills    = describe("backend_spills_total", "Requests sent elsewhere as the backend was down or warming up.", "backend")
	backendOverflows = describe("backend_overflows_total", "Requests sent elsewhere as the backend was at its bound.", "backend")
	backendInFlight  = describe("backend_requests_in_flight", "Requests that the backend has not finished.", "backend")
	backendEjections = describe("backend_ejections_total", "How often the backend was ejected, as its requests failed.", "backend")
	backendHealthy   = describe("backend_healthy", "1 if checks and requests find the backend healthy, else 0.", "backend")
	backendState     = describe("backend_state", "1 for the state that the backend is in, 0 for the others.", "backend", "state")
	backendSlots     = describe("backend_slots", "Slots of the table that the backend holds.", "backend")
	backendShare     = describe("backend_weight_ratio", "The backend's weight relative to that of all.", "backend")
	backendInfo      = describe("backend_info", "1, with what is known of the backend.", "backend", "url", "locality")
)

// Of the table.
var (
	tableSlots   = describe("table_slots", "Slots of the table.")
	tableBuilds  = describe("table_builds_total", "Tables built.")
	tableBuiltAt = describe("table_last_build_timestamp_seconds", "When the last table was built, in seconds since 1970.")
	tableTook    = describe("table_last_build_duration_seconds", "How long the last table took to build.")
	tableMoved   = describe("table_last_build_moved_slots", "Slots that the last build gave to other backends.")
	tableIdeal   = describe("table_last_build_ideal_slots", "Slots that the last build had to give to other backends.")
	tableFailing = describe("table_build_failing", "1 if the next table could not be built, else 0.")
	panicking    = describe("panic", "1 if so few backends are healthy that health is ignored, else 0.")
)

// Of the requests, and of discovery if there is one.
var (
	inFlight        = describe("requests_in_flight", "Requests whose response has not begun.")
	retriesInFlight = describe("retries_in_flight", "Requests that are being tried again.")
	retries         = describe("retries_total", "Attempts beyond the first.")
	overBudget      = describe("retries_over_budget_total", "Requests not tried again as the budget was used up.")
	failures        = describe("request_failures_total", "Requests that ended with an error, by its reason.", "reason")
	discoveredAt    = describe("discovery_timestamp_seconds", "When discovery last had something to say, in seconds since 1970.")
	discoveryFailed = describe("discovery_failing", "1 if discovery last had an error to tell, else 0.")
)

// all are what Describe describes.
var all = []*prometheus.Desc{
	backendRequests, backendSpills, backendOverflows, backendInFlight, backendEjections,
	backendHealthy, backendState, backendSlots, backendShare, backendInfo,
	tableSlots, tableBuilds, tableBuiltAt, tableTook, tableMoved, tableIdeal, tableFailing, panicking,
	inFlight, retriesInFlight, retries, overBudget, failures, discoveredAt, discoveryFailed,
}

// Describe implements [prometheus.Collector].
func (c *Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range all {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *Collector) Collect(to chan<- prometheus.Metric) {
	s, m := c.stats(), metrics(to)
	for i := range s.Backends {
		m.backend(&s.Backends[i])
	}
	m.table(&s)
	m.requests(&s)
}

// A metrics is where the metrics of a collection go.
type metrics chan<- prometheus.Metric

func (m metrics) counter(d *prometheus.Desc, value uint64, labels ...string) {
	m.metric(d, prometheus.CounterValue, float64(value), labels)
}

func (m metrics) gauge(d *prometheus.Desc, value float64, labels ...string) {
	m.metric(d, prometheus.GaugeValue, value, labels)
}

func (m metrics) metric(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "\uFFFD") // names may be any bytes
	}
	m <- prometheus.MustNewConstMetric(d, kind, value, labels...)
}

func (m metrics) backend(b *httpbalancer.BackendStats) {
	m.counter(backendRequests, b.Picks, b.Name)
	m.counter(backendSpills, b.Spills, b.Name)
	m.counter(backendOverflows, b.Overflows, b.Name)
	m.gauge(backendInFlight, float64(b.InFlight), b.Name)
	if b.Left {
		return // it has no slots, and nobody asks for its health
	}
	m.counter(backendEjections, uint64(b.Health.Ejections), b.Name)
	m.gauge(backendHealthy, oneIf(b.Health.Healthy), b.Name)
	for _, state := range []maglev.State{maglev.StateReady, maglev.StateWarming, maglev.StateUnhealthy, maglev.StateDraining} {
		m.gauge(backendState, oneIf(b.State == state), b.Name, state.String())
	}
	m.gauge(backendSlots, float64(b.Slots), b.Name)
	m.gauge(backendShare, b.Share, b.Name)
	m.gauge(backendInfo, 1, b.Name, b.URL, b.Locality)
}

func (m metrics) table(s *httpbalancer.Stats) {
	m.gauge(tableSlots, float64(s.Slots))
	m.counter(tableBuilds, s.Tables)
	if s.Tables > 0 {
		m.gauge(tableBuiltAt, float64(s.Rebuilt.At.UnixNano())/1e9)
		m.gauge(tableTook, s.Rebuilt.Took.Seconds())
		m.gauge(tableMoved, float64(s.Rebuilt.Moved))
		m.gauge(tableIdeal, float64(s.Rebuilt.Ideal))
	}
	m.gauge(tableFailing, oneIf(s.Err != nil))
	m.gauge(panicking, oneIf(s.Panic))
}

func (m metrics) requests(s *httpbalancer.Stats) {
	m.gauge(inFlight, float64(s.InFlight))
	m.gauge(retriesInFlight, float64(s.RetriesInFlight))
	m.counter(retries, s.Retries)
	m.counter(overBudget, s.OverBudget)
	m.counter(failures, s.Failed, "backend")
	m.counter(failures, s.NoBackend, "no backend")
	m.counter(failures, s.NoKey, "no key")
	if !s.Discovered.IsZero() {
		m.gauge(discoveredAt, float64(s.Discovered.UnixNano())/1e9)
		m.gauge(discoveryFailed, oneIf(s.DiscoveryErr != nil))
	}
}

func oneIf(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
