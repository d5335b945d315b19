package cluster

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// An Outcome is what came of a request, as far as it tells about the host: the status of
// its answer, or one of the constants.
type Outcome int

// What there may be other than an answer.
const (
	Connected     Outcome = -iota - 1 // a connection was made, or was there already
	ConnectFailed                     // there is no connection, or it was reset before an answer
	TimedOut                          // no answer in time
)

// Report tells outlier detection what came of a request to the host. A gRPC answer counts
// as the status that its grpc-status stands for. Without outlier detection it does nothing.
func (h *Host) Report(o Outcome) {
	if m := h.monitor; m != nil {
		m.report(o)
	}
}

// A monitor watches over a host's answers.
type monitor struct {
	host    *Host
	outlier *outlier

	errors, gateway, local atomic.Uint32 // in a row
	external, localOrigin  rate

	// Under Cluster.mu.
	ejected  bool
	left     bool // the host has gone
	since    time.Time
	jitter   time.Duration
	multiple time.Duration // of base_ejection_time, for the last ejection; goes down while not ejected
}

func (m *monitor) report(o Outcome) {
	d := m.outlier
	switch {
	case o >= 0:
		m.answer(int(o))
	case d.config.SplitLocal:
		m.localOrigin.count(o == Connected)
		if o == Connected {
			reset(&m.local)
		} else if m.local.Add(1) == d.config.ConsecutiveLocal {
			d.consecutive(m, &m.local, consecutiveLocal)
		}
	case o == ConnectFailed:
		m.answer(503)
	case o == TimedOut:
		m.answer(504)
	}
}

func (m *monitor) answer(status int) {
	d := m.outlier
	ok := status < 500 || status > 599
	m.external.count(ok)
	if ok {
		reset(&m.errors)
		reset(&m.gateway)
		return
	}
	if status >= 502 && status <= 504 {
		if m.gateway.Add(1) == d.config.ConsecutiveGateway {
			d.consecutive(m, &m.gateway, consecutiveGateway)
		}
	} else {
		reset(&m.gateway)
	}
	if m.errors.Add(1) == d.config.Consecutive5xx {
		d.consecutive(m, &m.errors, consecutive5xx)
	}
}

// reset saves a write where there is nothing to do, which is nearly always.
func reset(n *atomic.Uint32) {
	if n.Load() != 0 {
		n.Store(0)
	}
}

// forget begins anew.
func (m *monitor) forget() {
	m.errors.Store(0)
	m.gateway.Store(0)
	m.local.Store(0)
}

// A reason is why a host is ejected.
type reason uint8

const (
	consecutive5xx reason = iota
	consecutiveGateway
	consecutiveLocal
	successRate
	localSuccessRate
	failurePercentage
	localFailurePercentage
)

type outlierStats struct {
	Active   stats.Gauge   `stat:"ejections_active"`
	Enforced stats.Counter `stat:"ejections_enforced_total"`
	Overflow stats.Counter `stat:"ejections_overflow"`

	Detected5xx     stats.Counter `stat:"ejections_detected_consecutive_5xx"`
	Enforced5xx     stats.Counter `stat:"ejections_enforced_consecutive_5xx"`
	DetectedGateway stats.Counter `stat:"ejections_detected_consecutive_gateway_failure"`
	EnforcedGateway stats.Counter `stat:"ejections_enforced_consecutive_gateway_failure"`
	DetectedLocal   stats.Counter `stat:"ejections_detected_consecutive_local_origin_failure"`
	EnforcedLocal   stats.Counter `stat:"ejections_enforced_consecutive_local_origin_failure"`

	DetectedSuccessRate      stats.Counter `stat:"ejections_detected_success_rate"`
	EnforcedSuccessRate      stats.Counter `stat:"ejections_enforced_success_rate"`
	DetectedLocalSuccessRate stats.Counter `stat:"ejections_detected_local_origin_success_rate"`
	EnforcedLocalSuccessRate stats.Counter `stat:"ejections_enforced_local_origin_success_rate"`
	DetectedFailure          stats.Counter `stat:"ejections_detected_failure_percentage"`
	EnforcedFailure          stats.Counter `stat:"ejections_enforced_failure_percentage"`
	DetectedLocalFailure     stats.Counter `stat:"ejections_detected_local_origin_failure_percentage"`
	EnforcedLocalFailure     stats.Counter `stat:"ejections_enforced_local_origin_failure_percentage"`

	// Deprecated in Envoy, and still there.
	Total          stats.Counter `stat:"ejections_total"`
	Consecutive5xx stats.Counter `stat:"ejections_consecutive_5xx"`
	SuccessRate    stats.Counter `stat:"ejections_success_rate"`
}

// An outlier ejects hosts of a cluster for a while, as Envoy's outlier detection does.
//
// Package health has a part of this. It lacks the enforcing percentages, success rates and
// jitter, and ends an ejection at its time, where Envoy looks once an interval.
type outlier struct {
	cluster *Cluster
	config  *config.Outlier
	stats   *outlierStats

	active   int            // how many hosts are ejected; under Cluster.mu
	external rateStatistics // of the last interval; under Cluster.mu
	local    rateStatistics
}

func newOutlier(c *Cluster, scope stats.Scope) *outlier {
	none := rateStatistics{-1, -1}
	return &outlier{cluster: c, config: c.Config.Outlier, stats: stats.Group[outlierStats](scope), external: none, local: none}
}

// counters returns what counts a reason.
func (d *outlier) counters(r reason) (detected, enforced *stats.Counter, percent uint32) {
	s, c := d.stats, d.config
	switch r {
	case consecutive5xx:
		return &s.Detected5xx, &s.Enforced5xx, c.EnforceConsecutive5xx
	case consecutiveGateway:
		return &s.DetectedGateway, &s.EnforcedGateway, c.EnforceGateway
	case consecutiveLocal:
		return &s.DetectedLocal, &s.EnforcedLocal, c.EnforceLocal
	case successRate:
		return &s.DetectedSuccessRate, &s.EnforcedSuccessRate, c.EnforceSuccessRate
	case localSuccessRate:
		return &s.DetectedLocalSuccessRate, &s.EnforcedLocalSuccessRate, c.EnforceLocalSuccessRate
	case failurePercentage:
		return &s.DetectedFailure, &s.EnforcedFailure, c.EnforceFailurePercentage
	}
	return &s.DetectedLocalFailure, &s.EnforcedLocalFailure, c.EnforceLocalFailurePercentage
}

// consecutive ejects the host of a monitor that has had so many errors in a row, and begins
// to count anew.
func (d *outlier) consecutive(m *monitor, count *atomic.Uint32, r reason) {
	d.cluster.change(func() bool {
		if m.left || m.ejected {
			return false
		}
		if r == consecutive5xx {
			d.stats.Consecutive5xx.Inc()
		}
		changed := d.eject(m, r)
		count.Store(0)
		return changed
	})
}

// eject ejects a host if the configuration allows for it. Cluster.mu is held.
func (d *outlier) eject(m *monitor, r reason) bool {
	detected, enforced, percent := d.counters(r)
	detected.Inc()
	hosts := 0
	for _, level := range d.cluster.hosts {
		hosts += len(level)
	}
	room := 100*float64(d.active+1)/float64(hosts) <= float64(min(100, d.config.MaxEjectionPercent))
	if !room && !(d.config.AlwaysEjectOne && d.active == 0) {
		d.stats.Overflow.Inc()
		return false
	}
	if r == consecutive5xx || r == successRate {
		d.stats.Total.Inc()
	}
	if rand.Uint32N(100) >= percent {
		return false
	}
	d.active++
	d.stats.Active.Inc()
	d.stats.Enforced.Inc()
	enforced.Inc()
	m.ejected, m.since, m.jitter = true, time.Now(), 0
	if d.config.MaxEjectionJitter > 0 {
		m.jitter = rand.N(d.config.MaxEjectionJitter)
	}
	// Envoy compares the multiple before it grows.
	if m.multiple*d.config.BaseEjection < d.maxEjection()+d.config.BaseEjection {
		m.multiple++
	}
	if p, ok := m.host.Pool.(interface{ Drain() }); ok {
		p.Drain()
	}
	d.cluster.set.log(d.cluster, m.host, "is ejected by outlier detection")
	return m.host.mark(FailedOutlierCheck, 0)
}

func (d *outlier) maxEjection() time.Duration {
	return max(d.config.MaxEjection, d.config.BaseEjection)
}

// sweep is what is done once an interval: ejections end whose time is over, and success rates are
// looked at.
func (d *outlier) sweep() {
	d.cluster.change(func() (changed bool) {
		now := time.Now()
		d.each(func(m *monitor) {
			switch {
			case !m.ejected:
				m.multiple = max(0, m.multiple-1)
			case now.Sub(m.since) >= min(m.multiple*d.config.BaseEjection, d.maxEjection())+m.jitter:
				changed = d.uneject(m.host) || changed
			}
			m.external.turn()
			m.localOrigin.turn()
		})
		changed = d.compareRates(&d.external, (*monitor).externalRate, successRate, failurePercentage) || changed
		changed = d.compareRates(&d.local, (*monitor).localRate, localSuccessRate, localFailurePercentage) || changed
		d.cluster.after(d.config.Interval, d.sweep)
		return changed
	})
}

// each calls f for the monitors of all hosts. Cluster.mu is held.
func (d *outlier) each(f func(*monitor)) {
	for _, level := range d.cluster.hosts {
		for _, h := range level {
			f(h.monitor)
		}
	}
}

// uneject ends an ejection, if there is one. Cluster.mu is held.
func (d *outlier) uneject(h *Host) bool {
	m := h.monitor
	if !m.ejected {
		return false
	}
	m.ejected = false
	m.forget()
	d.active--
	d.stats.Active.Dec()
	d.cluster.set.log(d.cluster, h, "is no longer ejected")
	return h.mark(0, FailedOutlierCheck)
}

// leave forgets a host. Cluster.mu is held.
func (d *outlier) leave(h *Host) {
	m := h.monitor
	m.left = true
	if m.ejected {
		m.ejected = false
		d.active--
		d.stats.Active.Dec()
	}
}
