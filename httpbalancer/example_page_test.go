package httpbalancer_test

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/maglev-lb/maglev/httpbalancer"
)

// The page goes where a program serves what only its operators may see. A script
// asks it for JSON: here, where a key goes.
func ExampleTransport_DebugHandler() {
	t, err := httpbalancer.New(httpbalancer.Options{Backends: []httpbalancer.Backend{
		{URL: "http://10.0.0.1:8080"},
		{URL: "http://10.0.0.2:8080", Draining: true},
		{URL: "http://10.0.0.3:8080"},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	mux := http.NewServeMux()
	mux.Handle("/debug/balancer", t.DebugHandler())
	server := httptest.NewServer(mux) // in a program: http.ListenAndServe("127.0.0.1:6060", mux)
	defer server.Close()

	resp, err := http.Get(server.URL + "/debug/balancer?format=json&key=user-41")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	var page struct {
		Lookup struct {
			Hash, First, Picked string
			Candidates          []struct{ Name, State string }
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		log.Fatal(err)
	}
	fmt.Println(page.Lookup.Hash, page.Lookup.First, "->", page.Lookup.Picked)
	for _, c := range page.Lookup.Candidates {
		fmt.Println(c.Name, c.State)
	}
	// Output:
	// 0x5939a27407cd0366 10.0.0.2:8080 -> 10.0.0.1:8080
	// 10.0.0.2:8080 draining
	// 10.0.0.1:8080 ready
	// 10.0.0.3:8080 ready
}
