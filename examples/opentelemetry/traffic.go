package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/maglev-lb/maglev/httpbalancer"
	"github.com/maglev-lb/maglev/internal/refuse"
)

// A traffic is a client and its servers on loopback, one of which refuses
// connections.
type traffic struct {
	servers   []*http.Server
	refusing  *refuse.Port
	transport *httpbalancer.Transport
	client    *http.Client

	mu      sync.Mutex
	parents []string // the traceparent headers that servers have seen
}

// refusing is the server that does.
const refusing = "users-2"

func startTraffic(spans trace.TracerProvider, meters metric.MeterProvider) (*traffic, error) {
	t := new(traffic)
	backends, err := t.listen()
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	// Neither a propagator nor providers are global here; a program that has set
	// the global ones needs no options.
	opts := []otelhttp.Option{
		otelhttp.WithTracerProvider(spans),
		otelhttp.WithMeterProvider(meters),
		otelhttp.WithPropagators(propagation.TraceContext{}),
	}
	t.transport, err = httpbalancer.New(httpbalancer.Options{Backends: backends, Wrap: Attempts(opts...)})
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	t.client = &http.Client{Transport: Requests(t.transport, opts...), Timeout: 10 * time.Second}
	_, err = RegisterMetrics(meters.Meter("github.com/maglev-lb/maglev/httpbalancer"), t.transport.Stats)
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// listen starts the servers.
func (t *traffic) listen() ([]httpbalancer.Backend, error) {
	var backends []httpbalancer.Backend
	for i := range 3 {
		name := fmt.Sprintf("users-%d", i+1)
		if name == refusing {
			var err error
			if t.refusing, err = refuse.Take(); err != nil {
				return nil, err
			}
			backends = append(backends, httpbalancer.Backend{Name: name, URL: "http://" + t.refusing.Addr()})
			continue
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("starting a server on loopback: %w", err)
		}
		backends = append(backends, httpbalancer.Backend{Name: name, URL: "http://" + listener.Addr().String()})
		server := &http.Server{Handler: http.HandlerFunc(t.answer)}
		t.servers = append(t.servers, server)
		go func() { _ = server.Serve(listener) }() // returns once the server is closed
	}
	return backends, nil
}

func (t *traffic) answer(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	t.parents = append(t.parents, r.Header.Get("Traceparent"))
	t.mu.Unlock()
	_, _ = io.Copy(w, r.Body) // a client that has gone needs no answer
}

// send sends a request with a key.
func (t *traffic) send(ctx context.Context, method, key string, body io.Reader) error {
	ctx = httpbalancer.WithKey(ctx, key)
	req, err := http.NewRequestWithContext(ctx, method, "http://users.example/", body)
	if err != nil {
		return err
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func (t *traffic) close() error {
	var errs []error
	if t.transport != nil {
		errs = append(errs, t.transport.Close())
	}
	for _, s := range t.servers {
		errs = append(errs, s.Close())
	}
	if t.refusing != nil {
		errs = append(errs, t.refusing.Close())
	}
	return errors.Join(errs...)
}
