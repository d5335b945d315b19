package httpbalancer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// A Discoverer finds out which backends there are.
//
// Discover calls update with every set it finds, from one goroutine, until the
// context ends or it can go on no longer. The error of update says why a set has
// not been taken; the one before stays. A set without backends is refused, as that
// is how discovery breaks. If Discover returns an error it is called again after
// some time, from 1 s to 30 s; if it returns nil the set stays as it is.
//
// If a Discoverer has a method Validate() error, [New] calls it.
type Discoverer interface {
	Discover(ctx context.Context, update func([]Backend) error) error
}

// A DiscoverFunc is a function as a [Discoverer].
type DiscoverFunc func(ctx context.Context, update func([]Backend) error) error

// Discover calls f.
func (f DiscoverFunc) Discover(ctx context.Context, update func([]Backend) error) error {
	return f(ctx, update)
}

// A discovery runs a Discoverer.
type discovery struct {
	cancel context.CancelFunc

	mu  sync.Mutex
	err error // why the last set has not been found, or taken
	at  time.Time
}

func (d *discovery) start(t *Transport) {
	if t.opts.Discover == nil {
		return
	}
	var ctx context.Context
	ctx, d.cancel = context.WithCancel(context.Background())
	go d.run(ctx, t)
}

// stop does not wait for the Discoverer: it may be slow to notice.
func (d *discovery) stop() {
	if d.cancel != nil {
		d.cancel()
	}
}

func (d *discovery) run(ctx context.Context, t *Transport) {
	const shortest, longest = time.Second, 30 * time.Second
	pause := shortest
	update := func(backends []Backend) error {
		var err error
		if len(backends) == 0 {
			err = fmt.Errorf("httpbalancer: discovery: %w: it has found none; the last set stays", ErrNoBackend)
		} else {
			err = t.Update(backends)
		}
		d.note(t, err)
		if err == nil {
			pause = shortest
		}
		return err
	}
	for {
		err := guarded(ctx, t.opts.Discover, update)
		if err == nil || ctx.Err() != nil {
			t.settle() // even if it has found nothing
			return
		}
		d.note(t, err)
		select {
		case <-time.After(pause + rand.N(pause/4)):
		case <-ctx.Done():
			return
		}
		pause = min(2*pause, longest)
	}
}

// guarded calls a Discoverer in a goroutine of its own, and makes a panic or a
// runtime.Goexit its error: what has been found stays.
func guarded(ctx context.Context, d Discoverer, update func([]Backend) error) error {
	result := make(chan error, 1)
	go func() {
		err := errors.New("httpbalancer: discovery: the Discoverer ended its goroutine")
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("httpbalancer: discovery: the Discoverer panicked: %v", r)
			}
			result <- err
		}()
		err = d.Discover(ctx, update)
	}()
	return <-result
}

// note keeps what came of the last set. Requests that wait for it go on.
func (d *discovery) note(t *Transport, err error) {
	if errors.Is(err, ErrClosed) {
		return
	}
	d.mu.Lock()
	again := err != nil && d.err != nil && err.Error() == d.err.Error()
	d.err, d.at = err, time.Now()
	d.mu.Unlock()
	if t.opts.ErrorLog != nil && err != nil && !again {
		t.opts.ErrorLog.Print(prefixed("discovery", err))
	}
	t.settle()
}

func (d *discovery) last() (at time.Time, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at, d.err
}
