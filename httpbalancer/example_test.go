package httpbalancer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// hello starts a server that says who it is.
func hello(name string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "hello from ", name)
	}))
}

// show prints the body of a response, or the error.
func show(resp *http.Response, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.StatusCode, string(text))
}

// Requests with the same key reach the same backend. The names, given here because
// the servers' ports are random, make keys go to the same place in each run.
func Example() {
	a, b := hello("a"), hello("b")
	defer a.Close()
	defer b.Close()
	t, err := httpbalancer.New(httpbalancer.Options{
		Backends: []httpbalancer.Backend{{Name: "a", URL: a.URL}, {Name: "b", URL: b.URL}},
		Hash:     hashpolicy.List{hashpolicy.Header("X-User")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	client := &http.Client{Transport: t}
	for _, user := range []string{"user-41", "user-42", "user-43", "user-42"} {
		req, err := http.NewRequest(http.MethodGet, "http://service.example/", nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("X-User", user)
		show(client.Do(req))
	}
	// Output:
	// 200 hello from a
	// 200 hello from a
	// 200 hello from b
	// 200 hello from a
}

// Update takes the whole set. If something is wrong with it the last one stays.
func ExampleTransport_Update() {
	a := hello("a")
	defer a.Close()
	t, err := httpbalancer.New(httpbalancer.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	client := &http.Client{Transport: t}
	_, err = client.Get("http://service.example/")
	fmt.Println(errors.Is(err, httpbalancer.ErrNoBackend))

	fmt.Println(t.Update([]httpbalancer.Backend{{URL: a.URL}}))
	fmt.Println(t.Update([]httpbalancer.Backend{{URL: a.URL + "/api"}}) != nil)
	show(client.Get("http://service.example/"))
	// Output:
	// true
	// <nil>
	// true
	// 200 hello from a
}

// A key need not be part of the request.
func ExampleWithKey() {
	a, b := hello("a"), hello("b")
	defer a.Close()
	defer b.Close()
	t, err := httpbalancer.New(httpbalancer.Options{
		Backends: []httpbalancer.Backend{{Name: "a", URL: a.URL}, {Name: "b", URL: b.URL}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	ctx := httpbalancer.WithKey(context.Background(), "user-43")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://service.example/", nil)
	if err != nil {
		log.Fatal(err)
	}
	show((&http.Client{Transport: t}).Do(req))
	// Output: 200 hello from b
}

// Backends by address need the name that their certificates have.
func ExampleOptions_serverName() {
	a := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, "hello to ", r.TLS.ServerName)
	}))
	defer a.Close()
	t, err := httpbalancer.New(httpbalancer.Options{
		Backends:   []httpbalancer.Backend{{URL: a.URL}}, // https://127.0.0.1:…
		ServerName: "example.com",
		Transport:  a.Client().Transport.(*http.Transport), // it trusts the server's certificate
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	show((&http.Client{Transport: t}).Get("http://service.example/"))
	// Output: 200 hello to example.com
}

// A request that fails goes to the next candidate of its key.
func ExampleRetry() {
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer busy.Close()
	b := hello("b")
	defer b.Close()
	t, err := httpbalancer.New(httpbalancer.Options{
		Backends: []httpbalancer.Backend{{Name: "a", URL: busy.URL}, {Name: "b", URL: b.URL}},
		Retry:    httpbalancer.Retry{Max: 1, PerTryTimeout: 5 * time.Second},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	ctx := httpbalancer.WithKey(context.Background(), "user-42") // whose backend is a
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://service.example/", nil)
	if err != nil {
		log.Fatal(err)
	}
	show((&http.Client{Transport: t}).Do(req))
	fmt.Println("retries:", t.Stats().Retries)
	// Output:
	// 200 hello from b
	// retries: 1
}

// Each backend is asked for /healthz every 2 to 2.2 seconds; after 3 failures in a
// row it gets no more keys until 2 in a row have passed.
func ExampleCheck() {
	a := hello("a")
	defer a.Close()
	t, err := httpbalancer.New(httpbalancer.Options{
		Backends: []httpbalancer.Backend{{URL: a.URL}},
		Check:    &httpbalancer.Check{Path: "/healthz", Check: health.Check{Interval: 2 * time.Second, Timeout: time.Second}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	show((&http.Client{Transport: t}).Get("http://service.example/"))
	// Output: 200 hello from a
}

// A fixedResolver stands in for DNS.
type fixedResolver []netip.Addr

func (r fixedResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return r, nil
}

// The addresses of a host are the backends, looked up again and again.
func ExampleDNS() {
	a := hello("a") // at 127.0.0.1
	defer a.Close()
	port := a.URL[strings.LastIndex(a.URL, ":")+1:]
	t, err := httpbalancer.New(httpbalancer.Options{
		Discover: httpbalancer.DNS{
			URL:      "http://service.example:" + port,
			Interval: 10 * time.Second,
			Resolver: fixedResolver{netip.MustParseAddr("127.0.0.1")},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	show((&http.Client{Transport: t}).Get("http://service.example/")) // it waits for the first answer
	// Output: 200 hello from a
}

// A function that knows the backends calls update with every set.
func ExampleDiscoverFunc() {
	a, b := hello("a"), hello("b")
	defer a.Close()
	defer b.Close()
	sets, taken := make(chan []httpbalancer.Backend), make(chan error)
	t, err := httpbalancer.New(httpbalancer.Options{
		Discover: httpbalancer.DiscoverFunc(func(ctx context.Context, update func([]httpbalancer.Backend) error) error {
			for {
				select {
				case set := <-sets:
					taken <- update(set)
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	sets <- []httpbalancer.Backend{{URL: a.URL}}
	if err := <-taken; err != nil {
		log.Fatal(err)
	}
	sets <- nil // something has gone wrong there
	fmt.Println("the last set stays:", errors.Is(<-taken, httpbalancer.ErrNoBackend))
	show((&http.Client{Transport: t}).Get("http://service.example/"))
	// Output:
	// the last set stays: true
	// 200 hello from a
}

// No backend has more in flight than 125 % of its fair share, or 8.
func ExampleOptions_boundedLoad() {
	a := hello("a")
	defer a.Close()
	t, err := httpbalancer.New(httpbalancer.Options{
		Backends: []httpbalancer.Backend{{URL: a.URL}},
		Balancer: maglev.BalancerOptions{BalanceFactor: 125},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	show((&http.Client{Transport: t}).Get("http://service.example/"))
	fmt.Println("overflows:", t.Stats().Backends[0].Overflows)
	// Output:
	// 200 hello from a
	// overflows: 0
}
