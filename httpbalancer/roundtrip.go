package httpbalancer

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/retry"
)

// RoundTrip implements [http.RoundTripper]. An error is an [Error], or wraps
// [ErrClosed], [ErrNoBackend], [ErrNoKey] or [ErrRequest].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	hash, cookies, err := t.admit(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	t.budget.Begin()
	defer t.budget.End()
	r := round{transport: t, req: req, hash: hash}
	if !r.begin() {
		closeBody(req)
		return nil, t.noBackend(nil)
	}
	returned := false
	defer func() {
		if !returned { // a function of the user's has panicked
			r.abort()
		}
	}()
	r.attempt.firstBody()
	r.send()
	for r.unsatisfied() && r.retryable() && r.retry() {
	}
	resp, err := r.end()
	for _, cookie := range cookies {
		if resp != nil && resp.Header != nil {
			resp.Header.Add("Set-Cookie", cookie)
		}
	}
	returned = true
	return resp, err
}

// admit returns the hash of a request that may be sent, and the cookies that its
// response is to set.
func (t *Transport) admit(req *http.Request) (hash uint64, cookies []string, err error) {
	switch {
	case !t.made():
		return 0, nil, fmt.Errorf("httpbalancer: RoundTrip: %w: it was not made by New", ErrClosed)
	case req == nil || req.URL == nil || req.Header == nil:
		return 0, nil, fmt.Errorf("httpbalancer: RoundTrip: %w: it is nil, or its URL or Header; use http.NewRequest", ErrRequest)
	}
	if t.opts.Discover != nil {
		select {
		case <-t.settled:
		case <-req.Context().Done():
			return 0, nil, t.noBackend(context.Cause(req.Context()))
		//lint:ignore SA1019 who sets it means it
		case <-req.Cancel:
			return 0, nil, t.noBackend(context.Canceled)
		}
	}
	if t.closed.Load() {
		return 0, nil, fmt.Errorf("httpbalancer: RoundTrip: %w", ErrClosed)
	}
	hash, ok, cookies := t.hash(req)
	switch {
	case ok:
		return hash, cookies, nil
	case t.opts.NoKey == Refuse:
		t.requests.noKey.Add(1)
		return 0, nil, fmt.Errorf("httpbalancer: RoundTrip: %w: neither its context nor Options.Hash gives it one; use WithKey or WithHash, or set Options.NoKey to Random", ErrNoKey)
	}
	return rand.Uint64(), nil, nil
}

// hash returns what the request's context or Options.Hash makes its hash.
func (t *Transport) hash(req *http.Request) (hash uint64, ok bool, cookies []string) {
	if c, ok := req.Context().Value(keyOf).(*choice); ok {
		if c.isKey {
			return t.opts.Balancer.Table.Hash(c.key, 0), true, nil
		}
		return c.hash, true, nil
	}
	return t.opts.Hash.HashAndCookies(hashpolicy.HTTP(req))
}

// noBackend returns the error of a request that there is no backend for, or that
// has ended before there was one.
func (t *Transport) noBackend(ended error) error {
	t.requests.noBackend.Add(1)
	_, found := t.discovery.last()
	switch {
	case ended != nil:
		return &waitError{fmt.Errorf("httpbalancer: RoundTrip: %w: discovery has delivered none yet: %w", ErrNoBackend, ended)}
	case found != nil:
		return fmt.Errorf("httpbalancer: RoundTrip: %w: what discovery said last: %w", ErrNoBackend, found)
	}
	return fmt.Errorf("httpbalancer: RoundTrip: %w: the set is empty, or all drain, or none is healthy and panic is off", ErrNoBackend)
}

// A round is what is done for one request: attempts, one after another.
type round struct {
	transport *Transport
	req       *http.Request
	hash      uint64
	tried     []string // backends
	attempt   *attempt // the last
	resp      *http.Response
	err       error
	wanting   bool // what came of it is not what is wanted
	asked     bool // Retry.Idempotent, which has said:
	safe      bool
}

// begin prepares an attempt at the first candidate that has not been tried. It
// returns false if there is no backend.
func (r *round) begin() bool {
	a, number := new(attempt), 1
	if r.attempt != nil {
		number = r.attempt.number + 1
	}
	var ok bool
	if a.lease, ok = r.transport.balancer.Acquire(r.hash, r.tried...); !ok {
		return false
	}
	a.prepare(r.req, number)
	r.attempt = a
	return true
}

func (r *round) send() {
	limit := r.transport.opts.Retry.PerTryTimeout
	if limit > 0 && !r.idempotent() {
		limit = 0
	}
	r.resp, r.err = r.attempt.send(limit)
}

func (r *round) idempotent() bool {
	if !r.asked {
		r.safe, r.asked = r.transport.opts.Retry.Idempotent(r.req), true
	}
	return r.safe
}

// unsatisfied reports what came of an attempt to whoever ejects backends, and
// returns whether there may be something better.
func (r *round) unsatisfied() bool {
	a := r.attempt
	r.wanting = true
	switch {
	case r.err != nil:
		if r.err == errNeither {
			a.dropBody()
			return false
		}
		if a.abandoned() || a.bodyFailed() || malformed(r.req) || refusedUnsent(r.err) {
			return false // it is none of the backend's fault
		}
		a.report(health.LocalError)
		return true
	case r.resp.StatusCode < 500:
		r.transport.requests.answered.Add(1)
		a.report(health.Success)
	case r.resp.StatusCode >= http.StatusBadGateway && r.resp.StatusCode <= http.StatusGatewayTimeout:
		a.report(health.GatewayError)
	default:
		a.report(health.ServerError)
	}
	r.wanting = slices.Contains(r.transport.opts.Retry.Statuses, r.resp.StatusCode)
	return r.wanting
}

// retryable returns whether there may be another attempt: RFC 9110, section 9.2.2,
// leaves no more than this.
func (r *round) retryable() bool {
	a := r.attempt
	if a.number > r.transport.opts.Retry.Max || a.abandoned() || !a.replayable() {
		return false
	}
	return r.err != nil && unsent(r.err) || r.idempotent()
}

// retry makes an attempt at the next candidate, after the time that there is to be
// between them. It returns false, and leaves everything as it is, if there cannot
// be one.
func (r *round) retry() bool {
	t, last := r.transport, r.attempt
	seen := r.err == nil || !unsent(r.err)
	if seen && t.hopeless() {
		t.requests.overBudget.Add(1)
		return false
	}
	if retry.Wait(r.req.Context(), r.delay()) != nil {
		return false
	}
	// What no backend has seen multiplies no load. And when a backend goes, all of
	// its requests come here at once.
	if seen {
		if !r.budgeted() {
			t.requests.overBudget.Add(1)
			return false
		}
		defer t.budget.EndRetry()
	}
	body, ok := last.nextBody()
	if !ok {
		return false
	}
	r.tried = append(r.tried, last.lease.Name)
	if !r.begin() {
		if body != nil {
			_ = body.Close()
		}
		return false
	}
	if slices.Contains(r.tried, r.attempt.lease.Name) {
		r.tried = r.tried[:0] // all have been: once more from the first
	}
	r.attempt.inherit(last, body)
	if r.resp != nil {
		discard(r.resp)
	}
	last.end()
	r.resp, r.err = nil, nil
	t.requests.retries.Add(1)
	r.send()
	return true
}

// budgeted counts the retry in once there is room, if there is before long: when a
// backend of a few goes, more requests than a share of all fail at the same moment.
// Requests that wait are no part of the requests that the budget is a share of, and
// do not go on waiting when no backend answers any more: then retries help nobody.
func (r *round) budgeted() bool {
	const most, patience, step = time.Second, 100 * time.Millisecond, 10 * time.Millisecond
	t := r.transport
	if t.budget.BeginRetry() {
		return true
	}
	if t.hopeless() {
		return false
	}
	t.budget.End()
	defer t.budget.Begin()
	answered, inVain := t.requests.answered.Load(), time.Duration(0)
	for waited := time.Duration(0); waited < most && inVain < patience; {
		pause := step + rand.N(step)
		if retry.Wait(r.req.Context(), pause) != nil {
			return false
		}
		if t.budget.BeginRetry() {
			return true
		}
		waited += pause
		inVain += pause
		if now := t.requests.answered.Load(); now != answered {
			answered, inVain = now, 0
		}
	}
	return false
}

// hopeless returns whether the budget has no room for any retry, ever.
func (t *Transport) hopeless() bool {
	return t.opts.Retry.Budget == Budget{Percent: retry.None, Min: retry.None}
}

// discard closes a response's body, and reads it before if it is short and likely to
// be there: over HTTP/1 the connection can then be used again.
func discard(resp *http.Response) {
	const short, soon = 4 << 10, 10 * time.Millisecond
	if resp.ProtoMajor == 1 && resp.ContentLength > 0 && resp.ContentLength <= short {
		timer := time.AfterFunc(soon, func() { _ = resp.Body.Close() })
		_, _ = io.Copy(io.Discard, resp.Body)
		timer.Stop()
	}
	_ = resp.Body.Close()
}

// delay returns how long to wait before the next attempt.
func (r *round) delay() time.Duration {
	opts := &r.transport.opts.Retry
	if r.attempt.number == 1 && r.err != nil && unsent(r.err) {
		return 0 // the next candidate has nothing to recover from
	}
	delay := opts.Backoff.Delay(r.attempt.number)
	if r.resp != nil {
		if after, ok := retry.After(r.resp.Header.Get("Retry-After"), time.Now()); ok {
			delay = max(delay, min(after, opts.MaxRetryAfter))
		}
	}
	return delay
}

// end returns what came of the last attempt, which lasts until the body of the
// response does.
func (r *round) end() (*http.Response, error) {
	a := r.attempt
	a.settleBody()
	if ctx := r.req.Context(); r.wanting && ctx.Err() != nil {
		if r.resp != nil {
			_ = r.resp.Body.Close()
		}
		r.err = context.Cause(ctx)
	}
	if r.err != nil {
		a.end()
		r.transport.requests.failed.Add(1)
		return nil, &Error{a.lease.Name, a.number, r.err}
	}
	a.respond(r.resp)
	return r.resp, nil
}

// abort ends a round in which something has panicked.
func (r *round) abort() {
	defer r.attempt.end()
	if r.resp != nil {
		_ = r.resp.Body.Close()
	}
	r.attempt.dropBody()
}

// A waitError is why a request has waited for backends in vain.
type waitError struct{ error }

func (e *waitError) Unwrap() error { return e.error }

// Timeout tells [net/url.Error] whether it is one.
func (e *waitError) Timeout() bool { return isTimeout(e.error) }

// An Error is why the last attempt at a request failed. It unwraps to the error of
// the backend's transport.
type Error struct {
	Backend  string // its name
	Attempts int    // made in all
	Err      error
}

func (e *Error) Error() string {
	name := e.Backend
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		name = quoted // so that it does not look like another line of a log
	}
	if e.Attempts > 1 {
		return fmt.Sprintf("httpbalancer: %s, attempt %d: %v", name, e.Attempts, e.Err)
	}
	return fmt.Sprintf("httpbalancer: %s: %v", name, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Timeout tells [net/url.Error] whether it is one.
func (e *Error) Timeout() bool { return isTimeout(e.Err) }

// A requestCounters is what Stats says of requests beyond what the balancer
// counts.
type requestCounters struct {
	retries, overBudget, failed, noBackend, noKey atomic.Uint64

	answered atomic.Uint64 // responses that are no server errors
}
