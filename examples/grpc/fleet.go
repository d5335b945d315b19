package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
	"github.com/maglev-lb/maglev/internal/refuse"
)

// A fleet is a set of gRPC servers over one database.
//
// A table depends on the names of its backends, and the free ports of loopback are
// others in every run. So the names are those of a network that does not exist, the
// clients have a dialer that stands in for it, and the figures are the same in every
// run.
type fleet struct {
	*lookup.Fleet
	servers []*server

	mu    sync.Mutex
	addrs map[string]string // by host:port of that network
}

type server struct {
	*lookup.Server
	host    string // and port
	grpc    *grpc.Server
	retries atomic.Int64 // calls that gRPC had sent before, elsewhere

	started  time.Time
	waited   atomic.Int64 // nanoseconds until the first call, 0 before it
	refusing *refuse.Port // in its place while it is killed
}

// host is where the i-th server is, as a client is told of it.
func host(i int) string { return fmt.Sprintf("10.0.%d.%d:50051", i/250, i%250+1) }

func startFleet(s lookup.Settings) (*fleet, error) {
	f := &fleet{Fleet: lookup.NewFleet(s), addrs: make(map[string]string)}
	for i := range s.Servers {
		s := &server{Server: f.Add(), host: host(i)}
		f.servers = append(f.servers, s)
		if err := f.start(s); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

// start starts a server, for the first time or after it was killed.
func (f *fleet) start(s *server) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("starting %s on loopback: %w", s.Name, err)
	}
	// Once it is stopped, nothing is to be counted any more.
	s.grpc = grpc.NewServer(grpc.WaitForHandlers(true))
	s.grpc.RegisterService(&service, s)
	s.started = time.Now()
	s.waited.Store(0)
	running := s.grpc
	go func() { _ = running.Serve(listener) }() // returns once the server is stopped
	f.move(s, listener.Addr().String())
	return nil
}

// kill stops a server with whatever it is doing: calls under way get no answer, and
// new ones no connection.
func (f *fleet) kill(s *server) error {
	var err error
	if s.refusing, err = refuse.Take(); err != nil {
		return fmt.Errorf("killing %s: %w", s.Name, err)
	}
	s.Killed = true
	f.move(s, s.refusing.Addr())
	s.grpc.Stop()
	return nil
}

// restart starts a server that was killed, with nothing in its cache.
func (f *fleet) restart(s *server) error {
	s.Clear()
	refusing := s.refusing
	s.refusing = nil
	return errors.Join(f.start(s), refusing.Close())
}

func (f *fleet) hosts() []string {
	hosts := make([]string, len(f.servers))
	for i, s := range f.servers {
		hosts[i] = s.host
	}
	return hosts
}

func (f *fleet) named(name string) *server {
	i := slices.IndexFunc(f.servers, func(s *server) bool { return s.Name == name })
	return f.servers[i]
}

func (f *fleet) move(s *server, addr string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addrs[s.host] = addr
}

func (f *fleet) dial(ctx context.Context, host string) (net.Conn, error) {
	f.mu.Lock()
	addr, ok := f.addrs[host]
	f.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("no server is named %s", host)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// retries is how many calls gRPC has sent again.
func (f *fleet) retries() int {
	n := 0
	for _, s := range f.servers {
		n += int(s.retries.Load())
	}
	return n
}

func (f *fleet) close() error {
	var errs []error
	for _, s := range f.servers {
		if s.grpc != nil {
			s.grpc.Stop()
		}
		if s.refusing != nil {
			errs = append(errs, s.refusing.Close())
		}
	}
	return errors.Join(errs...)
}
