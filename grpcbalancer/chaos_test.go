package grpcbalancer_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// Backends stop and come back, become unhealthy and healthy, and the set changes, in
// no order at all. Whatever has happened, soon each key goes to the first of its
// candidates that works: nobody stays written off, and nobody is asked in vain.
func TestWhateverHappens(t *testing.T) {
	const n, service = 8, "cache"
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	fleet := servers(t, n)
	names := addrs(fleet)
	works := make(map[string]bool)
	healthy := func(i int, is bool) {
		status := healthpb.HealthCheckResponse_NOT_SERVING
		if is {
			status = healthpb.HealthCheckResponse_SERVING
		}
		fleet[i].health.SetServingStatus(service, status)
		works[names[i]] = is
	}
	for i := range n {
		healthy(i, true)
	}
	before := runtime.NumGoroutine()
	set := names
	c := dialService(t, `{"loadBalancingConfig":[{"maglev":`+byUser+`}],"healthCheckConfig":{"serviceName":"cache"}}`, endpoints(set...), retrySoon)

	stopped := make([]bool, n)
	for range 60 {
		for range 1 + r.IntN(5) {
			switch i := r.IntN(n); r.IntN(6) {
			case 0, 1: // stop, or come back
				switch {
				case !stopped[i] && r.IntN(2) == 0:
					fleet[i].Stop()
				case !stopped[i]:
					fleet[i].GracefulStop()
				default:
					fleet[i] = serve(t, names[i])
				}
				stopped[i] = !stopped[i]
				healthy(i, !stopped[i])
			case 2:
				if !stopped[i] {
					healthy(i, !works[names[i]])
				}
			case 3, 4:
				set = nil
				for _, j := range r.Perm(n)[:1+r.IntN(n)] {
					set = append(set, names[j])
				}
				c.set(endpoints(set...))
			case 5:
				c.Connect()
			}
		}
		if !slices.ContainsFunc(set, func(name string) bool { return works[name] }) {
			continue // there is nobody to go to
		}
		settle(t, c, keys(t, 30, set...), func(k *key) string {
			return k.candidates[slices.IndexFunc(k.candidates, func(name string) bool { return works[name] })]
		})
	}
	require.NoError(t, c.Close())
	for i := range n {
		fleet[i].Stop()
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 20*time.Second, 10*time.Millisecond) // that which asks
}
