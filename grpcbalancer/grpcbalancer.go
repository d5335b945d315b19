// Package grpcbalancer is a gRPC load-balancing policy, "maglev": calls with the same
// key go to the same backend, on every client, and where an Envoy with
// lb_policy MAGLEV would send them.
//
// Import it for its side effect and name it in the service config:
//
//	import _ "github.com/maglev-lb/maglev/grpcbalancer"
//
//	cc, err := grpc.NewClient("dns:///cache.example:443",
//		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"maglev":{"requestHashHeader":"x-user"}}]}`), …)
//
// # What is hashed
//
// Of a call, the first of these that there is:
//
//  1. what [WithHash] or [WithKey] has put into its context;
//  2. the header that the config names, see [Config.RequestHashHeader];
//  3. the hash that the route of an xDS control plane gives it.
//
// If the config names a header and the call has none of these, a backend is taken
// at random. If it names none, the call fails: so it is with ring_hash (gRFC A76).
//
// Of an endpoint, what is hashed is its hash key (package resolver/ringhash), and
// without one its first address. Its weight is that of the attribute of package
// experimental/balancer/weight, 1 without one.
//
// # What the policy does
//
// It follows ring_hash (gRFC A42, A61 and A76) with the candidates of a Maglev table
// in the place of a walk along a ring. Nothing is connected before a call needs it.
// Endpoints in TRANSIENT_FAILURE are passed over: exactly their keys move, spread
// evenly over the others, and they come back.
//
// # Several values of a header
//
// gRPC and Envoy differ: ring_hash joins them by commas and hashes that, an Envoy sorts
// them and hashes one after the other. Joining is the default; [ChainValues] is for
// fleets with Envoys. A header that comes once has one hash by either rule.
//
// # Resolvers
//
// Any resolver will do. Those of this package give backends weights, hash keys and
// names: from the target ([StaticScheme]), a file that is watched ([FileScheme]), or the
// program ([NewResolver]). [FromResolver] has an HTTP client use a resolver of gRPC.
//
// # Watching it
//
// [Debug] and [DebugHandler] say what a policy sees and where a key goes. Its metrics,
// maglev.endpoints, maglev.picks_passed_over, maglev.picks_overflowed,
// maglev.picks_without_hash and maglev.table_build_duration, are off unless a stats
// plugin is told to collect them (gRFC A79). It logs as the component maglev of grpclog.
//
// # Experimental
//
// gRPC calls the API for policies experimental: this package needs grpc 1.85, and
// a later one may ask for a new version of it.
package grpcbalancer

import (
	"context"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/grpclog"
)

// Name is the name of the policy in service configs.
const Name = "maglev"

func init() {
	balancer.Register(&builder{Name, parseConfig})
	balancer.Register(&builder{EnvoyName, parseEnvoyConfig})
}

var logger = grpclog.Component("maglev")

// A choice is what WithKey or WithHash have put into a context.
type choice struct{ hash uint64 }

var (
	// choiceKey is a pointer, which contexts compare faster than structs.
	choiceKey any = new(choice)
	// chosen is whether there has been a choice: a walk up a context costs as much as
	// the rest of a pick.
	chosen atomic.Bool
)

// WithHash returns a context whose calls have this hash, whatever the config says.
func WithHash(ctx context.Context, hash uint64) context.Context {
	if !chosen.Load() {
		chosen.Store(true)
	}
	return context.WithValue(ctx, choiceKey, &choice{hash})
}

// WithKey returns a context whose calls have this key, whatever the config says: the
// hash is XXH64 of it, as it is of a header with this value.
func WithKey(ctx context.Context, key string) context.Context {
	return WithHash(ctx, hashOf(key))
}
