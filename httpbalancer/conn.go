package httpbalancer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/health"
)

// An upstream is a backend of the set, known by its name. Its connections are
// replaced if its URL changes.
type upstream struct {
	name   string
	conn   atomic.Pointer[conn]
	health atomic.Pointer[health.Backend]
}

// A conn is the way to a backend: a transport of its own, which can be closed when
// nobody uses it any more.
type conn struct {
	target
	next      http.RoundTripper
	transport *http.Transport

	inFlight atomic.Int64
	retired  atomic.Bool
}

// connect makes the way to a target. It opens no connection yet.
func (t *Transport) connect(to target) (*conn, error) {
	pattern := t.opts.Transport
	c := &conn{target: to, transport: pattern.Clone()}
	if pattern.TLSClientConfig == nil && pattern.Dial == nil && pattern.DialContext == nil &&
		pattern.DialTLS == nil && pattern.DialTLSContext == nil {
		// By itself net/http offers HTTP/2 unless one of these is set, as they
		// are below.
		c.transport.ForceAttemptHTTP2 = true
	}
	if to.serverName != "" {
		if c.transport.TLSClientConfig == nil {
			c.transport.TLSClientConfig = new(tls.Config)
		}
		c.transport.TLSClientConfig.ServerName = to.serverName
	}
	c.transport.DialContext = markDialErrors(dialer(pattern.DialContext, pattern.Dial, new(net.Dialer).DialContext))
	c.transport.Dial = nil
	if pattern.DialTLSContext != nil || pattern.DialTLS != nil {
		c.transport.DialTLSContext = markDialErrors(dialer(pattern.DialTLSContext, pattern.DialTLS, nil))
		c.transport.DialTLS = nil
	}
	c.next = c.transport
	if t.opts.Wrap != nil {
		if c.next = t.opts.Wrap(to.backend, c.transport); c.next == nil {
			return nil, fmt.Errorf("httpbalancer: Options.Wrap: %w: it returned nil for %q; it must return a RoundTripper, such as the one it was given",
				ErrOption, to.name)
		}
	}
	return c, nil
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// dialer returns the function that net/http would use of those that are set.
func dialer(withContext dialFunc, without func(network, addr string) (net.Conn, error), otherwise dialFunc) dialFunc {
	switch {
	case withContext != nil:
		return withContext
	case without != nil:
		return func(_ context.Context, network, addr string) (net.Conn, error) { return without(network, addr) }
	}
	return otherwise
}

// A dialError is why no connection came about. No part of a request has been
// sent then.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// Timeout is that of the net.Error inside: url.Error asks for it by type.
func (e *dialError) Timeout() bool { return isTimeout(e.error) }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func markDialErrors(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, &dialError{err}
		}
		return c, nil
	}
}

// unsent returns whether an error means that nothing of the request was sent.
func unsent(err error) bool {
	var dial *dialError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &dial) || errors.As(err, &certificate)
}

// leadsTo returns whether the way ends at the target.
func (c *conn) leadsTo(to target) bool {
	return c.scheme == to.scheme && c.host == to.host && c.serverName == to.serverName
}

// done counts a request out.
func (c *conn) done() {
	if c.inFlight.Add(-1) == 0 && c.retired.Load() {
		c.closeAll()
	}
}

// retire has the connections closed when nothing is in flight on them. Who has
// picked the conn before may use it still.
func (c *conn) retire() {
	c.retired.Store(true)
	if c.inFlight.Load() == 0 {
		c.closeAll()
	}
}

// closeAll closes the connections that nobody uses any more. Over HTTP/1 those
// close themselves that become idle later. Over HTTP/2 a stream ends a little after
// its body has, and a connection that is in use at this moment would stay: it is
// closed later.
func (c *conn) closeAll() {
	c.closeIdle()
	time.AfterFunc(time.Second, c.closeIdle)
}

func (c *conn) closeIdle() {
	c.transport.CloseIdleConnections()
	if closer, ok := c.next.(interface{ CloseIdleConnections() }); ok && c.next != http.RoundTripper(c.transport) {
		closer.CloseIdleConnections()
	}
}
