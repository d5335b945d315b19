package maglev_test

import (
	"fmt"
	"log"
	"time"

	"github.com/maglev-lb/maglev"
)

// The balancer's API at a glance, as the README shows it.
func ExampleBalancer_glance() {
	balancer, err := maglev.NewBalancer[string](maglev.BalancerOptions{ // a *Balancer of your values
		Table:          maglev.Options{}, // how tables are built
		Unhealthy:      maglev.Spill,     // pass them over; or Rebuild, as an Envoy does
		PanicThreshold: new(50),          // percent healthy, below which all are used
		BalanceFactor:  125,              // bound on a backend's load, in percent of its share; 0: none
		MinInFlight:    8,                // what no bound forbids
		SlowStart:      maglev.SlowStart{Window: 30 * time.Second, Aggression: 1, MinPercent: 10},
	})
	if err != nil {
		log.Fatal(err) // an ErrOption, or as of New
	}
	balancer.OnDrained(func(gone maglev.Member[string]) {
		fmt.Println(gone.Value, "has nothing in flight any more") // close it here
	})
	err = balancer.Update([]maglev.Member[string]{ // the whole set, whenever it changes
		{Backend: maglev.Backend{Name: "10.0.0.1:8080"}, Value: "connection 1"},
		{Backend: maglev.Backend{Name: "10.0.0.2:8080"}, Value: "connection 2", Draining: false},
	})
	if err != nil {
		log.Fatal(err) // the last good set stays
	}

	hash := maglev.XXHash("user-42", 0)
	value, ok := balancer.Pick(hash)               // the value of a healthy backend: no lock, a few ns
	lease, _ := balancer.Acquire(hash)             // a Lease: the same, counted in flight and bounded
	again, _ := balancer.Acquire(hash, lease.Name) // a retry, at the next candidate
	again.Release()
	lease.Release()

	_ = balancer.SetHealth("10.0.0.1:8080", false)  // its keys spread over the others
	_ = balancer.SetDraining("10.0.0.2:8080", true) // no new keys; ErrUnknownBackend if there is none

	stats := balancer.Stats()                         // BalancerStats: a BackendStats each, and how the table was Rebuilt
	for _, place := range balancer.Candidates(hash) { // each backend as a Candidate
		_ = place // its State: StateReady, StateWarming, StateFull, StateUnhealthy or StateDraining
	}

	fmt.Println(value, ok, stats.Backends[0].State, stats.Backends[1].State)
	// Output:
	// connection 2 has nothing in flight any more
	// connection 2 true unhealthy draining
}
