package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

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
}

// refusing is the server that does.
const refusing = "users-2"

func startTraffic() (*traffic, error) {
	t := new(traffic)
	var backends []httpbalancer.Backend
	for i := range 3 {
		name := fmt.Sprintf("users-%d", i+1)
		if name == refusing {
			var err error
			if t.refusing, err = refuse.Take(); err != nil {
				return nil, errors.Join(err, t.close())
			}
			backends = append(backends, httpbalancer.Backend{Name: name, URL: "http://" + t.refusing.Addr()})
			continue
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("starting a server on loopback: %w", err), t.close())
		}
		backends = append(backends, httpbalancer.Backend{Name: name, URL: "http://" + listener.Addr().String()})
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, name) // a client that has gone needs no answer
		})}
		t.servers = append(t.servers, server)
		go func() { _ = server.Serve(listener) }() // returns once the server is closed
	}
	var err error
	if t.transport, err = httpbalancer.New(httpbalancer.Options{Backends: backends}); err != nil {
		return nil, errors.Join(err, t.close())
	}
	t.client = &http.Client{Transport: t.transport, Timeout: 10 * time.Second}
	return t, nil
}

// send sends the i-th request, of one of 100 users.
func (t *traffic) send(ctx context.Context, i int) error {
	ctx = httpbalancer.WithKey(ctx, fmt.Sprintf("user-%d", i%100))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://users.example/", nil)
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
