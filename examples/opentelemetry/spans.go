package main

import (
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"sync/atomic"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/maglev-lb/maglev/httpbalancer"
)

// Requests returns a RoundTripper in front of a Transport that makes a client span
// of each request, whatever the number of its attempts. It records no metrics:
// http.client.request.duration is that of an attempt, which Attempts records.
func Requests(t *httpbalancer.Transport, opts ...otelhttp.Option) http.RoundTripper {
	silent := otelhttp.WithMeterProvider(noop.NewMeterProvider())
	return otelhttp.NewTransport(t, append(slices.Clip(opts), silent)...)
}

// Attempts returns what [httpbalancer.Options.Wrap] is to be for a client span, and a
// record of http.client.request.duration, of each attempt. The span's parent is that
// of the request; its server.address is that of the backend; it has
// network.peer.address and network.peer.port, and from the second attempt on
// http.request.resend_count. The backend's server sees it as its parent.
func Attempts(opts ...otelhttp.Option) func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper {
	return func(b httpbalancer.Backend, next http.RoundTripper) http.RoundTripper {
		return otelhttp.NewTransport(&attempts{next, b.Name}, opts...)
	}
}

// An attempts adds to the span of each attempt what otelhttp does not know.
type attempts struct {
	next http.RoundTripper
	name string // of the backend, "" if it has none but its address
}

func (a *attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return a.next.RoundTrip(req)
	}
	if a.name != "" {
		span.SetAttributes(backendName.String(a.name))
	}
	if n := httpbalancer.Resend(ctx); n > 0 {
		span.SetAttributes(semconv.HTTPRequestResendCount(n))
	}
	var connected atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			connected.Store(true)
			span.SetAttributes(peer(info.Conn.RemoteAddr().String())...)
		},
		ConnectDone: func(_, addr string, err error) {
			// While one is being dialled, a connection may have become free.
			if err != nil && !connected.Load() {
				span.SetAttributes(peer(addr)...)
			}
		},
	})
	return a.next.RoundTrip(req.WithContext(ctx))
}

// peer returns the attributes of an address, if it is one of TCP.
func peer(addr string) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return []attribute.KeyValue{semconv.NetworkPeerAddress(addr)}
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return []attribute.KeyValue{semconv.NetworkPeerAddress(host)}
	}
	return []attribute.KeyValue{semconv.NetworkPeerAddress(host), semconv.NetworkPeerPort(n)}
}
