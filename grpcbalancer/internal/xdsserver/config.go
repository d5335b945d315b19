package xdsserver

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
)

// A Config describes a service: all requests take one route to one cluster.
type Config struct {
	// Hash is how the route makes a hash of a request. Default (nil): it does not.
	Hash []*routev3.RouteAction_HashPolicy

	// Clusters are the route's, which is the first, and those that an aggregate one
	// is made of.
	Clusters []Cluster
}

// A Cluster is a set of endpoints. They are told of by EDS, unless Aggregate or DNS is
// set.
type Cluster struct {
	Name string

	// Policies is the cluster's load_balancing_policy: configurations in the order
	// of preference, of which a client takes the first whose type it knows.
	// Default (nil): LbPolicy counts.
	Policies []proto.Message

	// LbPolicy is the older field for that. Default (the zero value): ROUND_ROBIN.
	LbPolicy clusterv3.Cluster_LbPolicy

	Localities []Locality

	// Aggregate names clusters that are used in the order of preference.
	Aggregate []string

	// DNS is an address, as host:port, for a LOGICAL_DNS cluster.
	DNS string
}

// A Locality is a part of a cluster.
type Locality struct {
	Weight    uint32 // 0 means 1
	Priority  uint32 // 0 is used first
	Endpoints []Endpoint
}

// An Endpoint is a backend.
type Endpoint struct {
	Addrs   []string // as host:port
	Weight  uint32   // 0: it has none
	HashKey string   // metadata envoy.lb/hash_key; "": it has none
	Name    string   // its hostname; "": it has none
}

// OneLocality returns a locality of endpoints with an address each.
func OneLocality(addrs ...string) []Locality {
	endpoints := make([]Endpoint, len(addrs))
	for i, addr := range addrs {
		endpoints[i].Addrs = []string{addr}
	}
	return []Locality{{Endpoints: endpoints}}
}

// Header is a hash policy: the hash of a header. The header's name is in lower case.
func Header(name string) *routev3.RouteAction_HashPolicy {
	return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_Header_{
		Header: &routev3.RouteAction_HashPolicy_Header{HeaderName: name},
	}}
}

// RewrittenHeader is the hash policy of a header whose value is rewritten before.
func RewrittenHeader(name, regex, substitution string) *routev3.RouteAction_HashPolicy {
	p := Header(name)
	p.GetHeader().RegexRewrite = &matcherv3.RegexMatchAndSubstitute{
		Pattern:      &matcherv3.RegexMatcher{Regex: regex},
		Substitution: substitution,
	}
	return p
}

// ChannelID is a hash policy of gRPC: the same hash for all calls of a ClientConn.
func ChannelID() *routev3.RouteAction_HashPolicy {
	return &routev3.RouteAction_HashPolicy{PolicySpecifier: &routev3.RouteAction_HashPolicy_FilterState_{
		FilterState: &routev3.RouteAction_HashPolicy_FilterState{Key: "io.grpc.channel_id"},
	}}
}

// Terminal makes a hash policy the last one, if there is a hash by then.
func Terminal(p *routev3.RouteAction_HashPolicy) *routev3.RouteAction_HashPolicy {
	p.Terminal = true
	return p
}
