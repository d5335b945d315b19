package httpbalancer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev/health"
)

// An upstream is a backend of the set, known by its name. Its connections are
// replaced if its URL changes.
type upstream struct {
	conn   atomic.Pointer[conn]
	health atomic.Pointer[health.Backend]
}

// A conn is the way to a backend: a transport of its own, which can be closed when
// nobody uses it any more.
type conn struct {
	target
	next      http.RoundTripper // transport, or what Options.Wrap has put before it
	transport *http.Transport

	inFlight atomic.Int64
	retired  atomic.Bool
}

// cloneTransport is Clone, and keeps net/http's rule for when HTTP/2 is tried: if
// nothing of what a conn sets is set. By Clone, net/http has settled that.
func cloneTransport(pattern *http.Transport) *http.Transport {
	clone := pattern.Clone()
	if config := clone.TLSClientConfig; config != nil && slices.Contains(config.NextProtos, "h2") {
		clone.ForceAttemptHTTP2 = true
	}
	return clone
}

// connect makes the way to a target. It opens no connection yet.
func (t *Transport) connect(to target) (*conn, error) {
	pattern := t.opts.Transport
	c := &conn{target: to, transport: cloneTransport(pattern)}
	if to.serverName != "" {
		if c.transport.TLSClientConfig == nil {
			c.transport.TLSClientConfig = new(tls.Config)
		}
		c.transport.TLSClientConfig.ServerName = to.serverName
	}
	//lint:ignore SA1019 net/http still heeds it
	dial := dialer(pattern.DialContext, pattern.Dial)
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	c.transport.DialContext = markUnsent(dial, to.scheme == "https")
	//lint:ignore SA1019 net/http still heeds it
	if dial := dialer(pattern.DialTLSContext, pattern.DialTLS); dial != nil {
		c.transport.DialTLSContext = markUnsent(dial, false)
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

// dialer returns the function that net/http would use of the two.
func dialer(withContext dialFunc, without func(network, addr string) (net.Conn, error)) dialFunc {
	if withContext == nil && without != nil {
		return func(_ context.Context, network, addr string) (net.Conn, error) { return without(network, addr) }
	}
	return withContext
}

// An unsentError is why no connection came about. No part of a request has been
// sent then.
type unsentError struct{ error }

func (e *unsentError) Unwrap() error { return e.error }

// Timeout is that of the net.Error inside: url.Error asks for it by type.
func (e *unsentError) Timeout() bool { return isTimeout(e.error) }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// markUnsent makes the errors of a dialer ones that say that nothing was sent, and
// if there is to be a TLS handshake the errors of its beginning too.
func markUnsent(dial dialFunc, handshake bool) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		switch {
		case err != nil:
			return nil, &unsentError{err}
		case handshake:
			return &handshakeConn{Conn: c}, nil
		}
		return c, nil
	}
}

// A handshakeConn is a connection below TLS. The first thing written to it is the
// ClientHello (or a proxy's CONNECT): as long as nothing else has been, nothing of a
// request has.
type handshakeConn struct {
	net.Conn
	writes atomic.Uint32 // begun, up to 2
}

func (c *handshakeConn) mark(err error) error {
	if err != nil && c.writes.Load() < 2 {
		return &unsentError{err}
	}
	return err
}

func (c *handshakeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.mark(err)
}

func (c *handshakeConn) Write(p []byte) (int, error) {
	if c.writes.Load() < 2 {
		c.writes.Add(1)
	}
	n, err := c.Conn.Write(p)
	return n, c.mark(err)
}

// unsent returns whether an error means that nothing of the request was sent.
func unsent(err error) bool {
	var (
		noConn      *unsentError
		certificate *tls.CertificateVerificationError
		notTLS      tls.RecordHeaderError
	)
	return errors.As(err, &noConn) || errors.As(err, &certificate) ||
		errors.As(err, &notTLS) && notTLS.Conn != nil || // of the first record; later ones can be bad too
		err != nil && err.Error() == "net/http: TLS handshake timeout" // it has no name
}

// leadsTo returns whether the way ends at the target.
func (c *conn) leadsTo(to target) bool {
	return c.scheme == to.scheme && c.host == to.host && c.serverName == to.serverName
}

// roundTrip is that of next, which may be anybody's.
func (c *conn) roundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.next.RoundTrip(req)
	switch {
	case err != nil:
		return nil, err
	case resp == nil:
		return nil, errNeither
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	return resp, nil
}

var errNeither = errors.New("the RoundTripper of Options.Wrap has returned neither response nor error")

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

// closeAll closes the connections, of which nobody makes use any more. Those over
// HTTP/1 that become idle later close themselves. Over HTTP/2 a stream ends a little
// after its body has, and whoever began to dial may end later still, so it is tried
// again.
func (c *conn) closeAll() {
	c.closeIdle()
	for _, later := range [...]time.Duration{5 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute} {
		time.AfterFunc(later, c.closeIdle)
	}
}

func (c *conn) closeIdle() {
	c.transport.CloseIdleConnections()
	if c.next == http.RoundTripper(c.transport) {
		return
	}
	if wrapper, ok := c.next.(interface{ CloseIdleConnections() }); ok {
		wrapper.CloseIdleConnections()
	}
}
