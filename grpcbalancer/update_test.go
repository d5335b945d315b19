package grpcbalancer_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/ringhash"
)

// A history is the sets that there have been.
type history struct {
	mu          sync.Mutex
	sets        []map[string]bool
	told, known int // how many the ClientConn has been told of, and has taken over
}

// begin returns the number of the set that is in force at least.
func (h *history) begin() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.known - 1
}

// has returns whether a backend has been in a set since then.
func (h *history) has(since int, addr string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, set := range h.sets[since:h.told] {
		if set[addr] {
			return true
		}
	}
	return false
}

// set has the client take over a set.
func (h *history) set(c *client, eps []resolver.Endpoint) {
	set := make(map[string]bool)
	for _, e := range eps {
		for _, a := range e.Addresses {
			set[a.Addr] = true
		}
	}
	h.mu.Lock()
	h.sets = append(h.sets, set)
	h.told++
	h.mu.Unlock()
	c.set(eps) // returns when the policy has it
	h.mu.Lock()
	h.known++
	h.mu.Unlock()
}

// randomSet returns some of the backends, with whatever a resolver may come up with:
// weights, hash keys that are not unique, duplicates, endpoints with two addresses or
// none.
func randomSet(r *rand.Rand, names []string) []resolver.Endpoint {
	eps := []resolver.Endpoint{{}}
	for _, i := range r.Perm(len(names))[:1+r.IntN(len(names))] {
		e := endpoints(names[i])[0]
		for r.IntN(5) == 0 {
			e.Addresses = append(e.Addresses, resolver.Address{Addr: names[r.IntN(len(names))]})
		}
		if r.IntN(2) == 0 {
			e = weight.Set(e, weight.EndpointInfo{Weight: r.Uint32N(6)})
		}
		if r.IntN(2) == 0 {
			e = ringhash.SetHashKey(e, fmt.Sprint("key-", r.IntN(20)))
		}
		for eps = append(eps, e); r.IntN(5) == 0; {
			eps = append(eps, weight.Set(e, weight.EndpointInfo{Weight: r.Uint32N(6)}))
		}
	}
	r.Shuffle(len(eps), func(x, y int) { eps[x], eps[y] = eps[y], eps[x] })
	return eps
}

// While 5,000 sets come and go no call fails, and each goes to a backend that is in a set
// of that time. Connections to backends that have left are closed, and of the client
// nothing is left after Close.
func TestThousandsOfUpdates(t *testing.T) {
	fleet := servers(t, 10)
	names := addrs(fleet)
	before := runtime.NumGoroutine()
	c := dial(t, `{"requestHashHeader":"x-user","tableSize":1009}`, nil, retrySoon)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var h history
	c.Connect()
	h.set(c, endpoints(names...))
	ended := make(chan struct{})
	stop := load(t, 8, keys(t, 1000, names...), func(ctx context.Context, _ int, k *key) error {
		since := h.begin()
		got, err := c.callKey(ctx, k)
		select {
		case ended <- struct{}{}:
		default:
		}
		if err != nil {
			return err
		}
		if !h.has(since, got) {
			return fmt.Errorf("it went to %s, which is in no set of the time", got)
		}
		return nil
	})
	for i := range 5000 {
		h.set(c, randomSet(r, names))
		if i%20 > 0 {
			continue
		}
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			stop()
			t.Fatalf("no call has ended since update %d", i)
		}
	}
	h.set(c, endpoints(names[0]))
	stop()
	require.Eventually(t, func() bool {
		open := 0
		for _, s := range fleet[1:] {
			open += s.openConns()
		}
		return open == 0
	}, 20*time.Second, 10*time.Millisecond, "connections to backends that have left")
	got, err := c.call(short(t))
	require.NoError(t, err)
	require.Equal(t, names[0], got)
	require.Equal(t, 1, fleet[0].openConns())
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool {
		return fleet[0].openConns() == 0 && runtime.NumGoroutine() <= before+1 // that which asks
	}, 20*time.Second, 10*time.Millisecond, "connections or goroutines are left")
}

// While the config changes, and other policies take over and give back, no call fails.
func TestConfigsUnderLoad(t *testing.T) {
	names := addrs(servers(t, 5))
	before := runtime.NumGoroutine()
	c := dial(t, byUser, endpoints(names...))
	all := keys(t, 500, names...)
	settle(t, c, all, home)
	stop := load(t, 8, all, func(ctx context.Context, _ int, k *key) error {
		_, err := c.callKey(ctx, k)
		return err
	})
	configs := []string{`"maglev":` + byUser, `"maglev":{"tableSize":251,"requestHashHeader":"x-tenant"}`, `"round_robin":{}`,
		`"maglev":{"tableSize":5003,"requestHashHeader":"x-user","hashBalanceFactor":150}`, `"pick_first":{}`}
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		sc := c.resolver.CC().ParseServiceConfig(`{"loadBalancingConfig":[{` + configs[r.IntN(len(configs))] + `}]}`)
		require.NoError(t, sc.Err)
		c.resolver.UpdateState(resolver.State{Endpoints: endpoints(names...), ServiceConfig: sc})
		_, err := c.callKey(short(t), &all[0])
		require.NoError(t, err)
	}
	stop()
	require.NoError(t, c.Close())
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 20*time.Second, 10*time.Millisecond) // that which asks
}
