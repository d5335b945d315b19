package health_test

import (
	"fmt"
	"log"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/health"
)

var _ health.Setter = (*maglev.Balancer[string])(nil)

// Over a Balancer: the keys of an ejected backend go to the next candidates.
func ExampleMonitor() {
	balancer, err := maglev.NewBalancer[string](maglev.BalancerOptions{})
	if err != nil {
		log.Fatal(err)
	}
	monitor, err := health.New(balancer, health.Options{Outlier: &health.Outlier{}})
	if err != nil {
		log.Fatal(err)
	}
	defer monitor.Close()

	names := []string{"10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"}
	var members []maglev.Member[string]
	for _, name := range names {
		members = append(members, maglev.Member[string]{Backend: maglev.Backend{Name: name}, Value: name})
	}
	if err := balancer.Update(members); err != nil { // the balancer first: it has to know the names
		log.Fatal(err)
	}
	monitor.Update(names)

	hash := maglev.XXHash("user-42", 0)
	before, _ := balancer.Pick(hash)
	for range 5 {
		monitor.Backend(before).Report(health.LocalError)
	}
	after, _ := balancer.Pick(hash)
	fmt.Println(before, "->", after)
	// Output:
	// 10.0.0.3:8080 -> 10.0.0.1:8080
}
