package cluster

import (
	"sync/atomic"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// Breakers are the circuit breakers of a cluster for one priority of requests: bounds on what it
// has under way, all hosts together.
type Breakers struct {
	Connections Limit
	Pending     Limit // requests that wait for a connection
	Requests    Limit
	Retries     Retries
}

// A Limit bounds how many of something there are. The zero value allows for none. It must not be
// copied; any number of goroutines may use it.
type Limit struct {
	most  uint32
	inUse atomic.Int64

	open *stats.Gauge // 1 while there may be no more
	left *stats.Gauge // nil: not tracked
}

// TryAcquire counts one in if there may be one more.
func (l *Limit) TryAcquire() bool {
	n := l.inUse.Add(1)
	if n > int64(l.most) {
		l.inUse.Add(-1)
		return false
	}
	l.tell(n)
	return true
}

// Acquire counts one in even if there may be no more.
func (l *Limit) Acquire() { l.tell(l.inUse.Add(1)) }

// Release counts one out.
func (l *Limit) Release() { l.tell(l.inUse.Add(-1)) }

// InUse returns how many there are.
func (l *Limit) InUse() int { return int(l.inUse.Load()) }

// tell keeps the gauges. Of several changes at once the last to tell looks again, so what the
// gauges say in the end is so.
func (l *Limit) tell(n int64) {
	if l.open != nil && n >= int64(l.most)-1 {
		full := int64(0)
		if l.inUse.Load() >= int64(l.most) {
			full = 1
		}
		l.open.Set(full)
	}
	if l.left != nil {
		l.left.Set(max(0, int64(l.most)-l.inUse.Load()))
	}
}

// Retries bounds how many retries are under way: by a number, or by a share of the requests.
type Retries struct {
	Limit
	budget *config.RetryBudget // nil: by a number
	of     *Breakers
}

// TryAcquire counts a retry in if there may be one more.
func (r *Retries) TryAcquire() bool {
	if r.budget == nil {
		return r.Limit.TryAcquire()
	}
	if r.inUse.Add(1) > r.allowed() {
		r.inUse.Add(-1)
		return false
	}
	return true
}

// Release counts one out.
func (r *Retries) Release() {
	if r.budget == nil {
		r.Limit.Release()
		return
	}
	r.inUse.Add(-1)
}

// allowed returns what the budget allows for at present.
func (r *Retries) allowed() int64 {
	active := r.of.Requests.inUse.Load() + r.of.Pending.inUse.Load()
	return max(int64(r.budget.Percent/100*float64(active)), int64(r.budget.Min))
}

type breakerStats struct {
	Connections stats.Gauge `stat:"cx_open"`
	Pools       stats.Gauge `stat:"cx_pool_open"` // pools are not bounded
	Requests    stats.Gauge `stat:"rq_open"`
	Pending     stats.Gauge `stat:"rq_pending_open"`
	Retries     stats.Gauge `stat:"rq_retry_open"`
}

type remainingStats struct {
	Connections stats.Gauge `stat:"remaining_cx"`
	Requests    stats.Gauge `stat:"remaining_rq"`
	Pending     stats.Gauge `stat:"remaining_pending"`
	Retries     stats.Gauge `stat:"remaining_retries"`
}

func (b *Breakers) init(c *config.Breakers, scope stats.Scope) {
	open := stats.Group[breakerStats](scope)
	b.Connections.most, b.Connections.open = c.Connections, &open.Connections
	b.Pending.most, b.Pending.open = c.Pending, &open.Pending
	b.Requests.most, b.Requests.open = c.Requests, &open.Requests
	b.Retries.most, b.Retries.open = c.Retries, &open.Retries
	b.Retries.budget, b.Retries.of = c.Budget, b
	if c.TrackRemaining {
		left := stats.Group[remainingStats](scope)
		b.Connections.left, b.Pending.left = &left.Connections, &left.Pending
		b.Requests.left, b.Retries.left = &left.Requests, &left.Retries
	}
	for _, l := range []*Limit{&b.Connections, &b.Pending, &b.Requests} {
		l.tell(0)
	}
	if c.Budget == nil {
		b.Retries.tell(0)
	}
}
