package httpbalancer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/health"
)

// An attempt is a request on its way to one backend, and then the body of the
// response. It is one piece of memory, as each piece costs; none is used twice, as
// a response refers to its request.
type attempt struct {
	transport *Transport
	caller    *http.Request // the request it is an attempt at
	number    int           // from 1
	lease     maglev.Lease[*upstream]
	conn      *conn
	req       http.Request // a shallow copy of the caller's
	url       url.URL      // and of its URL
	out       outBody
	in        io.ReadCloser      // the response's body
	cancel    context.CancelFunc // of an attempt with a time limit
	ended     atomic.Bool
}

// prepare makes the copy of a request that goes to the leased backend.
func (a *attempt) prepare(t *Transport, req *http.Request, number int) {
	a.transport, a.caller, a.number = t, req, number
	a.conn = a.lease.Value.conn.Load()
	a.conn.inFlight.Add(1)
	a.req, a.url = *req, *req.URL
	a.req.URL = &a.url
	if a.req.Host == "" {
		a.req.Host = req.URL.Host
	}
	a.url.Scheme, a.url.Host = a.conn.scheme, a.conn.host
}

// errTryTimeout is why an attempt is given up.
var errTryTimeout error = tryTimeout{}

type tryTimeout struct{}

func (tryTimeout) Error() string { return "no response within Options.Retry.PerTryTimeout" }
func (tryTimeout) Timeout() bool { return true }

// send sends the request, and returns when the header of the response is there.
func (a *attempt) send() (resp *http.Response, err error) {
	returned := false
	defer func() {
		if !returned { // something has panicked
			a.settleBody()
			a.end()
		}
	}()
	if a.number > 1 {
		a.req = *a.req.WithContext(context.WithValue(a.req.Context(), resendOf, a.number-1))
	}
	retry := &a.transport.opts.Retry
	if retry.PerTryTimeout == 0 || !retry.Idempotent(a.caller) {
		resp, err = a.conn.next.RoundTrip(&a.req)
	} else {
		resp, err = a.sendWithin(retry.PerTryTimeout)
	}
	returned = true
	if err == nil && resp == nil {
		err = errors.New("the RoundTripper of Options.Wrap has returned neither response nor error")
	}
	return resp, err
}

func (a *attempt) sendWithin(limit time.Duration) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(a.req.Context())
	a.cancel = func() { cancel(nil) }
	a.req = *a.req.WithContext(ctx)
	timer := time.AfterFunc(limit, func() { cancel(errTryTimeout) })
	resp, err := a.conn.next.RoundTrip(&a.req)
	timer.Stop()
	if context.Cause(ctx) != errTryTimeout {
		return resp, err
	}
	if err == nil {
		_ = resp.Body.Close()
	}
	return nil, errTryTimeout
}

// abandoned returns whether the caller has lost interest.
func (a *attempt) abandoned() bool {
	select {
	case <-a.caller.Context().Done():
		return true
	case <-a.caller.Cancel: //nolint:staticcheck // who sets it means it
		return true
	default:
		return false
	}
}

// report tells what came of the attempt to whoever ejects backends.
func (a *attempt) report(outcome health.Outcome) { a.lease.Value.health.Load().Report(outcome) }

// giveUp ends an attempt that another one takes the place of.
func (a *attempt) giveUp(resp *http.Response) {
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
	a.end()
}

// end counts the attempt out, once.
func (a *attempt) end() {
	if a.ended.Swap(true) {
		return
	}
	a.lease.Release()
	a.conn.done()
	if a.cancel != nil {
		a.cancel()
	}
}

// respond makes the response one to the caller's request, and has the attempt
// last until its body does.
func (a *attempt) respond(resp *http.Response) {
	resp.Request = a.caller
	if resp.Body == nil || resp.Body == http.NoBody {
		a.end()
		return
	}
	a.in = resp.Body
	if _, ok := a.in.(io.Writer); ok { // of a 101
		resp.Body = (*upgraded)(a)
	} else {
		resp.Body = (*responseBody)(a)
	}
}

// A responseBody is an attempt, seen as the body of its response.
type responseBody attempt

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	if err != nil {
		(*attempt)(b).bodyEnded(err)
	}
	return n, err
}

func (b *responseBody) Close() error {
	defer (*attempt)(b).end()
	return b.in.Close()
}

func (a *attempt) bodyEnded(err error) {
	if err != io.EOF && !a.ended.Load() && !a.abandoned() {
		a.report(health.LocalError)
	}
	a.end()
}

// An upgraded is the connection that a 101 response has made of an attempt. That
// one direction has ended does not end it.
type upgraded attempt

func (u *upgraded) Read(p []byte) (int, error)  { return u.in.Read(p) }
func (u *upgraded) Write(p []byte) (int, error) { return u.in.(io.Writer).Write(p) }

// CloseWrite ends one direction, as net/http's body of a 101 can.
func (u *upgraded) CloseWrite() error {
	if body, ok := u.in.(interface{ CloseWrite() error }); ok {
		return body.CloseWrite()
	}
	return errors.ErrUnsupported
}

func (u *upgraded) Close() error {
	defer (*attempt)(u).end()
	return u.in.Close()
}
