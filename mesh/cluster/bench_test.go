package cluster

import (
	"context"
	"fmt"
	"testing"

	"github.com/maglev-lb/maglev/mesh/config"
)

func BenchmarkPick(b *testing.B) {
	policies := map[string]config.Policy{"maglev": config.MaglevPolicy, "round_robin": config.RoundRobin, "least_request": config.LeastRequest}
	for name, policy := range policies {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("policy=%s/hosts=%d", name, n), func(b *testing.B) {
				c := open(b, clusterOf(policy, priority(many(n, "")...)), Options{})
				need := Need{HasHash: true}
				c.Pick(&need)
				b.ReportAllocs()
				for b.Loop() {
					need.Hash += 0x9e3779b97f4a7c15
					need.Random = need.Hash
					c.Pick(&need)
				}
			})
		}
	}
}

// BenchmarkStart is New, Start and Wait of 100 clusters of 100 hosts, whose tables are then
// built in the background.
func BenchmarkStart(b *testing.B) {
	var clusters []*config.Cluster
	for i := range 100 {
		c := clusterOf(config.MaglevPolicy, priority(many(100, "")...))
		c.Name = fmt.Sprint(i)
		clusters = append(clusters, c)
	}
	for b.Loop() {
		s, err := New(clusters, Options{})
		if err != nil {
			b.Fatal(err)
		}
		s.Start()
		if err := s.Wait(context.Background()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		s.Close()
		b.StartTimer()
	}
}

// BenchmarkChange is a change of health in each of 10 clusters of 1000 hosts, until picks go by it.
func BenchmarkChange(b *testing.B) {
	var clusters []*config.Cluster
	for i := range 10 {
		c := clusterOf(config.MaglevPolicy, priority(many(1000, "")...))
		c.Name = fmt.Sprint(i)
		clusters = append(clusters, c)
	}
	s, err := New(clusters, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for _, c := range s.All() {
		c.Pick(&Need{})
	}
	for b.Loop() {
		for _, c := range s.All() {
			h := c.hosts[0][7]
			c.change(func() bool {
				if h.Flags() == 0 {
					return h.mark(FailedActiveCheck, 0)
				}
				return h.mark(0, FailedActiveCheck)
			})
		}
		s.background.done.Wait()
	}
}
