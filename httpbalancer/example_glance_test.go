package httpbalancer_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// The options that most programs need, as the README shows them.
func Example_glance() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s for %s", r.Method, r.URL.Path, r.Host)
	})
	server1, server2 := httptest.NewServer(handler), httptest.NewServer(handler)
	defer server1.Close()
	defer server2.Close()
	url1, url2 := server1.URL, server2.URL

	t, err := httpbalancer.New(httpbalancer.Options{
		Backends: []httpbalancer.Backend{{URL: url1, Weight: 2}, {URL: url2}},       // or Discover: httpbalancer.DNS{URL: …}
		Hash:     hashpolicy.List{hashpolicy.Header("X-User")},                      // of each request; NoKey says what else
		Balancer: maglev.BalancerOptions{BalanceFactor: 125},                        // table, bounded load, slow start
		Retry:    httpbalancer.Retry{Max: 2, PerTryTimeout: 500 * time.Millisecond}, // at the next candidate
		Check:    &httpbalancer.Check{Path: "/", Check: health.Check{Interval: 5 * time.Second}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	client := &http.Client{Transport: t}

	ctx := httpbalancer.WithKey(context.Background(), "user-42") // or by the request's header
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://cache/item/7", nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := client.Do(req) // any URL will do: path and Host are sent, the backend is chosen
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()

	err = t.Update([]httpbalancer.Backend{{URL: url1}}) // whenever the set changes
	if err != nil {
		log.Fatal(err) // the last good set stays
	}
	http.Handle("/debug/balancer", t.DebugHandler()) // where a key goes, and why; t.Stats() for metrics

	fmt.Println(resp.Status)
	// Output: 200 OK
}
