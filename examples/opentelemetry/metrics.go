package main

import (
	"context"
	"errors"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// What metrics and spans say beyond the semantic conventions.
const (
	backendName  = attribute.Key("maglev.backend.name")
	backendState = attribute.Key("maglev.backend.state")
)

// RegisterMetrics has a meter observe what the function returns, such as the Stats
// method of an [httpbalancer.Transport]. Each collection calls it once, so the
// figures belong together. Unregister ends that.
//
// Of several transports, give each a meter with an attribute of its own
// ([metric.WithInstrumentationAttributes]).
func RegisterMetrics(meter metric.Meter, stats func() httpbalancer.Stats) (metric.Registration, error) {
	i := newInstruments(meter)
	if err := errors.Join(i.errs...); err != nil {
		return nil, err
	}
	return meter.RegisterCallback(func(_ context.Context, to metric.Observer) error {
		s := stats()
		for j := range s.Backends {
			i.observeBackend(to, &s.Backends[j])
		}
		i.observeTable(to, &s)
		i.observeRequests(to, &s)
		return nil
	}, i.all...)
}

// instruments are those that a callback observes.
type instruments struct {
	meter metric.Meter
	all   []metric.Observable
	errs  []error

	requests, spills, overflows, ejections metric.Int64ObservableCounter // of a backend
	backendActive, slots                   metric.Int64ObservableUpDownCounter
	healthy, state                         metric.Int64ObservableGauge
	share                                  metric.Float64ObservableGauge

	tables              metric.Int64ObservableCounter
	moved, ideal        metric.Int64ObservableGauge
	builtAt, took       metric.Float64ObservableGauge
	failing, panicking  metric.Int64ObservableGauge
	active, retrying    metric.Int64ObservableUpDownCounter
	retries, overBudget metric.Int64ObservableCounter
	failures            metric.Int64ObservableCounter
	discoveredAt        metric.Float64ObservableGauge
	discoveryFailing    metric.Int64ObservableGauge
}

func newInstruments(meter metric.Meter) *instruments {
	i := &instruments{meter: meter}
	i.requests = i.counter("maglev.backend.requests", "{request}", "Requests sent to the backend, retries included.")
	i.spills = i.counter("maglev.backend.spills", "{request}", "Requests sent elsewhere as the backend was down or warming up.")
	i.overflows = i.counter("maglev.backend.overflows", "{request}", "Requests sent elsewhere as the backend was at its bound.")
	i.ejections = i.counter("maglev.backend.ejections", "{ejection}", "How often the backend was ejected, as its requests failed.")
	i.backendActive = i.upDown("maglev.backend.active_requests", "{request}", "Requests that the backend has not finished.")
	i.slots = i.upDown("maglev.backend.slots", "{slot}", "Slots of the table that the backend holds.")
	i.healthy = i.gauge("maglev.backend.healthy", "1", "1 if checks and requests find the backend healthy, else 0.")
	i.state = i.gauge("maglev.backend.status", "1", "1 for the state that the backend is in, 0 for the others.")
	i.share = i.gaugeOf("maglev.backend.weight", "1", "The backend's weight relative to that of all.")

	i.tables = i.counter("maglev.table.builds", "{table}", "Tables built.")
	i.moved = i.gauge("maglev.table.last_build.moved", "{slot}", "Slots that the last build gave to other backends.")
	i.ideal = i.gauge("maglev.table.last_build.ideal", "{slot}", "Slots that the last build had to give to other backends.")
	i.builtAt = i.gaugeOf("maglev.table.last_build.timestamp", "s", "When the last table was built, since 1970.")
	i.took = i.gaugeOf("maglev.table.last_build.duration", "s", "How long the last table took to build.")
	i.failing = i.gauge("maglev.table.failing", "1", "1 if the next table could not be built, else 0.")
	i.panicking = i.gauge("maglev.panic", "1", "1 if so few backends are healthy that health is ignored, else 0.")

	i.active = i.upDown("maglev.client.active_requests", "{request}", "Requests whose response has not begun.")
	i.retrying = i.upDown("maglev.client.active_retries", "{request}", "Requests that are being tried again.")
	i.retries = i.counter("maglev.client.retries", "{attempt}", "Attempts beyond the first.")
	i.overBudget = i.counter("maglev.client.over_budget", "{request}", "Requests not tried again as the budget was used up.")
	i.failures = i.counter("maglev.client.failures", "{request}", "Requests that ended with an error, by its type.")
	i.discoveredAt = i.gaugeOf("maglev.discovery.timestamp", "s", "When discovery last had something to say, since 1970.")
	i.discoveryFailing = i.gauge("maglev.discovery.failing", "1", "1 if discovery last had an error to tell, else 0.")
	return i
}

func (i *instruments) counter(name, unit, description string) metric.Int64ObservableCounter {
	c, err := i.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.made(c, err)
	return c
}

func (i *instruments) upDown(name, unit, description string) metric.Int64ObservableUpDownCounter {
	c, err := i.meter.Int64ObservableUpDownCounter(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.made(c, err)
	return c
}

func (i *instruments) gauge(name, unit, description string) metric.Int64ObservableGauge {
	g, err := i.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.made(g, err)
	return g
}

func (i *instruments) gaugeOf(name, unit, description string) metric.Float64ObservableGauge {
	g, err := i.meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	i.made(g, err)
	return g
}

func (i *instruments) made(o metric.Observable, err error) {
	i.all = append(i.all, o)
	i.errs = append(i.errs, err)
}

func (i *instruments) observeBackend(to metric.Observer, b *httpbalancer.BackendStats) {
	name := backendName.String(strings.ToValidUTF8(b.Name, "\uFFFD")) // it may be any bytes
	of := metric.WithAttributes(name)
	to.ObserveInt64(i.requests, int64(b.Picks), of)
	to.ObserveInt64(i.spills, int64(b.Spills), of)
	to.ObserveInt64(i.overflows, int64(b.Overflows), of)
	to.ObserveInt64(i.backendActive, int64(b.InFlight), of)
	if b.Left {
		return // it has no slots, and nobody asks for its health
	}
	to.ObserveInt64(i.ejections, int64(b.Health.Ejections), of)
	to.ObserveInt64(i.slots, int64(b.Slots), of)
	to.ObserveInt64(i.healthy, oneIf(b.Health.Healthy), of)
	for _, s := range []maglev.State{maglev.StateReady, maglev.StateWarming, maglev.StateUnhealthy, maglev.StateDraining} {
		to.ObserveInt64(i.state, oneIf(b.State == s), metric.WithAttributes(name, backendState.String(s.String())))
	}
	to.ObserveFloat64(i.share, b.Share, of)
}

func (i *instruments) observeTable(to metric.Observer, s *httpbalancer.Stats) {
	to.ObserveInt64(i.tables, int64(s.Tables))
	if s.Tables > 0 {
		to.ObserveInt64(i.moved, int64(s.Rebuilt.Moved))
		to.ObserveInt64(i.ideal, int64(s.Rebuilt.Ideal))
		to.ObserveFloat64(i.builtAt, float64(s.Rebuilt.At.UnixNano())/1e9)
		to.ObserveFloat64(i.took, s.Rebuilt.Took.Seconds())
	}
	to.ObserveInt64(i.failing, oneIf(s.Err != nil))
	to.ObserveInt64(i.panicking, oneIf(s.Panic))
}

func (i *instruments) observeRequests(to metric.Observer, s *httpbalancer.Stats) {
	to.ObserveInt64(i.active, int64(s.InFlight))
	to.ObserveInt64(i.retrying, int64(s.RetriesInFlight))
	to.ObserveInt64(i.retries, int64(s.Retries))
	to.ObserveInt64(i.overBudget, int64(s.OverBudget))
	for reason, n := range map[string]uint64{"backend": s.Failed, "no_backend": s.NoBackend, "no_key": s.NoKey} {
		to.ObserveInt64(i.failures, int64(n), metric.WithAttributes(semconv.ErrorTypeKey.String(reason)))
	}
	if !s.Discovered.IsZero() {
		to.ObserveFloat64(i.discoveredAt, float64(s.Discovered.UnixNano())/1e9)
		to.ObserveInt64(i.discoveryFailing, oneIf(s.DiscoveryErr != nil))
	}
}

func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
