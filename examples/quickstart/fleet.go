package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maglev-lb/maglev"
)

// senders is how many requests are under way at once.
const senders = 16

// A fleet is a set of HTTP servers and a client that reaches them by name.
//
// Their names are those of a network that does not exist: tables depend on
// names, and the free ports of loopback are others in every run. So the client
// has a dialer of its own that stands in for that network, and dials nothing
// else.
type fleet struct {
	servers map[string]*server
	client  http.Client
}

type server struct {
	http.Server
	addr     string
	requests atomic.Int64
}

func startFleet(names []string) (*fleet, error) {
	f := &fleet{servers: make(map[string]*server)}
	f.client = http.Client{
		Timeout: 10 * time.Second,
		Transport: &http.Transport{
			DialContext:         f.dial,
			MaxIdleConnsPerHost: senders,
		},
	}
	for _, name := range names {
		s, err := startServer(name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("starting a server on loopback: %w", err), f.close())
		}
		f.servers[name] = s
	}
	return f, nil
}

// startServer starts a server that answers every request with its name.
func startServer(name string) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{addr: listener.Addr().String()}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.requests.Add(1)
		_, _ = io.WriteString(w, name) // a client that has gone needs no answer
	})
	go func() { _ = s.Serve(listener) }() // returns once the server is shut down
	return s, nil
}

func (f *fleet) dial(ctx context.Context, network, name string) (net.Conn, error) {
	s, ok := f.servers[name]
	if !ok {
		return nil, fmt.Errorf("no server is named %s", name)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, s.addr)
}

// sendAll sends every key to the server that the table names, and returns
// which server answered each. An answer from another server is an error.
func (f *fleet) sendAll(ctx context.Context, table *maglev.Table, keys []string) ([]string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answeredBy := make([]string, len(keys))
	send := func(i int) error {
		want := table.Backend(table.LookupString(keys[i])).Name
		got, err := f.send(ctx, want, keys[i])
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("key %q went to %s, and %s answered", keys[i], want, got)
		}
		answeredBy[i] = got
		return nil
	}

	var next atomic.Int64
	var wg sync.WaitGroup
	for range senders {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(keys) {
					return
				}
				if err := send(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return answeredBy, context.Cause(ctx)
}

// send sends one key to one server and returns who answered.
func (f *fleet) send(ctx context.Context, name, key string) (string, error) {
	target := url.URL{Scheme: "http", Host: name, Path: "/" + key}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return "", err
	}
	response, err := f.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered key %q with %s", name, key, response.Status)
	}
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// requests returns how many requests each server has counted since the last
// call.
func (f *fleet) requests() map[string]int {
	counts := make(map[string]int)
	for name, s := range f.servers {
		if n := s.requests.Swap(0); n > 0 {
			counts[name] = int(n)
		}
	}
	return counts
}

// stop shuts one server down: from now on it refuses connections.
func (f *fleet) stop(name string) error {
	return f.servers[name].Close()
}

func (f *fleet) close() error {
	f.client.CloseIdleConnections()
	var errs []error
	for _, s := range f.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
