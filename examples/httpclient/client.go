package main

import (
	"math/rand/v2"
	"net/http"
	"sync/atomic"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// The clients, in the order in which they have their turns.
const (
	byRandom = "random"
	byTurns  = "round robin"
	byKey    = "httpbalancer"
)

// A spread is an [http.RoundTripper] that sends each request to the address that
// next returns.
type spread struct {
	*http.Transport
	next func() (addr string)
}

func (s *spread) RoundTrip(req *http.Request) (*http.Response, error) {
	// A RoundTripper must not change the request it is given.
	out, url := *req, *req.URL
	url.Host = s.next()
	out.URL = &url
	return s.Transport.RoundTrip(&out)
}

func newRandom(f *fleet) *spread {
	return &spread{plainTransport(), func() string { return f.servers[rand.IntN(len(f.servers))].addr }}
}

func newRoundRobin(f *fleet) *spread {
	var turn atomic.Uint64
	return &spread{plainTransport(), func() string {
		return f.servers[(turn.Add(1)-1)%uint64(len(f.servers))].addr
	}}
}

func plainTransport() *http.Transport { return &http.Transport{MaxIdleConnsPerHost: lookup.Most} }

func newBalancer(f *fleet) (*httpbalancer.Transport, error) {
	return httpbalancer.New(httpbalancer.Options{
		Backends: backends(f),
		Hash:     hashpolicy.List{hashpolicy.Header(keyHeader)},
		Retry: httpbalancer.Retry{
			// All requests under way may be at the server that is killed. The
			// default would let 3 of them be tried again at a time.
			Budget: httpbalancer.Budget{Min: lookup.Most},
		},
	})
}

// backends names the servers. The ports of loopback are others in every run, and
// the names are not, nor is, hence, where the keys go.
func backends(f *fleet) []httpbalancer.Backend {
	all := make([]httpbalancer.Backend, len(f.servers))
	for i, s := range f.servers {
		all[i] = httpbalancer.Backend{Name: s.Name, URL: "http://" + s.addr}
	}
	return all
}
