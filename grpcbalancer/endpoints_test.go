package grpcbalancer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	ringhashpolicy "google.golang.org/grpc/balancer/ringhash"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/balancer/hostname"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/ringhash"
	"google.golang.org/grpc/serviceconfig"

	"github.com/maglev-lb/maglev"
)

func endpoint(key string, w uint32, addrs ...string) resolver.Endpoint {
	var e resolver.Endpoint
	for _, a := range addrs {
		e.Addresses = append(e.Addresses, resolver.Address{Addr: a})
	}
	if key != "" {
		e = ringhash.SetHashKey(e, key)
	}
	if w > 0 {
		e = weight.Set(e, weight.EndpointInfo{Weight: w})
	}
	return e
}

func backendsOf(rows []row) (all []maglev.Backend) {
	for _, r := range rows {
		all = append(all, r.Backend)
	}
	return all
}

func TestRowsDoNotDependOnOrder(t *testing.T) {
	for name, c := range map[string]struct {
		endpoints []resolver.Endpoint
		want      []maglev.Backend
	}{
		"no addresses": {
			[]resolver.Endpoint{endpoint("", 0), endpoint("key", 5), endpoint("", 0, "b", "a")},
			[]maglev.Backend{{Name: "b", Weight: 1}},
		},
		"empty addresses": {
			[]resolver.Endpoint{endpoint("", 2, ""), endpoint("", 3, ""), endpoint("key", 1, "", "a")},
			[]maglev.Backend{{Name: " ", Weight: 5}, {Name: "key", Weight: 1}},
		},
		"the same addresses": {
			[]resolver.Endpoint{endpoint("", 3, "a"), endpoint("", 4, "a"), endpoint("", 0, "b"), endpoint("", 1<<32-1, "c"), endpoint("", 9, "c")},
			[]maglev.Backend{{Name: "a", Weight: 7}, {Name: "b", Weight: 1}, {Name: "c", Weight: 1<<32 - 1}},
		},
		"the same addresses in another order": {
			[]resolver.Endpoint{endpoint("", 3, "a", "b"), endpoint("", 4, "b", "a")},
			[]maglev.Backend{{Name: "a", Weight: 7}},
		},
		"the same key": {
			[]resolver.Endpoint{endpoint("k", 1, "c"), endpoint("k", 2, "b", "d"), endpoint("", 3, "k")},
			[]maglev.Backend{{Name: "k", Weight: 2}, {Name: "k c ", Weight: 1}, {Name: "k k ", Weight: 3}},
		},
		"the same first address": {
			[]resolver.Endpoint{endpoint("", 1, "a", "c"), endpoint("", 2, "a", "b"), endpoint("", 3, "a")},
			[]maglev.Backend{{Name: "a", Weight: 3}, {Name: "a a b ", Weight: 2}, {Name: "a a c ", Weight: 1}},
		},
		"a key that looks like that": {
			[]resolver.Endpoint{endpoint("", 1, "a", "c"), endpoint("", 2, "a"), endpoint("a a c ", 3, "b")},
			[]maglev.Backend{{Name: "a", Weight: 2}, {Name: "a a c ", Weight: 1}, {Name: "a a c  b ", Weight: 3}},
		},
		"fractions of xDS": {
			[]resolver.Endpoint{endpoint("", 357913941, "a"), endpoint("", 715827882, "b"), endpoint("", 1073741824, "c")},
			[]maglev.Backend{{Name: "a", Weight: 1}, {Name: "b", Weight: 2}, {Name: "c", Weight: 3}},
		},
		"equal fractions": {
			[]resolver.Endpoint{endpoint("", 715827882, "a"), endpoint("", 715827882, "b"), endpoint("", 715827883, "c")},
			[]maglev.Backend{{Name: "a", Weight: 1}, {Name: "b", Weight: 1}, {Name: "c", Weight: 1}},
		},
		"fractions of fractions": { // 2, 5, 4, 3 | 3 | 3, 5, 2, in localities of 1, 1, 6: in 560ths
			[]resolver.Endpoint{endpoint("", 38347922, "a"), endpoint("", 95869805, "b"), endpoint("", 76695844, "c"), endpoint("", 57521883, "d"),
				endpoint("", 268435456, "e"), endpoint("", 483183820, "f"), endpoint("", 805306368, "g"), endpoint("", 322122546, "h")},
			[]maglev.Backend{{Name: "a", Weight: 10}, {Name: "b", Weight: 25}, {Name: "c", Weight: 20}, {Name: "d", Weight: 15},
				{Name: "e", Weight: 70}, {Name: "f", Weight: 126}, {Name: "g", Weight: 210}, {Name: "h", Weight: 84}},
		},
		"fractions of thousands": { // of 10000, 9999 and 1
			[]resolver.Endpoint{endpoint("", 1073741824, "a"), endpoint("", 1073634449, "b"), endpoint("", 107374, "c")},
			[]maglev.Backend{{Name: "a", Weight: 10000}, {Name: "b", Weight: 9999}, {Name: "c", Weight: 1}},
		},
		"fractions of nothing small": {
			[]resolver.Endpoint{endpoint("", 1<<31, "a"), endpoint("", 123456789, "b"), endpoint("", 1, "c")},
			[]maglev.Backend{{Name: "a", Weight: 1 << 31}, {Name: "b", Weight: 123456789}, {Name: "c", Weight: 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 20 {
				shuffled := slices.Clone(c.endpoints)
				rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				got := backendsOf(new(Config).rowsOf(shuffled))
				require.Equal(t, c.want, got)
			}
		})
	}
}

// However many endpoints share the weights of xDS, they become what they were.
func TestFractionsOfManyEndpoints(t *testing.T) {
	for _, n := range []int{1, 2, 100, 3000, 30000} {
		sum := uint64(0)
		for i := range n {
			sum += uint64(i%3 + 1)
		}
		all := make([]resolver.Endpoint, n)
		for i := range all {
			all[i] = endpoint("", uint32(uint64(i%3+1)<<31/sum), fmt.Sprintf("%05d", i))
		}
		for i, row := range new(Config).rowsOf(all) {
			require.EqualValues(t, i%3+1, row.Weight, "%d of %d", i, n)
		}
	}
}

func TestTablesAreShared(t *testing.T) {
	backends := backendsOf(new(Config).rowsOf([]resolver.Endpoint{endpoint("", 2, "a"), endpoint("", 4, "b")}))
	one, _, err := tables.get(backends, &Config{TableSize: 251})
	require.NoError(t, err)
	other, _, err := tables.get(slices.Clone(backends), &Config{TableSize: 251})
	require.NoError(t, err)
	require.Same(t, one, other)
	larger, _, err := tables.get(backends, &Config{TableSize: 257})
	require.NoError(t, err)
	require.NotSame(t, one, larger)
	other, _, err = tables.get(backends, &Config{TableSize: 251, Dialect: Cilium})
	require.NoError(t, err)
	require.NotSame(t, one, other)
	backends[0].Weight++
	changed, _, err := tables.get(backends, &Config{TableSize: 251})
	require.NoError(t, err)
	require.NotSame(t, one, changed)
}

// By what an endpoint is known: its hash key, its hostname if that is wanted, its address
// as the dialect writes it.
func TestWhatAnEndpointIsKnownBy(t *testing.T) {
	plain := endpoint("", 0, "10.0.0.1:80", "[::1]:80")
	named := hostname.Set(plain, "cache.example")
	for name, c := range map[string]struct {
		config   Config
		endpoint resolver.Endpoint
		want     string
	}{
		"address":                {Config{}, plain, "10.0.0.1:80"},
		"hostname not wanted":    {Config{}, named, "10.0.0.1:80"},
		"hostname":               {Config{UseHostnameForHashing: true}, named, "cache.example"},
		"no hostname":            {Config{UseHostnameForHashing: true}, plain, "10.0.0.1:80"},
		"key":                    {Config{UseHostnameForHashing: true}, ringhash.SetHashKey(named, "k"), "k"},
		"Cilium":                 {Config{Dialect: Cilium}, plain, "[10.0.0.1:80/TCP,State:active]"},
		"Cilium, key":            {Config{Dialect: Cilium}, ringhash.SetHashKey(plain, "k"), "k"},
		"Cilium, no address":     {Config{Dialect: Cilium}, endpoint("", 0, "cache:80"), "cache:80"},
		"Cilium, without a port": {Config{Dialect: Cilium}, endpoint("", 0, "10.0.0.1"), "10.0.0.1"},
	} {
		require.Equal(t, c.want, c.config.keyOf(c.endpoint), name)
	}
}

// What gRPC keeps to itself is found, or calls with xDS would have no hash.
func TestRouteKey(t *testing.T) {
	key, err := routeKey()
	require.NoError(t, err)
	require.NotNil(t, key)
}

// A ring_hash that does otherwise, a later one or another that has taken its name, leaves
// an error and does not end the process.
func TestRouteKeyOfAnotherRingHash(t *testing.T) {
	for want, build := range map[string]func(cc balancer.ClientConn) balancer.Balancer{
		"ring_hash panics: ": func(cc balancer.ClientConn) balancer.Balancer {
			cc.MetricsRecorder()
			return nil
		},
		"ring_hash has no picker: ": func(balancer.ClientConn) balancer.Balancer { return &pickedBy{} },
		"ring_hash does not ask for the hash of the route": func(cc balancer.ClientConn) balancer.Balancer {
			return &pickedBy{cc: cc, err: balancer.ErrNoSubConnAvailable}
		},
	} {
		key, err := findRouteKey(anotherRingHash{balancer.Get(ringhashpolicy.Name), build})
		require.ErrorContains(t, err, want)
		require.Nil(t, key)
	}
	_, err := findRouteKey(nil)
	require.Error(t, err)
}

// anotherRingHash has the configs of ring_hash.
type anotherRingHash struct {
	balancer.Builder
	build func(cc balancer.ClientConn) balancer.Balancer
}

func (a anotherRingHash) ParseConfig(raw json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	return a.Builder.(balancer.ConfigParser).ParseConfig(raw)
}

func (a anotherRingHash) Build(cc balancer.ClientConn, _ balancer.BuildOptions) balancer.Balancer {
	return a.build(cc)
}

// pickedBy is a policy whose picker returns an error. Without a ClientConn it has none.
type pickedBy struct {
	balancer.Balancer
	cc  balancer.ClientConn
	err error
}

func (p *pickedBy) UpdateClientConnState(balancer.ClientConnState) error {
	if p.cc != nil {
		p.cc.UpdateState(balancer.State{ConnectivityState: connectivity.Connecting, Picker: base.NewErrPicker(p.err)})
	}
	return nil
}

func (*pickedBy) Close() {}
