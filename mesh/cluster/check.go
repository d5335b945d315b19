package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
)

// A check checks a host again and again, as Envoy does. The first check decides alone;
// later the thresholds count, but for an answer that says that the host is unhealthy, which
// decides at once.
//
// Package health does the same for hosts that are healthy or not, at one interval, and
// holds new ones healthy. Envoy's hosts begin as unhealthy, may be degraded, and are
// checked at intervals that depend on what the last check has found.
type check struct {
	host   *Host
	config *config.HealthCheck

	// Under Cluster.mu.
	begun      bool // there has been a check
	first      bool // the one that ready waits for is still to come
	stopped    bool
	passes     uint32 // in a row, while the host is unhealthy
	failures   uint32 // in a row, while it is not
	timer      *time.Timer
	cancel     context.CancelFunc
	isHealthy  bool // counted in the gauges
	isDegraded bool
}

func newCheck(h *Host, c *config.HealthCheck) *check { return &check{host: h, config: c} }

// A finding is what came of a check.
type finding struct {
	err       error // why it has failed; nil: it has passed
	degraded  bool  // it has passed, but the host says that it is degraded
	answered  bool  // it has failed by an answer, and not for want of one
	retriable bool  // an answer that counts like none
	timeout   bool
}

// startCheck begins to check a host, if it is to be checked. Cluster.mu is held.
func (c *Cluster) startCheck(h *Host) {
	k := h.check
	if k == nil || c.closed {
		return
	}
	if !c.isReady() {
		k.first = true
		c.waiting++
	}
	if k.config.InitialJitter > 0 {
		k.timer = c.after(rand.N(k.config.InitialJitter), k.run)
		return
	}
	c.task(k.run)
}

// stopCheck ends the checks of a host that leaves. Cluster.mu is held.
func (c *Cluster) stopCheck(h *Host) {
	k := h.check
	if k == nil || k.stopped {
		return
	}
	k.stopped = true
	c.stop(k.timer)
	if k.cancel != nil {
		k.cancel()
	}
	if k.first {
		k.first = false
		c.arrived()
	}
	k.tell(false, false)
}

// run makes one check.
func (k *check) run() {
	c := k.host.cluster
	ctx, cancel := context.WithTimeout(c.set.ctx, k.config.Timeout)
	defer cancel()
	c.mu.Lock()
	if k.stopped || c.closed {
		c.mu.Unlock()
		return
	}
	k.cancel = cancel
	c.mu.Unlock()

	c.checks.Attempt.Inc()
	found := c.set.look(ctx, k)
	if found.err != nil && !found.answered {
		found.timeout = errors.Is(ctx.Err(), context.DeadlineExceeded)
	}

	c.change(func() bool {
		if k.stopped {
			return false
		}
		changed, pending := k.record(found)
		k.timer = c.after(k.pause(found.err == nil, pending), k.run)
		if k.first {
			k.first = false
			c.arrived()
		}
		return changed
	})
}

func look(ctx context.Context, k *check) finding {
	if k.config.HTTP != nil {
		return k.askHTTP(ctx)
	}
	return k.askTCP(ctx)
}

// record takes a finding. pending says that the threshold for a change is still to be reached.
func (k *check) record(f finding) (changed, pending bool) {
	h, c := k.host, k.host.cluster
	first := !k.begun
	k.begun = true
	was := h.Flags()
	if f.err == nil {
		c.checks.Success.Inc()
		k.failures = 0
		if was&FailedActiveCheck != 0 {
			k.passes++
			if first || k.passes == k.config.HealthyThreshold {
				changed = h.mark(0, FailedActiveCheck|ActiveCheckTimeout|ExcludedByImmediateFail)
				c.set.log(c, h, "passes its active health checks")
			} else {
				pending = true
			}
		}
		if h.mark(0, PendingActiveCheck) {
			changed = true
		}
		if f.degraded {
			changed = h.mark(DegradedByActiveCheck, 0) || changed
		} else {
			changed = h.mark(0, DegradedByActiveCheck) || changed
		}
		if c.outlier != nil && c.Config.Outlier.SuccessfulCheckUnejects && h.Flags()&FailedActiveCheck == 0 {
			changed = c.outlier.uneject(h) || changed
		}
	} else {
		c.checks.Failure.Inc()
		if !f.answered {
			c.checks.NetworkFailure.Inc()
		}
		k.passes = 0
		if was&FailedActiveCheck == 0 {
			k.failures++
			if f.answered && !f.retriable || k.failures == k.config.UnhealthyThreshold {
				changed = h.mark(FailedActiveCheck, 0)
				k.failures = 0
				c.set.log(c, h, "fails its active health checks", "error", f.err)
			} else {
				pending = true
			}
		}
		if f.timeout {
			h.mark(ActiveCheckTimeout, 0)
		} else {
			h.mark(0, ActiveCheckTimeout)
		}
		if h.mark(0, PendingActiveCheck) {
			changed = true
		}
		if changed && was&PendingRemoval != 0 {
			c.remove(h)
		}
	}
	k.tell(h.Flags()&FailedActiveCheck == 0, h.Flags()&DegradedByActiveCheck != 0)
	return changed, pending
}

// tell keeps the gauges of healthy and degraded hosts.
func (k *check) tell(healthy, degraded bool) {
	s := k.host.cluster.checks
	add := func(now, was bool) int64 {
		switch {
		case now && !was:
			return 1
		case was && !now:
			return -1
		}
		return 0
	}
	s.Healthy.Add(add(healthy, k.isHealthy))
	s.Degraded.Add(add(degraded, k.isDegraded))
	k.isHealthy, k.isDegraded = healthy, degraded
}

// pause returns the time to the next check.
func (k *check) pause(passed, pending bool) time.Duration {
	c := k.config
	or := func(d, otherwise time.Duration) time.Duration {
		if d > 0 {
			return d
		}
		return otherwise
	}
	var d time.Duration
	if k.host.cluster.Stats.Connections.Value() == 0 {
		d = or(c.NoTrafficInterval, time.Minute)
		if passed && !pending {
			d = or(c.NoTrafficHealthyInterval, d)
		}
	} else if passed {
		d = c.Interval
		if pending {
			d = or(c.HealthyEdgeInterval, d)
		}
	} else {
		d = or(c.UnhealthyInterval, c.Interval)
		if pending {
			d = or(c.UnhealthyEdgeInterval, d)
		}
	}
	if j := d / 100 * time.Duration(c.IntervalJitterPercent); j > 0 {
		d += rand.N(j)
	}
	if c.IntervalJitter > 0 {
		d += rand.N(c.IntervalJitter)
	}
	return max(d, time.Millisecond)
}

// FailImmediately takes the host down until an active check passes, and has it not counted,
// as an answer with x-envoy-immediate-health-check-fail asks for. A host without active
// checks ignores it.
func (h *Host) FailImmediately() {
	c := h.cluster
	if h.check == nil {
		return
	}
	c.change(func() bool {
		if h.check.stopped {
			return false
		}
		c.checks.Failure.Inc()
		c.checks.PassiveFailure.Inc()
		h.check.passes, h.check.failures = 0, 0
		changed := h.mark(FailedActiveCheck|ExcludedByImmediateFail, 0)
		h.check.tell(false, h.Flags()&DegradedByActiveCheck != 0)
		return changed
	})
}
