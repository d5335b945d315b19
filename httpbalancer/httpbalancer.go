// Package httpbalancer is an [http.RoundTripper] that sends requests with the same
// key to the same backend, over a set of backends that changes, fails and recovers
// while requests are under way.
//
//	t, err := httpbalancer.New(httpbalancer.Options{
//		Backends: []httpbalancer.Backend{{URL: "http://10.0.0.1:8080"}, {URL: "http://10.0.0.2:8080"}},
//		Hash:     hashpolicy.List{hashpolicy.Header("X-User")},
//	})
//	client := &http.Client{Transport: t}
//
// # The way of a request
//
//	http.Request
//	     |  WithHash or WithKey of its context, or Options.Hash
//	     v
//	hash -> maglev.Balancer -> backend      healthy, below its bound, not tried before
//	     |
//	     v
//	a shallow copy of the request, to the backend's scheme and address,
//	over an http.Transport of the backend's own
//	     |
//	     v
//	response, or a retry at the next candidate
//
// The scheme and host of the request's URL do not matter; its path and query are
// sent as they are, and so is its Host, which is the URL's host if it is empty. A
// table built from the same names by an Envoy, or in another process, sends a key
// to the same backend.
//
// # What is retried
//
// A request that could not be sent, as no connection came about, goes to the next
// candidate if its body can be had again (it has none, or GetBody) or has not been
// read. What may have reached the backend is retried only if it is idempotent. No
// backend is tried twice while there are others that may be used. Retries are bounded
// in number, and those of the second kind to a share of the requests in flight
// ([retry.Budget]); what finds no room there waits for it, up to a second.
//
// net/http itself sends a request again, to the same backend, if a connection that it
// has used before turns out to be closed and the request is idempotent by its rules:
// GET, HEAD, OPTIONS, TRACE, and with an Idempotency-Key. No option here prevents that.
//
// # What makes a backend unhealthy
//
// Failing requests eject it for a while ([health.Outlier]); if Options.Check is
// set, failing checks do ([health.Check]). Its keys then go to their next
// candidates, and come back. If too few backends are healthy, all are used, see
// [maglev.BalancerOptions].
package httpbalancer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/retry"
)

// The errors of this package wrap one of these, or those of the packages maglev,
// hashpolicy, health and retry. Their text begins with "httpbalancer: ".
var (
	// ErrOption: a field of Options is out of range.
	ErrOption = errors.New("option out of range")
	// ErrBackend: a Backend is not usable.
	ErrBackend = errors.New("backend not usable")
	// ErrNoBackend: there is no backend to send a request to, or discovery has
	// found none.
	ErrNoBackend = errors.New("no backend")
	// ErrRequest: a request is not usable.
	ErrRequest = errors.New("request not usable")
	// ErrNoKey: a request has no key, and Options.NoKey is Refuse.
	ErrNoKey = errors.New("no key")
	// ErrClosed: the Transport is closed.
	ErrClosed = errors.New("transport is closed")
)

// A Transport is an [http.RoundTripper] over a set of backends. It is made by [New]
// and must be closed when it is no longer used. Any number of goroutines may use
// it. The zero value refuses every request.
type Transport struct {
	opts     Options // with defaults spelled out
	balancer *maglev.Balancer[*upstream]
	monitor  *health.Monitor
	budget   retry.Budget
	requests requestCounters

	mu        sync.Mutex // held during Update and Close
	upstreams map[string]*upstream
	closed    atomic.Bool

	// settled is closed once there is nothing to wait for with the first
	// request: there has been a set, or discovery has found none, or the
	// Transport is closed.
	settled   chan struct{}
	settle    func()
	discovery discovery
}

// New returns a Transport. Its errors name the field, the value, and what is
// allowed.
func New(opts Options) (*Transport, error) {
	backends := opts.Backends
	if err := opts.check(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	balancer, err := maglev.NewBalancer[*upstream](opts.Balancer)
	if err != nil {
		return nil, fmt.Errorf("httpbalancer: Options.Balancer: %w", err)
	}
	t := &Transport{opts: opts, balancer: balancer, settled: make(chan struct{})}
	t.settle = sync.OnceFunc(func() { close(t.settled) })
	t.budget = retry.Budget{Percent: opts.Retry.Budget.Percent, Min: opts.Retry.Budget.Min}
	t.monitor, err = health.New(balancer, t.healthOptions())
	if err != nil {
		return nil, fmt.Errorf("httpbalancer: Options: %w", err)
	}
	if len(backends) > 0 || opts.Discover == nil {
		if err := t.Update(backends); err != nil {
			_ = t.monitor.Close()
			return nil, err
		}
	}
	t.discovery.start(t)
	return t, nil
}

// Update makes the given backends the set to balance over. It neither keeps nor
// changes the slice. What stays, by name, keeps its health and counters, and its
// connections too unless its scheme, address or ServerName is another: then new
// requests go there. What is left out gets no new requests; its connections are
// closed when its last request is done.
//
// An error names the backend and the field, and leaves the set as it is. No
// backends are a set too: requests then fail with [ErrNoBackend]. After Close the
// error is [ErrClosed].
func (t *Transport) Update(backends []Backend) error {
	if !t.made() {
		return fmt.Errorf("httpbalancer: Update: %w: it was not made by New", ErrClosed)
	}
	targets, err := t.parse(backends)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed.Load() {
		return fmt.Errorf("httpbalancer: Update: %w", ErrClosed)
	}
	upstreams := make(map[string]*upstream, len(targets))
	members := make([]maglev.Member[*upstream], len(targets))
	moved := make(map[*upstream]*conn) // to other addresses
	for i, to := range targets {
		u := t.upstreams[to.name]
		if u == nil || !u.conn.Load().leadsTo(to) {
			c, err := t.connect(to)
			if err != nil {
				return err
			}
			if u == nil {
				u = new(upstream)
				u.conn.Store(c)
			} else {
				moved[u] = c
			}
		}
		upstreams[to.name] = u
		members[i] = maglev.Member[*upstream]{
			Backend: maglev.Backend{Name: to.name, Weight: to.weight, Locality: to.backend.Locality},
			Value:   u,

			Draining: to.backend.Draining,
		}
	}
	back := t.undrain(targets)
	if err := t.balancer.Update(members); err != nil {
		for _, name := range back {
			_ = t.balancer.SetDraining(name, true) // it is in the set
		}
		return fmt.Errorf("httpbalancer: Update: %w", err)
	}
	for u, c := range moved {
		u.conn.Swap(c).retire()
	}

	names := make([]string, len(targets))
	for i, to := range targets {
		names[i] = to.name
		if err := t.balancer.SetDraining(to.name, to.backend.Draining); err != nil {
			return fmt.Errorf("httpbalancer: Update: %w", err) // unreachable: it is in the set
		}
	}
	for name, u := range t.upstreams {
		if upstreams[name] != u {
			u.conn.Load().retire()
		}
	}
	t.upstreams = upstreams
	t.monitor.Update(names)
	for name, u := range upstreams {
		u.health.Store(t.monitor.Backend(name))
	}
	t.settle()
	return nil
}

// undrain has the backends that are in the set, and drain no longer, back in use, and
// returns their names. That is before others leave the set, as draining begins after
// others have come: so at no moment there is less to pick from than in either set.
func (t *Transport) undrain(targets []target) (back []string) {
	draining := make(map[string]bool)
	for _, b := range t.balancer.Stats().Backends {
		draining[b.Name] = b.State == maglev.StateDraining && !b.Left
	}
	for _, to := range targets {
		if draining[to.name] && !to.backend.Draining {
			_ = t.balancer.SetDraining(to.name, false) // it is in the set
			back = append(back, to.name)
		}
	}
	return back
}

// Close ends discovery and checks, and closes the connections that are idle, and
// those in use when their requests are done. Requests that begin later fail with
// [ErrClosed]. Closing it again does nothing.
func (t *Transport) Close() error {
	if !t.made() || t.closed.Swap(true) {
		return nil
	}
	t.discovery.stop()
	t.settle()
	err := t.monitor.Close() // waits for probes, which take the lock
	t.mu.Lock()              // after an Update that has begun
	defer t.mu.Unlock()
	for _, u := range t.upstreams {
		u.conn.Load().retire()
	}
	return err
}

// CloseIdleConnections closes the connections to all backends that are not in use
// now. [http.Client.CloseIdleConnections] calls it.
func (t *Transport) CloseIdleConnections() {
	if !t.made() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, u := range t.upstreams {
		u.conn.Load().closeIdle()
	}
}

// made returns whether the Transport has been made by New.
func (t *Transport) made() bool { return t != nil && t.balancer != nil }

var _ http.RoundTripper = (*Transport)(nil)

type contextKey struct{ name string }

var keyOf, resendOf = &contextKey{"key"}, &contextKey{"resend"}

// A choice is what WithKey or WithHash have put into a context.
type choice struct {
	hash  uint64
	key   string
	isKey bool
}

// WithKey returns a context whose requests have this key, whatever Options.Hash
// says. It is hashed with the Hash of Options.Balancer.Table, [maglev.XXHash] by
// default, and seed 0.
func WithKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, keyOf, &choice{key: key, isKey: true})
}

// WithHash returns a context whose requests have this hash, whatever Options.Hash
// says.
func WithHash(ctx context.Context, hash uint64) context.Context {
	return context.WithValue(ctx, keyOf, &choice{hash: hash})
}

// Resend returns how many times the request of this context has been sent to a
// backend before: 0 for the first attempt, and for a context that is of none. A
// RoundTripper that [Options.Wrap] has put in place asks it of its request's
// context. It is OpenTelemetry's http.request.resend_count.
func Resend(ctx context.Context) int {
	n, _ := ctx.Value(resendOf).(int)
	return n
}
