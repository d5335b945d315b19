package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// The headers of requests and answers.
const (
	userHeader    = "X-User"
	serverHeader  = "X-Server"              // who has answered
	attemptHeader = "X-Envoy-Attempt-Count" // at which attempt, says the sidecar
)

// A server is a program behind the sidecar. It knows nothing of it.
type server struct {
	name    string
	port    int
	http    http.Server
	crashed atomic.Bool
}

// start starts a server on a free port of loopback.
func start(name string, handler http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting %s on loopback: %w", name, err)
	}
	s := &server{name: name, port: listener.Addr().(*net.TCPAddr).Port}
	s.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.crashed.Load() {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		w.Header().Set(serverHeader, name)
		handler.ServeHTTP(w, r)
	})
	go func() { _ = s.http.Serve(listener) }() // returns once the server is closed
	return s, nil
}

// A shop is a server that fails now and then.
type shop struct {
	*server
	requests atomic.Int64
}

// failEvery is the one of so many requests that the shop fails.
const failEvery = 5

func startShop(name string) (*shop, error) {
	s := new(shop)
	var err error
	s.server, err = start(name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.requests.Add(1)%failEvery == 0 {
			http.Error(w, "the database is busy", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "Welcome to the shop.")
	}))
	return s, err
}

// A cart is a server with the carts of users in its memory: a user who comes to another
// finds none.
type cart struct {
	*server
	mu    sync.Mutex
	items map[string]map[string]bool // by user
}

func startCart(name string) (*cart, error) {
	c := &cart{items: make(map[string]map[string]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "fine") })
	mux.HandleFunc("PUT /{item}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%d items", c.put(r.Header.Get(userHeader), r.PathValue("item")))
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%d items", c.count(r.Header.Get(userHeader)))
	})
	var err error
	c.server, err = start(name, mux)
	return c, err
}

// put puts an item into a user's cart, and returns how many there are.
func (c *cart) put(user, item string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items[user] == nil {
		c.items[user] = make(map[string]bool)
	}
	c.items[user][item] = true
	return len(c.items[user])
}

func (c *cart) count(user string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.items[user])
}

// crash has the server break the connection of each request from now on, and lose what was in its
// memory.
func (c *cart) crash() {
	c.crashed.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.items)
}

// restart has it answer again.
func (c *cart) restart() { c.crashed.Store(false) }

// services are all the programs behind the sidecar.
type services struct {
	shop  *shop
	carts []*cart
}

func startServices() (*services, error) {
	var s services
	var err error
	if s.shop, err = startShop("shop-1"); err != nil {
		return nil, err
	}
	for _, name := range cartNames {
		c, err := startCart(name)
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.carts = append(s.carts, c)
	}
	return &s, nil
}

// cartNames are the names that envoy.yaml has in hash_key.
var cartNames = []string{"cart-1", "cart-2", "cart-3"}

func (s *services) close() error {
	errs := []error{s.shop.http.Close()}
	for _, c := range s.carts {
		errs = append(errs, c.http.Close())
	}
	return errors.Join(errs...)
}
