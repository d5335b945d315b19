package grpcbalancer

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/connectivity"
	estats "google.golang.org/grpc/experimental/stats"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"
)

// gRPC's xDS resolver has no endpoints in its state. It has a service config whose policies
// find them: that of a cluster has children for its priorities, those have others, and
// the last of them is this package's, which is given the endpoints.
//
// So a tree of these policies is built that connects nobody: at its end there is a
// collector in place of a policy, and what it has been given comes up the tree as the
// error of its picker. That way it is the policies above it that choose among
// several collectors, as they would for calls.

// collecting is the user agent of trees that have collectors. It passes down unchanged, and
// nobody else has it.
var collecting = "maglev-collector-" + crand.Text()

// A collector is a policy that has been given endpoints, and does nothing with them.
type collector struct {
	cc    balancer.ClientConn
	given bool
}

// collected is the error of a collector's picker.
type collected struct{ rows []row }

func (*collected) Error() string { return "the endpoints are not for calls" }

func (c *collector) UpdateClientConnState(s balancer.ClientConnState) error {
	config, ok := s.BalancerConfig.(*Config)
	if !ok {
		return errConfig(s.BalancerConfig)
	}
	rows := config.rowsOf(s.ResolverState.Endpoints)
	if len(rows) == 0 {
		c.given = false
		c.fail(errNoEndpoints)
		return balancer.ErrBadResolverState
	}
	c.given = true
	// IDLE is as good as READY to choose among priorities, and nothing is dropped by then.
	c.cc.UpdateState(balancer.State{
		ConnectivityState: connectivity.Idle,
		Picker:            base.NewErrPicker(&collected{rows}),
	})
	return nil
}

func (c *collector) ResolverError(err error) {
	if !c.given {
		c.fail(err)
	}
}

func (c *collector) fail(err error) {
	c.cc.UpdateState(balancer.State{ConnectivityState: connectivity.TransientFailure, Picker: base.NewErrPicker(err)})
}

func (*collector) UpdateSubConnState(balancer.SubConn, balancer.SubConnState) {}
func (*collector) ExitIdle()                                                  {}
func (*collector) Close()                                                     {}

// A tree is the policies of a service config, of which one root at a time is in use.
type tree struct {
	target    resolver.Target
	authority string

	mu     sync.Mutex // makes calls of root one at a time
	root   *treeRoot
	closed bool
}

// update gives the policies of a service config what the resolver has said. They say what
// they make of it, now or later.
func (t *tree) update(config string, s resolver.State, say func([]row, error)) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	c, err := policyOf(config)
	if err != nil {
		say(nil, err)
		return err
	}
	var parsed serviceconfig.LoadBalancingConfig
	if parser, ok := c.builder.(balancer.ConfigParser); ok {
		if parsed, err = parser.ParseConfig(c.config); err != nil {
			say(nil, err)
			return err
		}
	}
	if t.root == nil || t.root.policy != c.builder.Name() || t.root.cluster != c.cluster {
		if t.root != nil {
			t.root.balancer.Close()
		}
		t.root = &treeRoot{target: t.target.String(), policy: c.builder.Name(), cluster: c.cluster, say: say}
		t.root.balancer = c.builder.Build(t.root, balancer.BuildOptions{CustomUserAgent: collecting, Authority: t.authority, Target: t.target})
	}
	t.root.spoke.Store(false)
	err = t.root.balancer.UpdateClientConnState(balancer.ClientConnState{ResolverState: s, BalancerConfig: parsed})
	if err != nil && !(errors.Is(err, balancer.ErrBadResolverState) && t.root.spoke.Load()) { // it has said why
		t.root.tell(nil, err)
	}
	return err
}

func (t *tree) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.root != nil {
		t.root.balancer.Close()
		t.root = nil
	}
}

// A chosenPolicy is the one of a service config that is to be used.
type chosenPolicy struct {
	builder balancer.Builder
	config  json.RawMessage
	cluster string // if it is that of an xDS cluster
}

// clusterManager is the policy of gRPC's xDS resolver. It has a child for each cluster that
// calls may be routed to.
const clusterManager = "xds_cluster_manager_experimental"

// policyOf returns the policy of a service config, and of an xDS resolver's that of its one
// cluster.
func policyOf(config string) (chosenPolicy, error) {
	type policies []map[string]json.RawMessage
	var c chosenPolicy
	var sc struct {
		LoadBalancingConfig policies `json:"loadBalancingConfig"`
	}
	if err := json.Unmarshal([]byte(config), &sc); err != nil {
		return c, fmt.Errorf("the service config: %w", err)
	}
	choose := func(list policies) error {
		var unknown []string
		for _, entry := range list {
			for name, config := range entry {
				if c.builder = balancer.Get(name); c.builder != nil {
					c.config = config
					return nil
				}
				unknown = append(unknown, name)
			}
		}
		if len(unknown) == 0 {
			return errNoEndpoints
		}
		return fmt.Errorf("the service config has none but policies that are not registered: %s; import the packages that have them", strings.Join(unknown, ", "))
	}
	if err := choose(sc.LoadBalancingConfig); err != nil || c.builder.Name() != clusterManager {
		return c, err
	}
	var manager struct {
		Children map[string]struct {
			ChildPolicy policies `json:"childPolicy"`
		} `json:"children"`
	}
	if err := json.Unmarshal(c.config, &manager); err != nil {
		return c, fmt.Errorf("the service config: %s: %w", clusterManager, err)
	}
	var clusters []string
	for name := range manager.Children {
		clusters = append(clusters, name)
	}
	if len(clusters) != 1 {
		slices.Sort(clusters)
		return c, fmt.Errorf("xDS routes to %d clusters (%s); there must be one, as all backends are in one table", len(clusters), strings.Join(clusters, ", "))
	}
	c.cluster = clusters[0]
	return c, choose(manager.Children[c.cluster].ChildPolicy)
}

// A treeRoot is the ClientConn of the topmost policy of a tree.
type treeRoot struct {
	balancer.ClientConn
	balancer        balancer.Balancer
	target          string
	policy, cluster string
	say             func([]row, error)
	refused         atomic.Bool // to connect
	spoke           atomic.Bool
}

// tell says what the tree has found, or what is wrong with the policy.
func (r *treeRoot) tell(rows []row, err error) {
	r.spoke.Store(true)
	if err != nil {
		err = fmt.Errorf("%s: %w", cmp.Or(r.cluster, r.policy), err)
	}
	r.say(rows, err)
}

// UpdateState is told of a new picker.
func (r *treeRoot) UpdateState(s balancer.State) {
	_, err := s.Picker.Pick(balancer.PickInfo{Ctx: context.Background()})
	var found *collected
	switch {
	case errors.As(err, &found):
		r.tell(found.rows, nil)
	case r.refused.Load() || s.ConnectivityState == connectivity.Connecting:
	case s.ConnectivityState == connectivity.TransientFailure && err != nil:
		r.tell(nil, err)
	default:
		r.tell(nil, errOther)
	}
}

// NewSubConn refuses to connect, which the policy of this package would not have asked for.
func (r *treeRoot) NewSubConn([]resolver.Address, balancer.NewSubConnOptions) (balancer.SubConn, error) {
	r.refused.Store(true)
	r.tell(nil, errOther)
	return nil, errOther
}

var errOther = fmt.Errorf("its load balancing policy is not %[1]s, or one that has a %[1]s for each locality; its load_balancing_policy must be a TypedStruct with the type URL type.googleapis.com/%[1]s", Name)

func (r *treeRoot) Target() string                                     { return r.target }
func (*treeRoot) ResolveNow(resolver.ResolveNowOptions)                {} // it is asked every 30 s
func (*treeRoot) RemoveSubConn(balancer.SubConn)                       {}
func (*treeRoot) UpdateAddresses(balancer.SubConn, []resolver.Address) {}
func (*treeRoot) MetricsRecorder() estats.MetricsRecorder {
	return estats.UnimplementedMetricsRecorder{}
}
