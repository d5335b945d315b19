// Package health decides which backends are healthy, and tells a balancer: by
// active checks, which ask each backend at an interval ([Check]), and by outlier
// detection, which ejects for a while those whose answers to requests are errors
// one after another ([Outlier]).
//
// It imports the standard library alone and knows neither protocol nor
// balancer. What a check does is a function of the caller's, what came of a request
// is reported by the caller, and verdicts go to anything with a method SetHealth,
// such as a maglev.Balancer:
//
//	m, err := health.New(balancer, health.Options{
//		Check:   &health.Check{Probe: probe},
//		Outlier: &health.Outlier{},
//	})
//	m.Update(names)                 // the set, whenever it changes
//	b := m.Backend("10.0.0.1:8080") // once per backend
//	b.Report(health.Success)        // once per request
//
// Rules and defaults are Envoy's, but where a comment says so.
package health

import (
	"context"
	"sync"
	"time"
)

// A Setter is told the verdicts. It is called by one goroutine at a time, which may
// be one that calls [Backend.Report], so it should be quick. It may call the
// [Monitor], but not Close, which would wait for it, and not each time Update, which
// tells it everything again. An error says that the verdict was not taken, as of
// a name that is not known (yet).
type Setter interface {
	SetHealth(name string, healthy bool) error
}

// A Monitor watches over a set of backends. A backend is healthy if and only if
// active checks do not say that it is down and it is not ejected.
//
// The Setter is told a verdict when it changes, and all verdicts by each Update, as
// a balancer may have forgotten or may not have known a name. For each backend
// verdicts come in order: the last one told is what holds. One that the
// Setter refuses is told again after the next check of that backend, and by the next
// Update; so give a balancer its set first and the Monitor after it.
//
// A Monitor is made by [New] and is safe for use by any number of goroutines. It
// has a goroutine for each backend if there are active checks, and a timer for each
// ejected backend, nothing else. One with neither Check nor Outlier holds all
// backends healthy.
type Monitor struct {
	setter  Setter
	check   *Check   // with defaults spelled out, nil for none
	outlier *Outlier // likewise

	probing chan struct{} // holds an element for each probe under way
	wg      sync.WaitGroup

	mu       sync.Mutex // not held while Probe or the Setter runs
	closed   bool
	backends map[string]*Backend
	order    []*Backend // as in the last Update
	ejected  int        // how many of them are ejected
	untold   []*Backend // with a verdict to tell, in order
	telling  bool       // a goroutine is at it
}

// A Backend is what a [Monitor] knows of one backend, and the handle to report to.
// It stands for the name from the Update that brings it to the one that leaves it
// out; then reports to it do nothing, and a name that comes back has another.
type Backend struct {
	monitor *Monitor
	name    string

	counts counts // written without the lock

	// Under the monitor's lock.
	removed bool
	told    bool // what the Setter took last
	again   bool // to be told even if that is the verdict
	queued  bool // in Monitor.untold
	refused error

	// Active checks.
	cancel    context.CancelFunc
	down      bool
	passes    int // in a row, while down
	failures  int // in a row, while not down
	lastCheck time.Time
	lastError error

	// Outlier detection.
	ejection   *ejection // nil while it is not ejected
	ejections  int       // in all
	multiplier int       // of the base time, for the last ejection
	returned   time.Time // when the last ejection ended
}

// New returns a Monitor of no backends, which tells setter. It copies the options.
// An error wraps [ErrOption].
func New(setter Setter, opts Options) (*Monitor, error) {
	if setter == nil {
		return nil, wrong("setter", setter, "what is to be told, such as a *maglev.Balancer")
	}
	if err := opts.check(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	return &Monitor{
		setter:   setter,
		check:    opts.Check,
		outlier:  opts.Outlier,
		probing:  make(chan struct{}, maxProbes),
		backends: make(map[string]*Backend),
	}, nil
}

// Update says which backends there are: the whole set. It neither keeps nor changes
// the slice; a name that comes twice counts once. Names that stay keep their
// state. Checks of those that left are cancelled, and what they still find out is
// ignored. New ones are presumed healthy and checked at once. Names that come back
// are new.
//
// Then the Setter is told the verdict of every name. After Close, Update does
// nothing.
func (m *Monitor) Update(names []string) {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return
	}
	backends := make(map[string]*Backend, len(names))
	order := make([]*Backend, 0, len(names))
	for _, name := range names {
		if backends[name] != nil {
			continue
		}
		b := m.backends[name]
		if b == nil {
			b = m.add(name)
		}
		backends[name] = b
		order = append(order, b)
	}
	for _, b := range m.order {
		if backends[b.name] == nil {
			m.remove(b)
		}
	}
	m.backends, m.order = backends, order
	for _, b := range order {
		b.again = true
		m.judge(b)
	}
	m.tellAndUnlock()
}

func (m *Monitor) add(name string) *Backend {
	b := &Backend{monitor: m, name: name, told: true}
	if m.outlier == nil {
		b.counts.deafen()
	}
	if m.check != nil {
		var ctx context.Context
		ctx, b.cancel = context.WithCancel(context.Background())
		m.wg.Go(func() { m.watch(ctx, b) })
	}
	return b
}

func (m *Monitor) remove(b *Backend) {
	b.removed = true
	m.stop(b)
	if b.ejection != nil {
		m.ejected--
	}
}

// stop ends all that goes on for a backend. Its state stays as it is.
func (m *Monitor) stop(b *Backend) {
	b.counts.deafen()
	if b.cancel != nil {
		b.cancel()
	}
	if b.ejection != nil {
		m.disarm(b.ejection)
	}
}

// Backend returns the handle of a name of the last Update, and nil for any other
// name. Methods of a nil handle do nothing.
func (m *Monitor) Backend(name string) *Backend {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.backends[name]
}

// Close stops all checks and ejection timers and waits until no Probe and no Setter
// is being called; for that, a Probe has to return when its context ends. It must
// not be called by either of them. The verdicts stay what they are. Afterwards
// reports and Updates do nothing, and Status returns what it did last. Close may be
// called more than once; its error is always nil.
func (m *Monitor) Close() error {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		m.untold = nil
		for _, b := range m.order {
			m.stop(b)
		}
	}
	m.mu.Unlock()
	m.wg.Wait()
	return nil
}

func (b *Backend) healthy() bool { return !b.down && b.ejection == nil }

// judge sees to it that the Setter is told what it does not know of a backend. The
// lock is held, and tellAndUnlock has to follow.
func (m *Monitor) judge(b *Backend) {
	if !b.queued && !b.removed && !m.closed && (b.again || b.told != b.healthy()) {
		b.queued = true
		m.untold = append(m.untold, b)
	}
}

// tellAndUnlock tells the Setter what is to be told, unless another goroutine is at
// it, which then does that too. There is one at a time, so that an older verdict
// cannot overtake a newer one, be it of a Backend that had the name before. The
// lock is held when it is called, not while the Setter runs, and not afterwards.
func (m *Monitor) tellAndUnlock() {
	defer m.mu.Unlock()
	if m.telling || m.closed || len(m.untold) == 0 {
		return
	}
	m.telling = true
	m.wg.Add(1)
	defer func() { // also if the Setter panics
		m.telling = false
		m.wg.Done()
	}()
	for len(m.untold) > 0 {
		b := m.untold[0]
		m.untold = m.untold[1:]
		b.queued = false
		healthy := b.healthy()
		if b.removed || !b.again && b.told == healthy {
			continue
		}
		b.again = false
		if b.refused = m.tell(b.name, healthy); b.refused == nil {
			b.told = healthy
		} else {
			b.again = true
		}
		if b.healthy() != healthy { // it has changed meanwhile
			m.judge(b)
		}
	}
	m.untold = nil // lets go of the memory
}

func (m *Monitor) tell(name string, healthy bool) error {
	m.mu.Unlock()
	defer m.mu.Lock()
	return m.setter.SetHealth(name, healthy)
}
