package maglev_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/stretchr/testify/require"
)

func fleet(n int) []maglev.Member[*int] {
	members := make([]maglev.Member[*int], n)
	for i := range members {
		members[i] = maglev.Member[*int]{
			Backend: maglev.Backend{Name: fmt.Sprintf("10.0.%d.%d:80", i/250, i%250)},
			Value:   new(i),
		}
	}
	return members
}

func balancer(t testing.TB, n int, opts maglev.BalancerOptions) *maglev.Balancer[*int] {
	b, err := maglev.NewBalancer[*int](opts)
	require.NoError(t, err)
	require.NoError(t, b.Update(fleet(n)))
	return b
}

// BenchmarkPick has Lookup beside it: the table's, of the same backends.
func BenchmarkPick(b *testing.B) {
	const golden = 0x9E3779B97F4A7C15
	for _, n := range []int{10, 100, 1000} {
		members := fleet(n)
		backends := make([]maglev.Backend, n)
		for i := range members {
			backends[i] = members[i].Backend
		}
		table, err := maglev.New(backends, maglev.Options{})
		require.NoError(b, err)
		b.Run(fmt.Sprintf("impl=Lookup/N=%d", n), func(b *testing.B) {
			hash := uint64(1)
			sum := 0
			for b.Loop() {
				hash += golden
				sum += table.Lookup(hash)
			}
		})
		for _, failed := range []int{0, n / 10} {
			balancer := balancer(b, n, maglev.BalancerOptions{})
			for i := range failed {
				require.NoError(b, balancer.SetHealth(members[i].Name, false))
			}
			b.Run(fmt.Sprintf("impl=Pick/N=%d/failed=%d", n, failed), func(b *testing.B) {
				hash := uint64(1)
				sum := 0
				for b.Loop() {
					hash += golden
					_, ok := balancer.Pick(hash)
					if ok {
						sum++
					}
				}
			})
		}
		for _, factor := range []int{0, 125} {
			balancer := balancer(b, n, maglev.BalancerOptions{BalanceFactor: factor})
			b.Run(fmt.Sprintf("impl=Acquire/N=%d/factor=%d", n, factor), func(b *testing.B) {
				hash := uint64(1)
				for b.Loop() {
					hash += golden
					lease, _ := balancer.Acquire(hash)
					lease.Release()
				}
			})
		}
	}
}

func BenchmarkPickParallel(b *testing.B) {
	balancer := balancer(b, 100, maglev.BalancerOptions{})
	b.RunParallel(func(pb *testing.PB) {
		hash := uint64(1)
		for pb.Next() {
			hash += 0x9E3779B97F4A7C15
			balancer.Pick(hash)
		}
	})
}

func BenchmarkSetHealth(b *testing.B) {
	for name, opts := range map[string]maglev.BalancerOptions{
		"none":       {},
		"factor":     {BalanceFactor: 125},
		"slow start": {SlowStart: maglev.SlowStart{Window: time.Hour}},
		"both":       {BalanceFactor: 125, SlowStart: maglev.SlowStart{Window: time.Hour}},
	} {
		b.Run("options="+name, func(b *testing.B) {
			balancer := balancer(b, 1000, opts)
			healthy := false
			b.ReportAllocs()
			for b.Loop() {
				_ = balancer.SetHealth("10.0.1.5:80", healthy)
				healthy = !healthy
			}
		})
	}
}
