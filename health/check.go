package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// AtOnce wraps an error of a Probe so that the check takes the backend down whatever
// the threshold, as Envoy does for an HTTP status that is not expected, in
// contrast to no answer. The text stays err's. AtOnce(nil) is nil.
func AtOnce(err error) error {
	if err == nil {
		return nil
	}
	return atOnce{err}
}

type atOnce struct{ error }

func (e atOnce) Unwrap() error { return e.error }

var errStillRunning = errors.New("the Probe of an earlier check has not returned")

// watch checks a backend until ctx ends.
func (m *Monitor) watch(ctx context.Context, b *Backend) {
	var late <-chan error // of a Probe that has not returned in time
	for {
		select {
		case m.probing <- struct{}{}:
		case <-ctx.Done():
			return
		}
		if ctx.Err() != nil { // both were ready
			<-m.probing
			return
		}
		var err error
		late, err = m.probe(ctx, b.name, late)
		<-m.probing
		m.record(b, err)

		pause := time.NewTimer(m.check.pause())
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return
		}
	}
}

// pause returns a time from Interval up to Interval * (1 + Jitter).
func (c *Check) pause() time.Duration {
	extra := time.Duration(rand.Float64() * c.Jitter * float64(c.Interval))
	return max(c.Interval, c.Interval+extra) // the sum may overflow
}

// probe makes one check, in a goroutine of its own, so that one which does not heed
// its context fails in time as well. If that is still running, it also returns where
// the result will come from.
func (m *Monitor) probe(ctx context.Context, name string, late <-chan error) (running <-chan error, err error) {
	select {
	case <-late:
	default:
		if late != nil {
			return late, errStillRunning
		}
	}
	ctx, cancel := context.WithTimeout(ctx, m.check.Timeout)
	defer cancel()
	result := make(chan error, 1)
	m.wg.Go(func() { guarded(ctx, m.check.Probe, name, result) })
	select {
	case err = <-result:
	case <-ctx.Done():
		running = result
	}
	if ctx.Err() != nil { // whether the Probe or the context was seen first
		err = fmt.Errorf("no answer within %v: %w", m.check.Timeout, ctx.Err())
	}
	return running, err
}

// guarded calls a Probe and makes a panic its error: a check that cannot be carried
// out has not passed, which is no reason to end the process. The same goes for
// runtime.Goexit.
func guarded(ctx context.Context, probe func(context.Context, string) error, name string, result chan<- error) {
	err := errors.New("the Probe ended its goroutine")
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the Probe panicked: %v", r)
		}
		result <- err
	}()
	err = probe(ctx, name)
}

// record takes the result of a check.
func (m *Monitor) record(b *Backend, err error) {
	m.mu.Lock()
	if b.removed || m.closed {
		m.mu.Unlock()
		return
	}
	now := time.Now()
	first := b.lastCheck.IsZero()
	b.lastCheck, b.lastError = now, err
	if err == nil {
		b.failures = 0
		if b.down {
			b.passes++
			b.down = b.passes < m.check.HealthyThreshold
		}
		if b.ejection != nil && !b.down {
			m.uneject(b, now)
		}
	} else {
		b.passes = 0
		if !b.down {
			b.failures++
			b.down = first || b.failures >= m.check.UnhealthyThreshold || errors.As(err, new(atOnce))
		}
	}
	m.judge(b)
	m.tellAndUnlock()
}
