package grpcbalancer

import (
	"slices"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"

	"github.com/maglev-lb/maglev"
)

// A Snapshot is what a policy saw at a moment. It is a copy, which does not change, and
// may be read by many goroutines. As JSON it has the names in the tags.
type Snapshot struct {
	// Target is that of the ClientConn, as CanonicalTarget returns it.
	Target string `json:"target"`
	// State is the connectivity state of the whole.
	State string `json:"state"`
	// Error says why there are no endpoints, "" if there are.
	Error string `json:"error,omitempty"`
	// Config is the one in use, nil as long as there has been none.
	Config *Config `json:"config"`
	// Endpoints are those in the table, in the order of their keys.
	Endpoints []EndpointSnapshot `json:"endpoints"`

	table *maglev.Table
}

// An EndpointSnapshot is an endpoint in a [Snapshot].
type EndpointSnapshot struct {
	// Key is what is hashed of it: its hash key, or its first address.
	Key string `json:"key"`
	// Addresses are those it has, in the resolver's order.
	Addresses []string `json:"addresses"`
	// Weight is the one in the table. Those from xDS are what its fractions stand for.
	Weight uint32 `json:"weight"`
	// Slots is how many slots of the table it has.
	Slots int `json:"slots"`
	// State is its connectivity state, such as "READY".
	State string `json:"state"`
	// Error says why it is in TRANSIENT_FAILURE, "" if it is not.
	Error string `json:"error,omitempty"`
	// InFlight is how many calls are, if they are bounded.
	InFlight int64 `json:"in_flight"`
}

// Debug returns what the policies of a ClientConn see now. There is one, or with xDS one
// for each priority in use of each cluster that a route can take, and for a quarter of an
// hour those that have been left; none before the first call, or when the
// ClientConn is idle or closed, or has another policy. What other ClientConns to the
// same target see is among it. It is for people and for tests, not for each call: it
// copies everything.
func Debug(cc *grpc.ClientConn) []*Snapshot { return living.snapshots(cc.CanonicalTarget()) }

// Candidates returns the indexes of all endpoints in the order in which a call with this
// hash prefers them.
func (s *Snapshot) Candidates(hash uint64) []int {
	if s.table == nil {
		return nil
	}
	return slices.Collect(s.table.Candidates(hash))
}

// Where returns where calls with a key go that [WithKey] or a header has given: the first
// candidate that is not in TRANSIENT_FAILURE, or if all are, the first. It is the zero
// EndpointSnapshot if there are no endpoints. A bound on calls in flight may send some of them elsewhere.
func (s *Snapshot) Where(key string) EndpointSnapshot { return s.WhereHash(hashOf(key)) }

// WhereHash is [Snapshot.Where] of a hash, such as [WithHash] or an xDS route give.
func (s *Snapshot) WhereHash(hash uint64) EndpointSnapshot {
	candidates := s.Candidates(hash)
	for _, i := range candidates {
		if s.Endpoints[i].State != connectivity.TransientFailure.String() {
			return s.Endpoints[i]
		}
	}
	if len(candidates) == 0 {
		return EndpointSnapshot{}
	}
	return s.Endpoints[candidates[0]]
}

// snapshot returns what the policy sees.
func (p *policy) snapshot() *Snapshot {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &Snapshot{Target: p.opts.Target.String(), Config: p.config, Endpoints: []EndpointSnapshot{}}
	if p.set == nil {
		s.State = connectivity.TransientFailure.String()
		if p.err == nil { // nobody has said anything yet
			s.State = connectivity.Connecting.String()
		} else {
			s.Error = p.err.Error()
		}
		return s
	}
	s.State, s.table = p.counts.aggregate().String(), p.set.table
	for i, c := range p.set.children {
		s.Endpoints = append(s.Endpoints, c.snapshot(s.table, i))
	}
	return s
}

// snapshot returns what is known of the child, which is backend i of the table.
// policy.mu is held.
func (c *child) snapshot(table *maglev.Table, i int) EndpointSnapshot {
	backend, state := table.Backend(i), c.current
	s := EndpointSnapshot{
		Key:       backend.Name,
		Addresses: make([]string, len(c.endpoint.Addresses)),
		Weight:    backend.Weight,
		Slots:     table.Slots(i),
		State:     state.ConnectivityState.String(),
		InFlight:  c.inFlight.Load(),
	}
	for i, a := range c.endpoint.Addresses {
		s.Addresses[i] = a.Addr
	}
	if state.ConnectivityState == connectivity.TransientFailure {
		if _, err := state.Picker.Pick(balancer.PickInfo{}); err != nil { // it does nothing else
			s.Error = err.Error()
		}
	}
	return s
}

// living are the policies of this process, by target.
var living = registry{policies: make(map[string][]*policy)}

type registry struct {
	mu       sync.Mutex
	policies map[string][]*policy
}

func (r *registry) add(p *policy) {
	target := p.opts.Target.String()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.policies[target] = append(r.policies[target], p)
}

func (r *registry) remove(p *policy) {
	target := p.opts.Target.String()
	r.mu.Lock()
	defer r.mu.Unlock()
	left := slices.DeleteFunc(r.policies[target], func(q *policy) bool { return q == p })
	if r.policies[target] = left; len(left) == 0 {
		delete(r.policies, target)
	}
}

// snapshots returns what the policies of a target see, or with "" those of all.
func (r *registry) snapshots(target string) []*Snapshot {
	r.mu.Lock()
	var found []*policy
	for t, of := range r.policies {
		if target == "" || t == target {
			found = append(found, of...)
		}
	}
	r.mu.Unlock()
	all := make([]*Snapshot, len(found))
	for i, p := range found {
		all[i] = p.snapshot() // without r.mu: p.mu may be waited for
	}
	slices.SortStableFunc(all, func(x, y *Snapshot) int { return strings.Compare(x.Target, y.Target) })
	return all
}
