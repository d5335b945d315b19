package grpcbalancer

import (
	"slices"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/lazy"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/resolver"
)

// A child is an endpoint of the set: a pick_first of its addresses, which begins to
// connect when it is asked to. It is the ClientConn of that.
//
// pick_first calls UpdateState with a lock of its own held. So whoever holds policy.mu
// must not call it, nor wait for who does.
type child struct {
	balancer.ClientConn
	policy *policy

	inFlight atomic.Int64 // calls, if they are bounded

	// Guarded by policy.mu.
	current  *standing
	index    int // in the set
	weight   uint32
	endpoint resolver.Endpoint
	removed  bool

	// mu makes calls of lb one at a time, and the last of them Close. What is below is
	// guarded by it.
	mu     sync.Mutex
	lb     balancer.Balancer
	told   resolver.Endpoint // what lb knows
	closed bool
}

// A standing is what a child has said last. It is not changed.
type standing struct {
	balancer.State
	same   balancer.PickResult // what the picker answers
	always bool                // to each call
}

// newStanding returns what a state means for picks. The picker of a pick_first that is
// READY has the same answer for each call, its connection; so it is asked once.
func newStanding(s balancer.State) *standing {
	c := &standing{State: s}
	if s.ConnectivityState == connectivity.Ready {
		if same, err := s.Picker.Pick(balancer.PickInfo{}); err == nil && same.Done == nil && same.Metadata == nil {
			c.same, c.always = same, true
		}
	}
	return c
}

func (c *standing) pick(info balancer.PickInfo) (balancer.PickResult, error) {
	if c.always {
		return c.same, nil
	}
	return c.Picker.Pick(info)
}

// newChild returns a child that is IDLE and has not been told of its endpoint.
func newChild(p *policy) *child {
	c := &child{ClientConn: p.cc, policy: p}
	c.lb = lazy.NewBalancer(c, p.opts, balancer.Get(pickfirst.Name).Build)
	return c
}

// UpdateState is called by the pick_first.
func (c *child) UpdateState(s balancer.State) {
	if s.ConnectivityState == connectivity.Idle {
		s.Picker = &idlePicker{child: c}
	}
	c.policy.childChanged(c, s)
}

// An idlePicker has its child connect, and the call wait for that. It is there in place of
// those of lazy and pick_first, which do not know when the child has been closed.
type idlePicker struct {
	child *child
	asked atomic.Bool
}

func (p *idlePicker) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	if !p.asked.Swap(true) {
		p.child.connect()
	}
	return balancer.PickResult{}, balancer.ErrNoSubConnAvailable
}

// state is called with policy.mu held.
func (c *child) state() connectivity.State { return c.current.ConnectivityState }

// usable returns the weight that the child takes calls with in a state. policy.mu is held.
func (c *child) usable(s connectivity.State) int64 {
	if s == connectivity.TransientFailure {
		return 0
	}
	return int64(c.weight)
}

// update tells the pick_first of its endpoint. The state is that of the policy, which
// has attributes for all; same says that they are those of last time.
//
// A pick_first is not told again what it knows. While it connects it would begin anew
// with its first address, and if that hangs never come to the next one, as long as
// updates keep coming. Otherwise it makes nothing of it, at a cost that counts when
// they are thousands.
func (c *child) update(e resolver.Endpoint, state balancer.ClientConnState, same bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || same && equal(c.told, e) {
		return nil
	}
	c.told = e
	return c.lb.UpdateClientConnState(balancer.ClientConnState{
		ResolverState: resolver.State{Endpoints: []resolver.Endpoint{e}, Attributes: state.ResolverState.Attributes},
	})
}

// equal returns whether two endpoints are the same, false if that cannot be told.
func equal(x, y resolver.Endpoint) bool {
	return comparing(func() bool {
		return slices.EqualFunc(x.Addresses, y.Addresses, resolver.Address.Equal) && x.Attributes.Equal(y.Attributes)
	})
}

// comparing returns what equal does, and false if that panics: a resolver may have put
// what cannot be compared, such as a slice, into an attribute that only its own code reads.
func comparing(equal func() bool) (same bool) {
	defer func() {
		if recover() != nil {
			same = false
		}
	}()
	return equal()
}

// connect has the pick_first connect if it is IDLE, soon.
func (c *child) connect() {
	go func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.closed {
			c.lb.ExitIdle()
		}
	}()
}

func (c *child) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.lb.Close()
	}
}
