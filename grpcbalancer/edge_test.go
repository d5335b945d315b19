package grpcbalancer_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/ringhash"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer"
)

// placement returns where the client sends each of n hashes, which cover the slots of a
// small table.
func placement(t testing.TB, c *client, n int) []string {
	t.Helper()
	all := make([]string, n)
	for i := range all {
		var err error
		all[i], err = c.call(grpcbalancer.WithHash(short(t), uint64(i)))
		require.NoError(t, err)
	}
	return all
}

// tablePlacement returns where a table of these backends sends them. Names of backends
// stand for addresses.
func tablePlacement(t testing.TB, n, size int, backends []maglev.Backend, addrs map[string]string) []string {
	t.Helper()
	table, err := maglev.New(backends, maglev.Options{TableSize: size})
	require.NoError(t, err)
	all := make([]string, n)
	for i := range all {
		all[i] = addrs[table.Backend(table.Lookup(uint64(i))).Name]
	}
	return all
}

func withKey(e resolver.Endpoint, key string) resolver.Endpoint { return ringhash.SetHashKey(e, key) }

func withWeight(e resolver.Endpoint, w uint32) resolver.Endpoint {
	return weight.Set(e, weight.EndpointInfo{Weight: w})
}

// In whatever order a resolver lists its endpoints, and on whichever client, keys go to
// the same backends: also where hash keys are equal, endpoints are listed twice with
// different weights, or have no address. 23 slots show what each table is.
func TestPlacementDoesNotDependOnOrder(t *testing.T) {
	a := addrs(servers(t, 5))
	slices.Sort(a)
	e := endpoints(a...)
	for name, c := range map[string]struct {
		endpoints []resolver.Endpoint
		want      []maglev.Backend
		addrs     map[string]string
	}{
		"equal hash keys": {
			[]resolver.Endpoint{withKey(e[0], "k"), withKey(e[1], "k"), withKey(e[2], "k"), withKey(e[3], "l"), e[4]},
			[]maglev.Backend{{Name: "k"}, {Name: "k " + a[1] + " "}, {Name: "k " + a[2] + " "}, {Name: "l"}, {Name: a[4]}},
			map[string]string{"k": a[0], "k " + a[1] + " ": a[1], "k " + a[2] + " ": a[2], "l": a[3], a[4]: a[4]},
		},
		"duplicates with different weights": {
			[]resolver.Endpoint{withWeight(e[0], 1), withWeight(e[0], 3), e[1], e[1], withWeight(e[2], 2), e[3], e[4], withWeight(e[4], 5)},
			[]maglev.Backend{{Name: a[0], Weight: 4}, {Name: a[1], Weight: 2}, {Name: a[2], Weight: 2}, {Name: a[3], Weight: 1}, {Name: a[4], Weight: 6}},
			map[string]string{a[0]: a[0], a[1]: a[1], a[2]: a[2], a[3]: a[3], a[4]: a[4]},
		},
		"no addresses beside others": {
			[]resolver.Endpoint{{}, e[0], withKey(resolver.Endpoint{}, "key"), e[1], withWeight(resolver.Endpoint{}, 7), withKey(e[2], "key"), {}},
			[]maglev.Backend{{Name: a[0]}, {Name: a[1]}, {Name: "key"}},
			map[string]string{a[0]: a[0], a[1]: a[1], "key": a[2]},
		},
	} {
		t.Run(name, func(t *testing.T) {
			want := tablePlacement(t, 23, 23, c.want, c.addrs)
			shuffled := slices.Clone(c.endpoints)
			client := dial(t, `{"tableSize":23}`, shuffled)
			for range 200 {
				require.Equal(t, want, placement(t, client, 23))
				rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				client.set(slices.Clone(shuffled))
			}
			for range 5 {
				rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				require.Equal(t, want, placement(t, dial(t, `{"tableSize":23}`, shuffled), 23))
			}
		})
	}
}

// A resolver that gives another service config changes the table's size, or the header, at
// once, and no connection is lost by it. One that cannot be used leaves the last.
func TestConfigChangesKeepConnections(t *testing.T) {
	fleet := servers(t, 5)
	names := addrs(fleet)
	c := dial(t, byUser, endpoints(names...))
	configure := func(config string) error {
		sc := c.resolver.CC().ParseServiceConfig(`{"loadBalancingConfig":[` + config + `]}`)
		c.resolver.UpdateState(resolver.State{Endpoints: endpoints(names...), ServiceConfig: sc})
		return sc.Err
	}
	all := keys(t, 200, names...)
	settle(t, c, all, home)
	backends := make([]maglev.Backend, len(names))
	addrs := make(map[string]string)
	for i, name := range names {
		backends[i].Name = name
		addrs[name] = name
	}
	for _, size := range []int{7, 53, 251, 65537, 5003, 2} {
		require.NoError(t, configure(fmt.Sprintf(`{"maglev":{"tableSize":%d}}`, size)))
		require.Equal(t, tablePlacement(t, 300, size, backends, addrs), placement(t, c, 300), "of %d slots", size)
	}

	require.NoError(t, configure(`{"maglev":{"requestHashHeader":"x-tenant"}}`))
	byTenant := func() {
		t.Helper()
		for i, k := range all {
			ctx := all[(i+1)%len(all)].in(short(t)) // x-user counts no more
			got, err := c.call(addHeader(ctx, "x-tenant", k.name))
			require.NoError(t, err)
			require.Equal(t, home(&k), got)
		}
	}
	byTenant()
	require.ErrorContains(t, configure(`{"maglev":{"tableSize":12}}`), "tableSize 12")
	byTenant()
	for _, s := range fleet {
		require.Equal(t, 1, s.conns(), "connections to %s", s.addr)
		require.Equal(t, 1, s.openConns())
	}
}

// A client that has not been used for a while closes its connections, and takes up where
// it was when it is used again.
func TestIdleClient(t *testing.T) {
	fleet := servers(t, 5)
	names := addrs(fleet)
	c := dial(t, byUser, endpoints(names...), grpc.WithIdleTimeout(100*time.Millisecond))
	all := keys(t, 50, names...)
	for range 3 {
		for i := range all {
			got, err := c.callKey(short(t), &all[i])
			require.NoError(t, err)
			require.Equal(t, home(&all[i]), got)
		}
		require.Eventually(t, func() bool {
			return c.GetState() == connectivity.Idle &&
				!slices.ContainsFunc(fleet, func(s *server) bool { return s.openConns() > 0 })
		}, 20*time.Second, 10*time.Millisecond)
	}
}

// What a resolver has put into attributes for its own use may be of any type, also one
// that cannot be compared.
func TestAttributesThatCannotBeCompared(t *testing.T) {
	type tagsKey struct{}
	tags := func() *attributes.Attributes { return attributes.New(tagsKey{}, []string{"a", "b"}) }
	one := serve(t, "127.0.0.1:0")
	for name, state := range map[string]func() resolver.State{
		"of the state": func() resolver.State {
			return resolver.State{Endpoints: endpoints(one.addr), Attributes: tags()}
		},
		"of an endpoint": func() resolver.State {
			return resolver.State{Endpoints: []resolver.Endpoint{{Addresses: []resolver.Address{{Addr: one.addr}}, Attributes: tags()}}}
		},
		"of an address": func() resolver.State {
			return resolver.State{Endpoints: []resolver.Endpoint{{Addresses: []resolver.Address{{Addr: one.addr, BalancerAttributes: tags()}}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, byUser, nil)
			c.Connect()
			for range 3 {
				c.resolver.UpdateState(state())
				got, err := c.callKey(short(t), &key{name: "user-42"})
				require.NoError(t, err)
				require.Equal(t, one.addr, got)
			}
			require.Equal(t, 1, one.openConns())
			require.NoError(t, c.Close())
			require.Eventually(t, func() bool { return one.openConns() == 0 }, 10*time.Second, time.Millisecond)
		})
	}
}

// An address may be empty, if the dialer knows where to.
func TestAnEmptyAddress(t *testing.T) {
	all := addrs(servers(t, 2))
	c := dial(t, `{}`, endpoints("", all[1]), grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", cmp.Or(addr, all[0]))
	}))
	share := make(map[string]int)
	random := rand.New(rand.NewPCG(1, 2)) // hashes in a row may be slots of one backend
	for range 200 {
		addr, err := c.call(grpcbalancer.WithHash(short(t), random.Uint64()))
		require.NoError(t, err)
		share[addr]++
	}
	require.Len(t, share, 2)
	require.InDelta(t, 100, share[all[0]], 50)
}
