package grpcbalancer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/experimental/stats"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/serviceconfig"

	"github.com/maglev-lb/maglev/httpbalancer"
)

// FromResolver returns what has an [httpbalancer.Transport] take its backends from a
// resolver of gRPC: that of the target's scheme, such as dns, xds or those of this
// package, or the given one if it is not nil.
//
//	t, err := httpbalancer.New(httpbalancer.Options{
//		Discover: grpcbalancer.FromResolver(nil, "dns:///cache.example:8080", "http"),
//		Hash:     hashpolicy.List{hashpolicy.Header("X-User")},
//	})
//
// The scheme is that of the backends' URLs, "http" or "https".
//
// # What becomes of an endpoint
//
// Names and weights are those that the policy of this package has for the same
// endpoints, so tables of the same size are the same. A header that comes once has the
// same hash, too: a request whose X-User is hashed by hashpolicy.Header goes where a
// call goes whose config has "requestHashHeader":"x-user". With "headerRule":"envoy" that
// is so for a header that comes several times.
//
// The URL has the endpoint's first address; the Transport has no use for others. In
// certificates the name has to be that of the address, or else that of the target, as
// in a gRPC channel; see [StaticScheme]. The ServerName of the Transport's options counts for
// addresses that are their own names, and no others. The Host of a request remains its own.
//
// # Changes and errors
//
// Each set that the resolver returns is one for the Transport. An error of the resolver
// is the DiscoveryErr of [httpbalancer.Stats] while the last good set stays; the resolver
// is then closed, and built again after 1 s to 30 s.
//
// Resolvers such as gRPC's dns look again only when a channel asks them to, as it does
// when a connection fails. There is no channel here. So they are asked every 30 s, which
// is the least that dns takes from one look-up to the next, and up to a tenth more.
//
// # xDS
//
// With a target such as xds:///cache and a blank import of google.golang.org/grpc/xds the
// backends are those that the policy of this package would have: the endpoints of the
// cluster, of the first priority that has any. Routes must lead to one cluster, as there
// is one table, and the cluster's load_balancing_policy must be this package's, and not
// below wrr_locality, which has a table for each locality. All else that a route says,
// such as what is hashed, is for the Transport's options to say.
func FromResolver(builder resolver.Builder, target, scheme string) httpbalancer.Discoverer {
	return &discoverer{builder, target, scheme}
}

// A discoverer is a [httpbalancer.Discoverer] that has a resolver.
type discoverer struct {
	builder        resolver.Builder // nil: that of the target's scheme
	target, scheme string
}

// Validate is called by [httpbalancer.New]. Its error wraps [httpbalancer.ErrOption].
func (d *discoverer) Validate() error {
	_, _, err := d.parse()
	return err
}

func (d *discoverer) parse() (resolver.Builder, resolver.Target, error) {
	var to resolver.Target
	wrong := func(what, value, allowed string) (resolver.Builder, resolver.Target, error) {
		return nil, to, fmt.Errorf("grpcbalancer: FromResolver: %s %q: %w: %s", what, value, httpbalancer.ErrOption, allowed)
	}
	if d.scheme != "http" && d.scheme != "https" {
		return wrong("scheme", d.scheme, `it must be "http" or "https"`)
	}
	u, err := url.Parse(d.target)
	if err != nil {
		return wrong("target", d.target, err.Error())
	}
	to.URL = *u
	builder := d.builder
	switch {
	case builder == nil && u.Scheme == "":
		return wrong("target", d.target, "it must have the scheme of a resolver, such as dns:///cache.example:8080")
	case builder == nil:
		if builder = resolver.Get(u.Scheme); builder == nil || builder == (missing{}) {
			return wrong("target", d.target, "no resolver is registered for its scheme; import the package that has it, or pass it")
		}
	case builder.Scheme() != u.Scheme:
		return wrong("target", d.target, fmt.Sprintf("its scheme must be that of the resolver, as in %s:///cache.example", builder.Scheme()))
	}
	return builder, to, nil
}

// Discover implements [httpbalancer.Discoverer].
func (d *discoverer) Discover(ctx context.Context, update func([]httpbalancer.Backend) error) error {
	builder, to, err := d.parse()
	if err != nil {
		return err
	}
	authority := authorityOf(to.Endpoint())
	if strings.HasPrefix(authority, ":") {
		authority = "localhost" + authority // as in a channel
	}
	if o, ok := builder.(resolver.AuthorityOverrider); ok {
		authority = o.OverrideAuthority(to)
	}
	l := &listener{news: make(chan struct{}, 1), tree: tree{target: to, authority: authority}}
	defer l.close()
	r, err := builder.Build(to, l, resolver.BuildOptions{
		Authority:            authority,
		DisableServiceConfig: true, // dns need not look for one
		MetricsRecorder:      stats.UnimplementedMetricsRecorder{},
	})
	if err != nil {
		return fmt.Errorf("grpcbalancer: FromResolver: %s: %w", d.target, err)
	}
	defer r.Close()
	var overdue <-chan time.Time
	again := time.After(untilAskedAgain())
	for {
		select {
		case <-l.news:
			rows, err := l.latest()
			if err != nil {
				if overdue == nil {
					overdue = time.After(grace)
				}
				continue
			}
			overdue = nil
			backends, err := d.backends(rows, authority)
			if err != nil {
				return err
			}
			if err := update(backends); err != nil {
				logger.Warningf("%s: a set of %d backends has not been taken: %v", d.target, len(backends), err)
			}
		case <-overdue:
			overdue = nil
			_, err := l.latest()
			if err == nil { // something better has come just now, and is news
				continue
			}
			return fmt.Errorf("grpcbalancer: FromResolver: %s: %w", d.target, err)
		case <-again:
			r.ResolveNow(resolver.ResolveNowOptions{})
			again = time.After(untilAskedAgain())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// grace is how long an error is none yet, as something better may follow: when a route of
// xDS turns from one cluster to another, there are two for a moment.
const grace = time.Second

// untilAskedAgain is how long not to ask the resolver to look again.
func untilAskedAgain() time.Duration { return 30*time.Second + rand.N(3*time.Second) }

// backends returns endpoints as a Transport has them.
func (d *discoverer) backends(rows []row, authority string) ([]httpbalancer.Backend, error) {
	backends := make([]httpbalancer.Backend, len(rows))
	for i, r := range rows {
		a := r.endpoint.Addresses[0]
		if strings.HasPrefix(a.Addr, unixPrefix) {
			return nil, fmt.Errorf("grpcbalancer: FromResolver: %s: address %q: %w: a URL cannot have the path of a unix socket", d.target, a.Addr, ErrBackend)
		}
		u := url.URL{Scheme: d.scheme, Host: a.Addr}
		backends[i] = httpbalancer.Backend{Name: r.Name, URL: u.String(), Weight: int(r.Weight)}
		if d.scheme != "https" {
			continue
		}
		name := a.ServerName
		if name == "" && isNamed(authority) {
			name = authority
		}
		if name != ownName(a.Addr) { // which it would be anyway, unless the Transport has a ServerName
			backends[i].ServerName = hostOf(name)
		}
	}
	return backends, nil
}

// hostOf returns a server name without its port. An IPv6 address may have no brackets.
func hostOf(name string) string {
	if host, _, err := net.SplitHostPort(name); err == nil {
		return host
	}
	return strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
}

// A listener is the ClientConn of a resolver that has no channel. It keeps the latest thing
// that the resolver has said, and never has it wait.
type listener struct {
	resolver.ClientConn
	news chan struct{} // has an element if there is something that has not been seen
	tree tree

	mu   sync.Mutex
	rows []row
	err  error // what was wrong after that
}

// UpdateState implements [resolver.ClientConn].
func (l *listener) UpdateState(s resolver.State) error {
	endpoints := s.Endpoints
	if endpoints == nil {
		for _, a := range s.Addresses {
			//lint:ignore SA1019 it is what gRPC makes the attributes of the endpoint
			attributes := a.BalancerAttributes
			endpoints = append(endpoints, resolver.Endpoint{Addresses: []resolver.Address{a}, Attributes: attributes})
		}
	}
	if config, ok := configOf(s); ok && len(endpoints) == 0 {
		return l.tree.update(config, s, l.say)
	}
	l.say(new(Config).rowsOf(endpoints), nil)
	if len(endpoints) == 0 {
		return balancer.ErrBadResolverState // dns then looks again sooner
	}
	return nil
}

// say keeps endpoints, or an error.
func (l *listener) say(rows []row, err error) {
	l.mu.Lock()
	if err == nil {
		l.rows = rows
	}
	l.err = err
	l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
}

func (l *listener) latest() ([]row, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rows, l.err
}

func (l *listener) close() { l.tree.close() }

// ReportError implements [resolver.ClientConn].
func (l *listener) ReportError(err error) {
	if err == nil {
		err = errors.New("the resolver has reported an error, but not which one")
	}
	l.say(nil, err)
}

// NewAddress implements [resolver.ClientConn].
func (l *listener) NewAddress(addresses []resolver.Address) {
	_ = l.UpdateState(resolver.State{Addresses: addresses}) // it has no way to return it
}

// ParseServiceConfig implements [resolver.ClientConn].
func (l *listener) ParseServiceConfig(text string) *serviceconfig.ParseResult {
	return &serviceconfig.ParseResult{Config: rawConfig{text: text}}
}

// A rawConfig is a service config as it has been written.
type rawConfig struct {
	serviceconfig.Config
	text string
}

// configOf returns the service config of a state, false if it has none.
func configOf(s resolver.State) (string, bool) {
	if s.ServiceConfig == nil {
		return "", false
	}
	raw, ok := s.ServiceConfig.Config.(rawConfig)
	return raw.text, ok
}
