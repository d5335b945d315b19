package grpcbalancer

import (
	"errors"
	"fmt"
	"sync"

	"google.golang.org/grpc/resolver"
)

// ManualScheme is the scheme of targets whose backends a [Resolver] is told of, such as
// maglev-manual:///cache.example.
//
// A name in front of the path, or else the path, is the authority of the channel;
// maglev-manual:/// has none. What that means is said at [StaticScheme].
const ManualScheme = "maglev-manual"

// A Resolver gives ClientConns the backends that Update is told:
//
//	r := grpcbalancer.NewResolver()
//	cc, err := grpc.NewClient(r.Scheme()+":///cache.example", grpc.WithResolvers(r), …)
//	err = r.Update([]grpcbalancer.Backend{{Address: "10.0.0.1:443"}, {Address: "10.0.0.2:443"}})
//
// Any number of ClientConns may share one, and any number of goroutines may use it. The
// zero value is ready to use. It must not be copied.
type Resolver struct {
	mu          sync.Mutex
	last        backendSet
	subscribers map[*subscriber]struct{}
}

// A backendSet is the backends of an Update, and which one it is.
type backendSet struct {
	backends []Backend
	number   uint64 // from 1 on; 0 is that there has been none
}

// NewResolver returns a Resolver. Until the first Update, calls of its ClientConns wait.
func NewResolver() *Resolver { return new(Resolver) }

// Update makes the given backends those of all ClientConns that use the resolver now or
// later. It neither keeps nor changes the slice. When it returns, the policies of those
// have them, or a later set if Update is called by several goroutines.
//
// An error names the backend and the field, wraps [ErrBackend], and leaves the set as it
// is. No backends are a set too: calls then fail with UNAVAILABLE.
func (r *Resolver) Update(backends []Backend) error {
	checked, err := checkBackends(backends, func(i int) string { return fmt.Sprintf("backends[%d]", i) })
	if err != nil {
		return fmt.Errorf("grpcbalancer: Update: %w", err)
	}
	r.mu.Lock()
	r.last = backendSet{checked, r.last.number + 1}
	last := r.last
	subscribers := make([]*subscriber, 0, len(r.subscribers))
	for c := range r.subscribers {
		subscribers = append(subscribers, c)
	}
	r.mu.Unlock()
	for _, c := range subscribers {
		c.take(last)
	}
	return nil
}

// Scheme implements [resolver.Builder]. It is [ManualScheme].
func (*Resolver) Scheme() string { return ManualScheme }

// OverrideAuthority implements [resolver.AuthorityOverrider].
func (*Resolver) OverrideAuthority(t resolver.Target) string {
	if t.URL.Host != "" {
		return authorityOf(t.URL.Host)
	}
	return authorityOf(t.Endpoint())
}

// Build implements [resolver.Builder].
func (r *Resolver) Build(t resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	if err := checkTarget(t.URL, ManualScheme+":///cache.example"); err != nil {
		return nil, err
	}
	if err := checkNoQuery(t.URL, ""); err != nil {
		return nil, err
	}
	c := &subscriber{resolver: r, cc: cc, named: isNamed(opts.Authority)}
	r.mu.Lock()
	if r.subscribers == nil {
		r.subscribers = make(map[*subscriber]struct{})
	}
	r.subscribers[c] = struct{}{}
	last := r.last
	r.mu.Unlock()
	c.take(last)
	return c, nil
}

// A subscriber is the resolver of one ClientConn.
//
// No lock of the Resolver is held while the ClientConn is told of a set, so that one that
// is slow, or closing, keeps nobody but who tells it waiting.
type subscriber struct {
	resolver *Resolver
	cc       resolver.ClientConn
	named    bool

	mu     sync.Mutex
	number uint64 // of the last update it has been told of
}

// take tells the ClientConn of a set, unless it knows that or a later one.
func (c *subscriber) take(u backendSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if u.number <= c.number {
		return
	}
	c.number = u.number
	if err := c.cc.UpdateState(stateOf(u.backends, c.named)); err != nil && len(u.backends) > 0 {
		logger.Warningf("a set of %d backends has not been taken: %v", len(u.backends), err)
	}
}

// ResolveNow implements [resolver.Resolver]. It does nothing: what there is has been told.
func (*subscriber) ResolveNow(resolver.ResolveNowOptions) {}

// Close implements [resolver.Resolver].
func (c *subscriber) Close() {
	c.resolver.mu.Lock()
	defer c.resolver.mu.Unlock()
	delete(c.resolver.subscribers, c)
}

var _ resolver.AuthorityOverrider = (*Resolver)(nil)

func init() {
	resolver.Register(missing{})
}

// missing is in the place of a Resolver that has not been given. Without it gRPC would take
// the target for a name, and ask DNS for it.
type missing struct{ *Resolver }

// Build implements [resolver.Builder].
func (missing) Build(resolver.Target, resolver.ClientConn, resolver.BuildOptions) (resolver.Resolver, error) {
	return nil, errMissing
}

var errMissing = errors.New("grpcbalancer: target: " + ManualScheme + " is the scheme of Resolvers; the one that is told of the backends must be given by grpc.WithResolvers")
