package httpbalancer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/retry"
)

// RoundTrip implements [http.RoundTripper]. An error is an [Error], or wraps
// [ErrClosed], [ErrNoBackend] or [ErrNoKey], or is the context's if that ends before
// there is a set of backends.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	hash, cookies, err := t.admit(req)
	if err != nil {
		closeBody(req)
		return nil, err
	}
	t.budget.Begin()
	defer t.budget.End()
	a := t.begin(req, hash, nil)
	if a == nil {
		closeBody(req)
		t.requests.noBackend.Add(1)
		return nil, fmt.Errorf("httpbalancer: %w to send the request to: there is none, or none is healthy", ErrNoBackend)
	}
	a.firstBody(t.opts.Retry.Max > 0)
	resp, err := a.send()
	if t.failed(a, resp, err) {
		a, resp, err = t.retry(a, resp, err, hash)
	}
	a.settleBody()
	if err != nil {
		a.end()
		t.requests.failed.Add(1)
		return nil, &Error{a.conn.name, a.number, err}
	}
	for _, cookie := range cookies {
		resp.Header.Add("Set-Cookie", cookie)
	}
	a.respond(resp)
	return resp, nil
}

// admit returns the hash of a request that may be sent, and the cookies that its
// response is to set.
func (t *Transport) admit(req *http.Request) (hash uint64, cookies []string, err error) {
	if t.balancer == nil || t.closed.Load() {
		return 0, nil, fmt.Errorf("httpbalancer: RoundTrip: %w, or it was not made by New", ErrClosed)
	}
	if req.URL == nil {
		return 0, nil, errors.New("httpbalancer: RoundTrip: Request.URL is nil")
	}
	if t.opts.Discover != nil {
		select {
		case <-t.settled:
		case <-req.Context().Done():
			found, _ := t.discovery.last()
			return 0, nil, fmt.Errorf("httpbalancer: %w yet, and discovery says %v: %w", ErrNoBackend, found, context.Cause(req.Context()))
		}
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

// begin prepares an attempt at the first candidate that has not been tried. It
// returns nil if there is no backend.
func (t *Transport) begin(req *http.Request, hash uint64, tried []string) *attempt {
	a := new(attempt)
	var ok bool
	if a.lease, ok = t.balancer.Acquire(hash, tried...); !ok {
		return nil
	}
	a.prepare(t, req, len(tried)+1)
	return a
}

// failed reports what came of an attempt to whoever ejects backends, and returns
// whether there may be something better.
func (t *Transport) failed(a *attempt, resp *http.Response, err error) bool {
	switch {
	case err != nil:
		if a.abandoned() {
			return false
		}
		a.report(health.LocalError)
		return true
	case resp.StatusCode < 500:
		a.report(health.Success)
	case resp.StatusCode >= http.StatusBadGateway && resp.StatusCode <= http.StatusGatewayTimeout:
		a.report(health.GatewayError)
	default:
		a.report(health.ServerError)
	}
	return slices.Contains(t.opts.Retry.Statuses, resp.StatusCode)
}

// retry makes attempts at the next candidates, as long as they fail and more are
// allowed. It returns the last one and what came of it.
func (t *Transport) retry(a *attempt, resp *http.Response, err error, hash uint64) (*attempt, *http.Response, error) {
	var tried []string
	for t.retryable(a, err) {
		if !t.budget.BeginRetry() {
			t.requests.overBudget.Add(1)
			break
		}
		tried = append(tried, a.conn.name)
		next := t.next(a, resp, hash, tried)
		if next == nil {
			t.budget.EndRetry()
			break
		}
		a.giveUp(resp)
		a = next
		t.requests.retries.Add(1)
		resp, err = a.send()
		t.budget.EndRetry()
		if !t.failed(a, resp, err) {
			break
		}
	}
	if ctx := a.caller.Context(); err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return a, resp, err
}

// retryable returns whether there may be another attempt: RFC 9110, section 9.2.2,
// leaves no more than this.
func (t *Transport) retryable(a *attempt, err error) bool {
	if a.number > t.opts.Retry.Max || a.abandoned() || !a.replayable() {
		return false
	}
	return err != nil && unsent(err) || t.opts.Retry.Idempotent(a.caller)
}

// next prepares the next attempt, after the time that there is to be between them.
// It returns nil if there cannot be one.
func (t *Transport) next(a *attempt, resp *http.Response, hash uint64, tried []string) *attempt {
	delay := t.opts.Retry.Backoff.Delay(a.number)
	if resp != nil {
		if after, ok := retry.After(resp.Header.Get("Retry-After"), time.Now()); ok {
			delay = max(delay, min(after, t.opts.Retry.MaxRetryAfter))
		}
	}
	if retry.Wait(a.caller.Context(), delay) != nil {
		return nil
	}
	next := t.begin(a.caller, hash, tried)
	if next == nil {
		return nil
	}
	if !next.nextBody(a) {
		next.end()
		return nil
	}
	return next
}

// An Error is why the last attempt at a request failed. It unwraps to the error of
// the backend's transport.
type Error struct {
	Backend  string // its name
	Attempts int    // made in all
	Err      error
}

func (e *Error) Error() string {
	if e.Attempts > 1 {
		return fmt.Sprintf("httpbalancer: %s, attempt %d: %v", e.Backend, e.Attempts, e.Err)
	}
	return fmt.Sprintf("httpbalancer: %s: %v", e.Backend, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Timeout tells [net/url.Error] whether it is one.
func (e *Error) Timeout() bool { return isTimeout(e.Err) }

// A requestCounters is what Stats says of requests beyond what the balancer
// counts.
type requestCounters struct {
	retries, overBudget, failed, noBackend, noKey atomic.Uint64
}
