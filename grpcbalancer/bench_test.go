package grpcbalancer_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/ringhash"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer"
)

// A fakeConn is a ClientConn without a network: its connections are READY soon after
// they are asked to be.
type fakeConn struct {
	balancer.ClientConn

	mu    sync.Mutex
	state balancer.State
	conns []*fakeSubConn
}

type fakeSubConn struct {
	balancer.SubConn
	listen func(balancer.SubConnState)
	health func(balancer.SubConnState)
}

func (c *fakeConn) NewSubConn(_ []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sc := &fakeSubConn{listen: opts.StateListener}
	c.conns = append(c.conns, sc)
	return sc, nil
}

func (c *fakeConn) UpdateState(s balancer.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
}

func (c *fakeConn) picker() balancer.Picker {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Picker
}

func (*fakeConn) ResolveNow(resolver.ResolveNowOptions) {}
func (*fakeConn) Target() string                        { return "fake" }

func (s *fakeSubConn) Connect() {
	go func() { // as gRPC does: not while pick_first is calling
		s.listen(balancer.SubConnState{ConnectivityState: connectivity.Connecting})
		s.listen(balancer.SubConnState{ConnectivityState: connectivity.Ready})
	}()
}

func (s *fakeSubConn) RegisterHealthListener(f func(balancer.SubConnState)) {
	s.health = f
	go f(balancer.SubConnState{ConnectivityState: connectivity.Ready})
}

func (*fakeSubConn) Shutdown() {}

func many(n int) []resolver.Endpoint {
	all := make([]resolver.Endpoint, n)
	for i := range all {
		all[i].Addresses = []resolver.Address{{Addr: fmt.Sprintf("10.0.%d.%d:443", i/250, i%250)}}
	}
	return all
}

// A fixture is a policy on a fakeConn.
type fixture struct {
	*fakeConn
	balancer.Balancer
	config serviceconfig.LoadBalancingConfig
	n      int // endpoints
}

// build returns a policy with n endpoints, which are READY.
func build(b testing.TB, policy, config string, n int) *fixture {
	b.Helper()
	f := &fixture{fakeConn: new(fakeConn), n: n}
	builder := balancer.Get(policy)
	var err error
	f.config, err = builder.(balancer.ConfigParser).ParseConfig([]byte(config))
	require.NoError(b, err)
	f.Balancer = builder.Build(f, balancer.BuildOptions{})
	b.Cleanup(f.Close)
	f.set(b, many(n))
	return f
}

func (f *fixture) set(b testing.TB, endpoints []resolver.Endpoint) {
	require.NoError(b, f.UpdateClientConnState(balancer.ClientConnState{
		ResolverState: resolver.State{Endpoints: endpoints}, BalancerConfig: f.config}))
}

// connectAll makes all endpoints READY.
func (f *fixture) connectAll(b testing.TB, call func(key string) context.Context) {
	b.Helper()
	for i := 0; ; i++ {
		f.mu.Lock()
		picker, n := f.state.Picker, len(f.conns)
		f.mu.Unlock()
		if n >= f.n {
			time.Sleep(50 * time.Millisecond)
			return
		}
		for range 100 {
			i++
			_, _ = picker.Pick(balancer.PickInfo{Ctx: call(strconv.Itoa(i))})
		}
		time.Sleep(time.Millisecond)
	}
}

// picks times the picks of a policy, all of whose endpoints have been asked to connect.
func (f *fixture) picks(b *testing.B, ctx func(key string) context.Context) {
	infos := make([]balancer.PickInfo, 64)
	for i := range infos {
		infos[i].Ctx = ctx("user-" + strconv.Itoa(i))
	}
	picker := f.picker()
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := picker.Pick(infos[i%len(infos)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// policies are the rivals, by the names of the benchmarks.
var policies = []struct{ impl, name string }{
	{"maglev", grpcbalancer.Name},
	{"ring_hash", ringhash.Name},
}

const hashesUser = `{"requestHashHeader":"x-user"}`

func withHeader(key string) context.Context {
	return metadata.NewOutgoingContext(context.Background(), metadata.Pairs("x-user", key))
}

// BenchmarkPick times picks among endpoints that are all READY, for 64 calls in turn
// (what the processor's caches hold is not what is to be measured).
func BenchmarkPick(b *testing.B) {
	route, err := grpcbalancer.RouteKey()
	require.NoError(b, err)
	plain := context.Background()
	ready := make(map[string]*fixture)
	for _, hash := range []struct {
		name, config string
		only         string // policy
		call         func(key string) context.Context
	}{
		{"xds", `{}`, "", func(key string) context.Context { return context.WithValue(plain, route, maglev.XXHash(key, 0)) }},
		{"header", hashesUser, "", withHeader},
		{"header of 11", hashesUser, "", func(key string) context.Context {
			headers := metadata.Pairs("x-user", key)
			for i := range 10 {
				headers.Set(fmt.Sprint("x-other-", i), "value")
			}
			return metadata.NewOutgoingContext(plain, headers)
		}},
		{"random", hashesUser, "", func(string) context.Context { return plain }},
		// The last ones: once a process has used WithKey, all its picks look for that first.
		{"context", hashesUser, "maglev", func(key string) context.Context { return grpcbalancer.WithKey(plain, key) }},
		{"xds beside context", `{}`, "maglev", func(key string) context.Context { return context.WithValue(plain, route, maglev.XXHash(key, 0)) }},
	} {
		for _, n := range []int{10, 100, 1000} {
			for _, policy := range policies {
				if hash.only != "" && hash.only != policy.impl {
					continue
				}
				b.Run(fmt.Sprintf("hash=%s/N=%d/impl=%s", hash.name, n, policy.impl), func(sub *testing.B) {
					id := fmt.Sprint(policy.name, hash.config, n)
					f := ready[id]
					if f == nil { // to connect them takes longer than all the rest
						f = build(b, policy.name, hash.config, n)
						f.connectAll(b, hash.call)
						ready[id] = f
					}
					f.picks(sub, hash.call)
				})
			}
		}
	}
}

// BenchmarkChange times a change of the state of one endpoint of 1000, READY to
// TRANSIENT_FAILURE or back.
func BenchmarkChange(b *testing.B) {
	for _, policy := range policies {
		b.Run("N=1000/impl="+policy.impl, func(b *testing.B) {
			f := build(b, policy.name, hashesUser, 1000)
			f.connectAll(b, withHeader)
			conn, states := f.conns[500], [...]connectivity.State{connectivity.TransientFailure, connectivity.Ready}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				conn.health(balancer.SubConnState{ConnectivityState: states[i%2]})
				i++
			}
		})
	}
}

// BenchmarkPickFailing times picks while a share of 1000 endpoints is failing.
func BenchmarkPickFailing(b *testing.B) {
	infos := make([]balancer.PickInfo, 1024)
	for i := range infos {
		infos[i].Ctx = withHeader(strconv.Itoa(i))
	}
	ready := make(map[string]*fixture)
	for _, failing := range []int{500, 990, 1000} {
		for _, policy := range policies {
			b.Run(fmt.Sprintf("failing=%d/impl=%s", failing, policy.impl), func(sub *testing.B) {
				f := ready[policy.name]
				if f == nil {
					f = build(b, policy.name, hashesUser, 1000)
					f.connectAll(b, withHeader)
					ready[policy.name] = f
				}
				for _, conn := range f.conns[:failing] {
					conn.health(balancer.SubConnState{ConnectivityState: connectivity.TransientFailure, ConnectionError: errFailing})
				}
				picker := f.picker()
				i := 0
				sub.ReportAllocs()
				for sub.Loop() {
					_, _ = picker.Pick(infos[i%len(infos)])
					i++
				}
			})
		}
	}
}

var errFailing = errors.New("failing")

// BenchmarkUpdate times a set of 1000 endpoints of which one is another each time.
func BenchmarkUpdate(b *testing.B) {
	for _, policy := range policies {
		for _, connected := range []bool{false, true} {
			b.Run(fmt.Sprintf("N=1000/connected=%t/impl=%s", connected, policy.impl), func(b *testing.B) {
				f := build(b, policy.name, hashesUser, 1000)
				if connected {
					f.connectAll(b, withHeader)
				}
				endpoints, i := many(1000), 0
				b.ReportAllocs()
				for b.Loop() {
					endpoints[i%1000].Addresses = []resolver.Address{{Addr: fmt.Sprintf("10.1.%d.%d:443", i/250%250, i%250)}}
					f.set(b, endpoints)
					i++
				}
			})
		}
	}
}
