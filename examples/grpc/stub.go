package main

import (
	"context"
	"errors"
	"sync"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// A stub is what a policy takes for a ClientConn: its connections are READY soon after
// they are asked to be, and lead nowhere. It is there for many picks in little time: as
// many calls would take half a minute.
type stub struct {
	balancer.ClientConn
	policy balancer.Balancer

	mu     sync.Mutex
	picker balancer.Picker
	newer  chan struct{} // closed when there is a newer picker
}

// newStub returns a stub with a policy that has been told of servers.
func newStub(p policy, servers int) (*stub, error) {
	s := &stub{newer: make(chan struct{})}
	builder := balancer.Get(p.name)
	config, err := builder.(balancer.ConfigParser).ParseConfig([]byte(p.config))
	if err != nil {
		return nil, err
	}
	endpoints := make([]resolver.Endpoint, servers)
	for i := range endpoints {
		endpoints[i].Addresses = []resolver.Address{{Addr: host(i)}}
	}
	s.policy = builder.Build(s, balancer.BuildOptions{})
	err = s.policy.UpdateClientConnState(balancer.ClientConnState{
		ResolverState:  resolver.State{Endpoints: endpoints},
		BalancerConfig: config,
	})
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stub) close() { s.policy.Close() }

// pick returns the host that is picked for a call with this context.
func (s *stub) pick(ctx context.Context) (string, error) {
	for {
		s.mu.Lock()
		picker, newer := s.picker, s.newer
		s.mu.Unlock()
		if picker != nil {
			result, err := picker.Pick(balancer.PickInfo{FullMethodName: getMethod, Ctx: ctx})
			if err == nil {
				return result.SubConn.(*stubConn).host, nil
			}
			if !errors.Is(err, balancer.ErrNoSubConnAvailable) {
				return "", err
			}
		}
		select { // as a call does
		case <-newer:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// UpdateState implements [balancer.ClientConn].
func (s *stub) UpdateState(state balancer.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.picker = state.Picker
	close(s.newer)
	s.newer = make(chan struct{})
}

// NewSubConn implements [balancer.ClientConn].
func (s *stub) NewSubConn(addrs []resolver.Address, opts balancer.NewSubConnOptions) (balancer.SubConn, error) {
	return &stubConn{host: addrs[0].Addr, listen: opts.StateListener}, nil
}

// ResolveNow implements [balancer.ClientConn].
func (*stub) ResolveNow(resolver.ResolveNowOptions) {}

// Target implements [balancer.ClientConn].
func (*stub) Target() string { return "stub" }

// A stubConn is a connection of a stub.
type stubConn struct {
	balancer.SubConn
	host   string
	listen func(balancer.SubConnState)
}

// Connect implements [balancer.SubConn].
func (c *stubConn) Connect() {
	go func() { // not while the policy is calling
		c.listen(balancer.SubConnState{ConnectivityState: connectivity.Connecting})
		c.listen(balancer.SubConnState{ConnectivityState: connectivity.Ready})
	}()
}

// RegisterHealthListener implements [balancer.SubConn].
func (c *stubConn) RegisterHealthListener(listen func(balancer.SubConnState)) {
	go listen(balancer.SubConnState{ConnectivityState: connectivity.Ready})
}

// Shutdown implements [balancer.SubConn].
func (*stubConn) Shutdown() {}
