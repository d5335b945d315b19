package health

import (
	"fmt"
	"sync/atomic"
	"time"
)

// An Outcome is what came of a request, as far as it tells about the backend. A
// request that its caller has given up is none; do not report it.
type Outcome uint8

const (
	// Success is an answer that is no server error, a 404 as well.
	Success Outcome = iota
	// ServerError is a 5xx other than a GatewayError, or another protocol's
	// like.
	ServerError
	// GatewayError is a 502, 503 or 504. It counts as a 5xx too.
	GatewayError
	// LocalError is a failure to get an answer: no connection, a reset, a
	// timeout. It does not count as a 5xx: that is Envoy with
	// split_external_local_origin_errors. Without it, Envoy counts such
	// failures as 503 and 504; to do so, report a GatewayError.
	LocalError
)

// counts holds three counters in one word, 21 bits each, and a bit which says that
// none counts: the backend is ejected or removed, or nobody asks.
type counts struct{ word atomic.Uint64 }

const (
	deaf     = 1 << 63
	countMax = 1<<21 - 1
)

func pack(c5xx, gateway, local int) uint64 {
	return uint64(min(c5xx, countMax))<<42 | uint64(min(gateway, countMax))<<21 | uint64(min(local, countMax))
}

func unpack(w uint64) (c5xx, gateway, local int) {
	return int(w >> 42 & countMax), int(w >> 21 & countMax), int(w & countMax)
}

func (c *counts) deafen() { c.word.Or(deaf) }

// Report says what came of a request to the backend; an Outcome that there is not
// is ignored. It may be called by any number of goroutines, as may
// everything here. A Success after a Success costs one read of memory that nobody
// writes. A report that ejects the backend tells the Setter before it returns,
// unless another goroutine is telling it something, which then does that too.
func (b *Backend) Report(o Outcome) {
	if b == nil || o == Success && b.counts.word.Load()&^deaf == 0 {
		return
	}
	b.report(o)
}

func (b *Backend) report(o Outcome) {
	for {
		w := b.counts.word.Load()
		if w&deaf != 0 {
			return
		}
		next, why := b.monitor.outlier.count(w, o)
		if next == w && why == "" {
			return
		}
		if b.counts.word.CompareAndSwap(w, next) {
			if why != "" {
				b.monitor.eject(b, why)
			}
			return
		}
	}
}

// count returns the counters after one more outcome, and why the backend is to be
// ejected, if it is. A counter that has come to its threshold begins anew: if there
// is no room for an ejection, it takes as many errors again to ask for one.
func (r *Outlier) count(w uint64, o Outcome) (next uint64, why string) {
	c5xx, gateway, local := unpack(w)
	reached := func(count *int, threshold int, what string) {
		if *count++; *count == threshold {
			*count = 0
			why = fmt.Sprintf("%d consecutive %s", threshold, what)
		}
	}
	switch o {
	case Success:
		return 0, ""
	case ServerError:
		gateway, local = 0, 0
		reached(&c5xx, r.Consecutive5xx, "server errors (5xx)")
	case GatewayError:
		local = 0
		reached(&c5xx, r.Consecutive5xx, "server errors (5xx)")
		reached(&gateway, r.ConsecutiveGateway, "gateway errors (502, 503, 504)")
	case LocalError:
		reached(&local, r.ConsecutiveLocal, "local errors (no connection, reset, timeout)")
	}
	return pack(c5xx, gateway, local), why
}

// An ejection is one that is under way.
type ejection struct {
	why   string
	until time.Time
	timer *time.Timer
}

func (m *Monitor) eject(b *Backend, why string) {
	m.mu.Lock()
	if b.removed || m.closed || b.ejection != nil || !m.mayEject() {
		m.mu.Unlock()
		return
	}
	now := time.Now()
	length := m.outlier.length(b, now)
	e := &ejection{why: why, until: now.Add(length)}
	m.wg.Add(1)
	e.timer = time.AfterFunc(length, func() {
		defer m.wg.Done()
		m.expire(b, e)
	})
	b.ejection = e
	b.ejections++
	m.ejected++
	b.counts.word.Store(deaf)
	m.judge(b)
	m.tellAndUnlock()
}

// mayEject returns whether the set has room for one more ejection.
func (m *Monitor) mayEject() bool {
	return 100*(m.ejected+1) <= m.outlier.MaxEjectedPercent*len(m.order) ||
		m.ejected == 0 && !m.outlier.StrictPercent
}

// length returns how long an ejection that begins now lasts, and counts it into the
// backend's multiplier. Envoy's sweep, at each Interval, lowers multipliers of
// backends that have been back for an Interval or more; here it is made up for. As
// there, the multiplier grows to the first one whose product is beyond MaxEjection.
func (r *Outlier) length(b *Backend, now time.Time) time.Duration {
	if b.multiplier > 0 {
		idle := now.Sub(b.returned) / r.Interval
		b.multiplier -= int(min(idle, time.Duration(b.multiplier)))
	}
	if time.Duration(b.multiplier) <= (r.MaxEjection-1)/r.BaseEjection+1 {
		b.multiplier++
	}
	if time.Duration(b.multiplier) > r.MaxEjection/r.BaseEjection {
		return r.MaxEjection
	}
	return time.Duration(b.multiplier) * r.BaseEjection
}

// expire ends an ejection whose time has come.
func (m *Monitor) expire(b *Backend, e *ejection) {
	m.mu.Lock()
	if b.ejection != e || b.removed || m.closed {
		m.mu.Unlock()
		return
	}
	m.uneject(b, time.Now())
	m.judge(b)
	m.tellAndUnlock()
}

func (m *Monitor) uneject(b *Backend, now time.Time) {
	m.disarm(b.ejection)
	b.ejection = nil
	b.returned = now
	m.ejected--
	b.counts.word.Store(0)
}

// disarm stops the timer of an ejection, if it has not gone off.
func (m *Monitor) disarm(e *ejection) {
	if e.timer.Stop() {
		m.wg.Done()
	}
}
