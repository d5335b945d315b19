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
// response. It is one piece of memory, as each piece costs, and as small as may be;
// none is used twice, as a response refers to its request.
type attempt struct {
	caller  *http.Request // the request it is an attempt at
	number  int           // from 1
	lease   maglev.Lease[*upstream]
	conn    *conn
	req     http.Request       // a shallow copy of the caller's
	url     url.URL            // and of its URL
	out     *outBody           // nil unless the body is one
	in      io.ReadCloser      // the response's body
	cancel  context.CancelFunc // of an attempt with a time limit
	closing atomic.Bool        // the response's body is
	ended   atomic.Bool
}

// prepare makes the copy of a request that goes to the leased backend.
func (a *attempt) prepare(req *http.Request, number int) {
	a.caller, a.number = req, number
	a.conn = a.lease.Value.conn.Load()
	a.conn.inFlight.Add(1)
	a.req, a.url = *req, *req.URL
	a.req.URL = &a.url
	if a.req.Host == "" {
		a.req.Host = req.URL.Host
	}
	a.url.Scheme, a.url.Host = a.conn.scheme, a.conn.host
	if number > 1 {
		a.req = *a.req.WithContext(context.WithValue(req.Context(), resendOf, number-1))
	}
}

// errTryTimeout is why an attempt is given up.
var errTryTimeout error = tryTimeout{}

type tryTimeout struct{}

func (tryTimeout) Error() string { return "no response within Options.Retry.PerTryTimeout" }
func (tryTimeout) Timeout() bool { return true }

// send sends the request, and returns when the header of the response is there. A
// limit of 0 is none.
func (a *attempt) send(limit time.Duration) (*http.Response, error) {
	if limit == 0 {
		return a.conn.roundTrip(&a.req)
	}
	ctx, cancel := context.WithCancelCause(a.req.Context())
	a.cancel = func() { cancel(nil) }
	a.req = *a.req.WithContext(ctx)
	timer := time.AfterFunc(limit, func() { cancel(errTryTimeout) })
	resp, err := a.conn.roundTrip(&a.req)
	// If the timer has fired, even if it has not come to cancel yet, there is no body.
	if timer.Stop() || err != nil && context.Cause(ctx) != errTryTimeout {
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
	//lint:ignore SA1019 who sets it means it
	case <-a.caller.Cancel:
		return true
	default:
		return false
	}
}

// report tells what came of the attempt to whoever ejects backends.
func (a *attempt) report(outcome health.Outcome) { a.lease.Value.health.Load().Report(outcome) }

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
	a.in = resp.Body
	if _, ok := a.in.(io.Writer); ok { // of a 101
		resp.Body = (*upgraded)(a)
	} else if bodiless(a.req.Method, resp) {
		if a.cancel != nil && resp.Body != http.NoBody {
			// Over HTTP/2 trailers may be on their way yet.
			resp.Body = &cancelingBody{resp.Body, a.cancel}
			a.cancel = nil
		}
		a.end()
	} else {
		resp.Body = (*responseBody)(a)
	}
}

// bodiless returns whether there is nothing to read in a response. With HTTP/2 such
// a body is not http.NoBody.
func bodiless(method string, resp *http.Response) bool {
	return resp.Body == http.NoBody || method == http.MethodHead || resp.ContentLength == 0 && resp.ProtoMajor == 2 ||
		resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified
}

// A cancelingBody is a body without content, of an attempt with a time limit.
type cancelingBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.cancel()
	}
	return n, err
}

func (b *cancelingBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
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
	b.closing.Store(true)
	defer (*attempt)(b).end()
	return b.in.Close()
}

func (a *attempt) bodyEnded(err error) {
	// A Read that a Close breaks off is no failure of the backend's.
	if err != io.EOF && !a.ended.Load() && !a.closing.Load() && !a.abandoned() {
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
