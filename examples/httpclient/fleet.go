package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// queryTime is what a query of the database costs.
const queryTime = 8 * time.Millisecond

// The headers of requests and responses.
const (
	keyHeader    = "X-Key"
	serverHeader = "X-Server" // who has answered
	cacheHeader  = "X-Cache"  // hit or miss
)

// A database takes its time, and counts.
type database struct{ queries atomic.Int64 }

func (d *database) query(key string) string {
	d.queries.Add(1)
	time.Sleep(queryTime) // stands in for the work
	return valueOf(key)
}

// valueOf is what the database has for a key.
func valueOf(key string) string { return "the value of " + key }

// A fleet is a set of servers over one database.
type fleet struct {
	database database
	servers  []*server
	capacity int // of each server's cache
}

// A server answers lookups from its cache, and else from the database.
type server struct {
	http.Server
	name, addr   string
	killed       bool
	cache        *cache
	served, hits atomic.Int64
}

func startFleet(servers, capacity int) (*fleet, error) {
	f := &fleet{capacity: capacity}
	for range servers {
		if _, err := f.add(); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

// nameOf names the i-th server.
func nameOf(i int) string { return fmt.Sprintf("lookup-%d", i+1) }

// add starts one more server.
func (f *fleet) add() (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a server on loopback: %w", err)
	}
	s := &server{
		name:  nameOf(len(f.servers)),
		addr:  listener.Addr().String(),
		cache: newCache(f.capacity),
	}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		key := r.Header.Get(keyHeader)
		value, ok := s.cache.get(key)
		from := "hit"
		if ok {
			s.hits.Add(1)
		} else {
			from, value = "miss", f.database.query(key)
			s.cache.put(key, value)
		}
		w.Header().Set(serverHeader, s.name)
		w.Header().Set(cacheHeader, from)
		_, _ = io.WriteString(w, value) // a client that has gone needs no answer
	})
	go func() { _ = s.Serve(listener) }() // returns once the server is closed
	f.servers = append(f.servers, s)
	return s, nil
}

// kill closes a server with whatever it is doing: requests under way get no
// answer, and new ones no connection.
func (f *fleet) kill(s *server) error {
	s.killed = true
	if err := s.Close(); err != nil {
		return fmt.Errorf("killing %s: %w", s.name, err)
	}
	return nil
}

// clear empties the caches.
func (f *fleet) clear() {
	for _, s := range f.servers {
		s.cache.clear()
	}
}

func (f *fleet) close() error {
	var errs []error
	for _, s := range f.servers {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
