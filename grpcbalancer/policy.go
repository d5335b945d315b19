package grpcbalancer

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/attributes"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/balancer/pickfirst"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/serviceconfig"

	"github.com/maglev-lb/maglev"
)

// A builder makes the policies of one name. It is used by its address: gRPC compares
// builders, when a priority of xDS is taken up again, and a func cannot be compared.
type builder struct {
	name  string
	parse func(json.RawMessage) (*Config, error)
}

func (b *builder) Name() string { return b.name }

func (*builder) Build(cc balancer.ClientConn, opts balancer.BuildOptions) balancer.Balancer {
	if opts.CustomUserAgent == collecting {
		return &collector{cc: cc}
	}
	p := &policy{
		cc:       cc,
		opts:     opts,
		metrics:  newMetrics(cc, opts.Target.String()),
		children: make(map[string]*child),
	}
	p.bound.wake = p.wake
	living.add(p)
	return p
}

// ParseConfig implements [balancer.ConfigParser].
func (b *builder) ParseConfig(raw json.RawMessage) (serviceconfig.LoadBalancingConfig, error) {
	config, err := b.parse(raw)
	if err != nil {
		return nil, err // not a *Config that is nil
	}
	return config, nil
}

// A policy is the policy of one ClientConn. gRPC calls its methods one at a time;
// children report their states whenever they change.
type policy struct {
	cc      balancer.ClientConn
	opts    balancer.BuildOptions
	metrics *metrics

	mu       sync.Mutex
	children map[string]*child // by the identity of their endpoints
	set      *set              // nil as long as there are no endpoints
	counts   counts            // of the states of children
	updating bool              // children's changes are published at the end
	closed   bool
	wanted   bool  // that one connects as soon as there is one
	err      error // why there are no endpoints
	config   *Config

	bound bound

	attributes *attributes.Attributes // of the resolver's last state; UpdateClientConnState has them to itself
}

// UpdateClientConnState takes a set of endpoints over from the resolver.
func (p *policy) UpdateClientConnState(state balancer.ClientConnState) error {
	config, ok := state.BalancerConfig.(*Config)
	if !ok {
		return errConfig(state.BalancerConfig)
	}
	state.ResolverState = pickfirst.EnableHealthListener(state.ResolverState)
	rows := config.rowsOf(state.ResolverState.Endpoints)
	if left := len(state.ResolverState.Endpoints) - len(rows); left > 0 && logger.V(2) {
		logger.Infof("%d of %d endpoints have no addresses, or are others' duplicates", left, len(state.ResolverState.Endpoints))
	}
	if len(rows) == 0 {
		p.empty(errNoEndpoints)
		return balancer.ErrBadResolverState
	}
	backends := make([]maglev.Backend, len(rows))
	for i := range rows {
		backends[i] = rows[i].Backend
	}
	table, took, err := tables.get(backends, config)
	if took > 0 {
		p.metrics.built(took)
	}
	if err != nil {
		return fmt.Errorf("grpcbalancer: building the table: %w", err) // the last good set stays
	}

	p.mu.Lock()
	p.updating = true
	old := p.children
	p.mu.Unlock()
	same := comparing(func() bool { return p.attributes.Equal(state.ResolverState.Attributes) })
	p.attributes = state.ResolverState.Attributes
	children := make(map[string]*child, len(rows))
	next := &set{
		table:    table,
		children: make([]*child, len(rows)),
		standing: make([]atomic.Pointer[standing], len(rows)),
		states:   make(states, len(rows)),
		hasher:   newHasher(config),
		factor:   config.HashBalanceFactor,
		metrics:  p.metrics,
		bound:    &p.bound,
	}
	for i := range rows {
		c := old[rows[i].addresses]
		if c == nil {
			c = newChild(p)
		}
		children[rows[i].addresses], next.children[i] = c, c
		if e := c.update(rows[i].endpoint, state, same); e != nil && err == nil {
			err = e
		}
	}

	var gone []*child
	p.mu.Lock()
	for id, c := range old {
		if children[id] == nil {
			c.removed = true
			gone = append(gone, c)
		}
	}
	p.children, p.set, p.err, p.config = children, next, nil, config
	p.recount(rows)
	p.updating = false
	if p.wanted {
		p.wanted = false
		p.connectOne()
	}
	p.publish()
	p.mu.Unlock()
	for _, c := range gone {
		c.close()
	}
	return err
}

func errConfig(c serviceconfig.LoadBalancingConfig) error {
	return fmt.Errorf("grpcbalancer: the config is a %T; it must be what ParseConfig has returned", c)
}

var errNoEndpoints = errors.New("the resolver has returned no endpoints with addresses")

// recount counts the states of the children anew. policy.mu is held.
func (p *policy) recount(rows []row) {
	var now counts
	usable := int64(0)
	for i, c := range p.set.children {
		c.index, c.weight, c.endpoint = i, rows[i].Weight, rows[i].endpoint
		s := c.state()
		p.set.standing[i].Store(c.current)
		p.set.states.put(i, s)
		now[s]++
		usable += c.usable(s)
	}
	p.set.usable.Store(usable)
	p.setCounts(now)
}

// setCounts takes over how many children are in which state. policy.mu is held.
func (p *policy) setCounts(now counts) {
	for s, n := range now {
		p.metrics.endpoints(connectivity.State(s), n-p.counts[s])
	}
	p.counts = now
}

// empty makes the set one without endpoints.
func (p *policy) empty(err error) {
	p.mu.Lock()
	old := p.children
	p.children, p.set, p.err = make(map[string]*child), nil, err
	p.setCounts(counts{})
	for _, c := range old {
		c.removed = true
	}
	p.publish()
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// ResolverError reports an error of the resolver. It matters only as long as there are
// no endpoints.
func (p *policy) ResolverError(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set != nil {
		logger.Warningf("the last endpoints stay: %v", err)
		return
	}
	p.err = err
	p.publish()
}

// UpdateSubConnState implements [balancer.Balancer]. gRPC does not call it: the
// children's connections have listeners.
func (p *policy) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}

// Close implements [balancer.Balancer].
func (p *policy) Close() {
	living.remove(p)
	p.mu.Lock()
	p.closed = true
	p.setCounts(counts{})
	old := p.children
	p.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// ExitIdle has one endpoint connected, unless one is or is about to be: gRPC calls it
// on ClientConn.Connect (gRFC A117).
func (p *policy) ExitIdle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.set == nil:
		p.wanted = true
	case p.counts[connectivity.Ready] == 0:
		p.connectOne()
	}
}

// connectOne has the first IDLE child connect, unless one is CONNECTING. It is the same
// one until it has said that it does. policy.mu is held.
func (p *policy) connectOne() {
	if p.set == nil || p.counts[connectivity.Connecting] > 0 || p.counts[connectivity.Idle] == 0 {
		return
	}
	for _, c := range p.set.children {
		if c.state() == connectivity.Idle {
			c.connect()
			return
		}
	}
}

// childChanged takes over the new state of a child.
func (p *policy) childChanged(c *child, s balancer.State) {
	p.mu.Lock()
	defer p.mu.Unlock()
	old := c.current
	c.current = newStanding(s)
	if p.closed || c.removed || p.updating {
		return
	}
	now := p.counts
	now[old.ConnectivityState]--
	now[s.ConnectivityState]++
	p.setCounts(now)
	p.set.standing[c.index].Store(c.current)
	p.set.states.put(c.index, s.ConnectivityState)
	p.set.usable.Add(c.usable(s.ConnectivityState) - c.usable(old.ConnectivityState))
	p.publish()
}

// wake has calls that wait try again.
func (p *policy) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.updating { // or it comes at the end
		p.publish()
	}
}

// publish tells the ClientConn of the state of the whole, with a new picker each time,
// as only that wakes calls which are queued. policy.mu is held.
func (p *policy) publish() {
	if p.closed {
		return
	}
	if p.set == nil {
		p.cc.UpdateState(balancer.State{
			ConnectivityState: connectivity.TransientFailure,
			// Not a status error, nor one that wraps one: it would end calls that wait
			// for ready, too.
			Picker: base.NewErrPicker(fmt.Errorf("maglev: no endpoints: %v", p.err)),
		})
		return
	}
	state := p.counts.aggregate()
	if state == connectivity.Connecting || state == connectivity.TransientFailure {
		p.connectOne() // or nothing would: calls go where they can be sent, maybe to another policy
	}
	p.cc.UpdateState(balancer.State{ConnectivityState: state, Picker: &picker{set: p.set, counts: p.counts}})
}

// counts are how many children are in which connectivity state.
type counts [connectivity.Shutdown + 1]int

// aggregate returns the state of the whole, by the rules of gRFC A42 and A61.
func (n *counts) aggregate() connectivity.State {
	failing := n[connectivity.TransientFailure]
	switch {
	case n[connectivity.Ready] > 0:
		return connectivity.Ready
	case failing > 1:
		return connectivity.TransientFailure
	case n[connectivity.Connecting] > 0:
		return connectivity.Connecting
	case failing == 1 && n.total() > 1:
		return connectivity.Connecting
	case n[connectivity.Idle] > 0:
		return connectivity.Idle
	}
	return connectivity.TransientFailure
}

func (n *counts) total() (total int) {
	for _, of := range n {
		total += of
	}
	return total
}
