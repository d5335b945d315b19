package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

// The headers of requests and responses.
const (
	keyHeader    = "X-Key"
	serverHeader = "X-Server" // who has answered
	cacheHeader  = "X-Cache"  // hit or miss
)

// A fleet is a set of HTTP servers over one database.
type fleet struct {
	*lookup.Fleet
	servers []*server
}

type server struct {
	*lookup.Server
	http http.Server
	addr string
}

func startFleet(s lookup.Settings) (*fleet, error) {
	f := &fleet{Fleet: lookup.NewFleet(s)}
	for range s.Servers {
		if err := f.add(); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

// add starts one more server.
func (f *fleet) add() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("starting a server on loopback: %w", err)
	}
	s := &server{Server: f.Add(), addr: listener.Addr().String()}
	s.http.Handler = http.HandlerFunc(s.lookup)
	go func() { _ = s.http.Serve(listener) }() // returns once the server is closed
	f.servers = append(f.servers, s)
	return nil
}

func (s *server) lookup(w http.ResponseWriter, r *http.Request) {
	value, hit := s.Answer(r.Header.Get(keyHeader))
	from := "miss"
	if hit {
		from = "hit"
	}
	w.Header().Set(serverHeader, s.Name)
	w.Header().Set(cacheHeader, from)
	_, _ = io.WriteString(w, value) // a client that has gone needs no answer
}

// kill closes a server with whatever it is doing: requests under way get no
// answer, and new ones no connection.
func (s *server) kill() error {
	s.Killed = true
	if err := s.http.Close(); err != nil {
		return fmt.Errorf("killing %s: %w", s.Name, err)
	}
	return nil
}

func (f *fleet) close() error {
	var errs []error
	for _, s := range f.servers {
		errs = append(errs, s.http.Close())
	}
	return errors.Join(errs...)
}
