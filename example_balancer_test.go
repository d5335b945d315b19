package maglev_test

import (
	"errors"
	"fmt"
	"log"
	"runtime"
	"time"

	"github.com/maglev-lb/maglev"
)

// threeMembers is a set of three backends whose values are what a program keeps for
// them: here a URL, elsewhere a connection.
func threeMembers() []maglev.Member[string] {
	return []maglev.Member[string]{
		{Backend: maglev.Backend{Name: "10.0.0.1:8080"}, Value: "http://10.0.0.1:8080"},
		{Backend: maglev.Backend{Name: "10.0.0.2:8080"}, Value: "http://10.0.0.2:8080"},
		{Backend: maglev.Backend{Name: "10.0.0.3:8080"}, Value: "http://10.0.0.3:8080"},
	}
}

func threeBackends(opts maglev.BalancerOptions) *maglev.Balancer[string] {
	b, err := maglev.NewBalancer[string](opts)
	if err != nil {
		log.Fatal(err)
	}
	if err := b.Update(threeMembers()); err != nil {
		log.Fatal(err)
	}
	return b
}

func ExampleBalancer() {
	b, err := maglev.NewBalancer[string](maglev.BalancerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	err = b.Update([]maglev.Member[string]{
		{Backend: maglev.Backend{Name: "10.0.0.1:8080"}, Value: "http://10.0.0.1:8080"},
		{Backend: maglev.Backend{Name: "10.0.0.2:8080"}, Value: "http://10.0.0.2:8080"},
		{Backend: maglev.Backend{Name: "10.0.0.3:8080"}, Value: "http://10.0.0.3:8080"},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, key := range []string{"user-41", "user-42", "user-43"} {
		url, ok := b.Pick(maglev.XXHash(key, 0))
		fmt.Println(key, "->", url, ok)
	}
	// Output:
	// user-41 -> http://10.0.0.2:8080 true
	// user-42 -> http://10.0.0.3:8080 true
	// user-43 -> http://10.0.0.3:8080 true
}

// Update takes the whole set, whenever there is a new one. If there is something
// wrong with it the last good set stays.
func ExampleBalancer_Update() {
	b := threeBackends(maglev.BalancerOptions{})
	err := b.Update(threeMembers()[:2])
	fmt.Println(err, len(b.Stats().Backends))

	err = b.Update([]maglev.Member[string]{{Value: "http://10.0.0.4:8080"}})
	fmt.Println(errors.Is(err, maglev.ErrEmptyName), len(b.Stats().Backends))
	fmt.Println(err)
	// Output:
	// <nil> 2
	// true 2
	// maglev: members[0].Name: name is empty; it is the backend's identity and hash key
}

// A retry goes to the next candidate of the key, by naming those that have been
// tried.
func ExampleBalancer_Acquire() {
	b := threeBackends(maglev.BalancerOptions{})
	send := func(url string) error {
		if url == "http://10.0.0.3:8080" {
			return errors.New("connection refused")
		}
		return nil
	}

	var tried []string
	for len(tried) < 3 {
		lease, ok := b.Acquire(maglev.XXHash("user-42", 0), tried...)
		if !ok {
			fmt.Println("no backend")
			break
		}
		err := send(lease.Value)
		lease.Release()
		fmt.Println(lease.Name, err)
		if err == nil {
			break
		}
		tried = append(tried, lease.Name)
	}
	// Output:
	// 10.0.0.3:8080 connection refused
	// 10.0.0.1:8080 <nil>
}

// The keys of a backend that is down go to their next candidates, no other key
// moves, and they come back.
func ExampleBalancer_SetHealth() {
	b := threeBackends(maglev.BalancerOptions{})
	show := func() {
		var urls []string
		for _, key := range []string{"user-41", "user-42", "user-43"} {
			url, _ := b.Pick(maglev.XXHash(key, 0))
			urls = append(urls, url[len("http://"):])
		}
		fmt.Println(urls[0], urls[1], urls[2])
	}
	show()
	_ = b.SetHealth("10.0.0.3:8080", false)
	show()
	_ = b.SetHealth("10.0.0.3:8080", true)
	show()
	fmt.Println(b.SetHealth("10.0.0.9:8080", false))
	// Output:
	// 10.0.0.2:8080 10.0.0.3:8080 10.0.0.3:8080
	// 10.0.0.2:8080 10.0.0.1:8080 10.0.0.1:8080
	// 10.0.0.2:8080 10.0.0.3:8080 10.0.0.3:8080
	// maglev: Balancer.SetHealth: unknown backend: "10.0.0.9:8080" is not in the set
}

// A hot key may not pile up on its backend: of 30 requests in flight each of the
// three gets up to 1.25 times its share, and one.
func ExampleBalancerOptions_boundedLoad() {
	b := threeBackends(maglev.BalancerOptions{BalanceFactor: 125})
	for range 30 {
		if _, ok := b.Acquire(maglev.XXHash("hot", 0)); !ok {
			log.Fatal("no backend")
		}
	}
	for _, m := range b.Stats().Backends {
		fmt.Println(m.Name, m.InFlight, "in flight,", m.Overflows, "went elsewhere")
	}
	// Output:
	// 10.0.0.1:8080 14 in flight, 16 went elsewhere
	// 10.0.0.2:8080 2 in flight, 0 went elsewhere
	// 10.0.0.3:8080 14 in flight, 0 went elsewhere
}

// A backend that is removed keeps the requests it has, and OnDrained says when
// the last of them is done.
func ExampleBalancer_OnDrained() {
	b := threeBackends(maglev.BalancerOptions{})
	b.OnDrained(func(m maglev.Member[string]) {
		fmt.Println("nothing more goes to", m.Value)
	})
	lease, _ := b.Acquire(maglev.XXHash("user-42", 0))
	_ = b.Update(threeMembers()[:2])
	next, _ := b.Pick(maglev.XXHash("user-42", 0))
	fmt.Println("new requests go to", next)
	lease.Release()
	// Output:
	// new requests go to http://10.0.0.2:8080
	// nothing more goes to http://10.0.0.3:8080
}

// SetDraining takes a backend out for a while: for maintenance, say.
func ExampleBalancer_SetDraining() {
	b := threeBackends(maglev.BalancerOptions{})
	hash := maglev.XXHash("user-42", 0)
	_ = b.SetDraining("10.0.0.3:8080", true)
	fmt.Println(b.Pick(hash))
	_ = b.SetDraining("10.0.0.3:8080", false)
	fmt.Println(b.Pick(hash))
	// Output:
	// http://10.0.0.1:8080 true
	// http://10.0.0.3:8080 true
}

// A new backend, whose caches are cold, takes over its keys within a minute, the
// first tenth of them at once.
func ExampleSlowStart() {
	b, err := maglev.NewBalancer[string](maglev.BalancerOptions{
		SlowStart: maglev.SlowStart{Window: time.Minute},
	})
	if err != nil {
		log.Fatal(err)
	}
	_ = b.Update(threeMembers()[:2])
	_ = b.Update(threeMembers())
	for _, m := range b.Stats().Backends {
		fmt.Println(m.Name, m.State)
	}
	// Output:
	// 10.0.0.1:8080 ready
	// 10.0.0.2:8080 ready
	// 10.0.0.3:8080 warming
}

// Beside Envoys, which build their tables of the healthy backends alone, a
// Balancer can do the same. The table is built in the background.
func ExampleUnhealthy() {
	b := threeBackends(maglev.BalancerOptions{Unhealthy: maglev.Rebuild})
	_ = b.SetHealth("10.0.0.3:8080", false)
	for b.Stats().Rebuilds < 2 {
		runtime.Gosched() // until then it spills
	}
	for _, m := range b.Stats().Backends {
		fmt.Println(m.Name, m.State, m.Slots)
	}
	// Output:
	// 10.0.0.1:8080 ready 32769
	// 10.0.0.2:8080 ready 32768
	// 10.0.0.3:8080 unhealthy 0
}

// Where a key goes, and why.
func ExampleBalancer_Candidates() {
	b := threeBackends(maglev.BalancerOptions{})
	_ = b.SetHealth("10.0.0.3:8080", false)
	for _, c := range b.Candidates(maglev.XXHash("user-42", 0)) {
		fmt.Println(c.Name, c.State, c.Picked)
	}
	// Output:
	// 10.0.0.3:8080 unhealthy false
	// 10.0.0.1:8080 ready true
	// 10.0.0.2:8080 ready false
}
