package grpcbalancer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/ringhash"
	"google.golang.org/grpc/resolver"
)

// routeKey is the key under which gRPC's xDS resolver puts the hash of a call's route
// into its context, or why it is not known.
//
// The key is of a type that is internal to gRPC. So its ring_hash is asked: it looks for
// that value in the context of a pick before it does anything else. A later gRPC may
// do otherwise; TestRouteKey then fails, and calls that need the key say so.
var routeKey = sync.OnceValues(func() (any, error) { return findRouteKey(balancer.Get(ringhash.Name)) })

// errNoHash is the error of a call without a hash.
func errNoHash() error {
	if _, err := routeKey(); err != nil {
		return unavailable("the call has no hash, and that of an xDS route cannot be read with this version of gRPC (%v); set requestHashHeader, or use WithHash or WithKey", err)
	}
	return unavailable("the call has no hash: set requestHashHeader in the config, use WithHash or WithKey, or have the xDS route give it one by its hash_policy")
}

func findRouteKey(build balancer.Builder) (key any, err error) {
	defer func() {
		if r := recover(); r != nil { // it may ask the stub for what that does not have
			key, err = nil, fmt.Errorf("ring_hash panics: %v", r)
		}
	}()
	parser, ok := build.(balancer.ConfigParser)
	if !ok {
		return nil, errors.New("ring_hash has no ConfigParser")
	}
	config, err := parser.ParseConfig([]byte("{}"))
	if err != nil {
		return nil, fmt.Errorf("ring_hash refuses an empty config: %w", err)
	}
	var cc stubClientConn
	ring := build.Build(&cc, balancer.BuildOptions{})
	defer ring.Close()
	err = ring.UpdateClientConnState(balancer.ClientConnState{
		ResolverState:  resolver.State{Endpoints: []resolver.Endpoint{{Addresses: []resolver.Address{{Addr: "stub"}}}}},
		BalancerConfig: config,
	})
	if err != nil || cc.picker == nil {
		return nil, fmt.Errorf("ring_hash has no picker: %v", err)
	}
	asked := &askedContext{Context: context.Background()}
	// Without a hash it picks nobody, and connects nobody.
	if _, err := cc.picker.Pick(balancer.PickInfo{Ctx: asked}); err == nil || asked.key == nil {
		return nil, errors.New("ring_hash does not ask for the hash of the route")
	}
	if path := reflect.TypeOf(asked.key).PkgPath(); !strings.HasPrefix(path, "google.golang.org/grpc/internal/") {
		return nil, fmt.Errorf("ring_hash asks for a key of package %q first", path)
	}
	return asked.key, nil
}

// An askedContext remembers the first key that it is asked for.
type askedContext struct {
	context.Context
	key any
}

func (c *askedContext) Value(key any) any {
	if c.key == nil {
		c.key = key
	}
	return nil
}

// A stubClientConn remembers the last picker. Nothing is connected.
type stubClientConn struct {
	balancer.ClientConn
	picker balancer.Picker
}

func (c *stubClientConn) UpdateState(s balancer.State)        { c.picker = s.Picker }
func (*stubClientConn) ResolveNow(resolver.ResolveNowOptions) {}
func (*stubClientConn) Target() string                        { return "stub" }
func (*stubClientConn) RemoveSubConn(balancer.SubConn)        {}
