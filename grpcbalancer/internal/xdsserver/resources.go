package xdsserver

import (
	"errors"
	"fmt"
	"strconv"

	xdsv3 "github.com/cncf/xds/go/xds/type/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	aggregatev3 "github.com/envoyproxy/go-control-plane/envoy/extensions/clusters/aggregate/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	httpv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const (
	// Target is what a gRPC client dials.
	Target = "xds:///" + service

	// ProxyListener is the listener of an Envoy, on a port of loopback.
	ProxyListener = "proxy"

	service = "service" // the listener of gRPC clients
	route   = "route"
)

// Resources are a Config in the messages of xDS. There is a listener for gRPC clients,
// which has no socket, and one for Envoys; all else is for both.
type Resources struct {
	Listeners   []*listenerv3.Listener
	Routes      []*routev3.RouteConfiguration
	Clusters    []*clusterv3.Cluster
	Assignments []*endpointv3.ClusterLoadAssignment // of clusters with EDS
}

// TypedStruct is the configuration of a load balancing policy of this name, in JSON:
// how xDS carries those that have no message of their own.
func TypedStruct(name, config string) (*xdsv3.TypedStruct, error) {
	value := new(structpb.Struct)
	if err := protojson.Unmarshal([]byte(config), value); err != nil {
		return nil, fmt.Errorf("xdsserver: config of %s: %w", name, err)
	}
	return &xdsv3.TypedStruct{TypeUrl: "type.googleapis.com/" + name, Value: value}, nil
}

// Resources returns the messages. Its errors name the cluster or address that is wrong.
func (c Config) Resources() (*Resources, error) {
	if len(c.Clusters) == 0 {
		return nil, errors.New("xdsserver: no clusters: there must be one for the route")
	}
	listeners, err := listeners()
	if err != nil {
		return nil, fmt.Errorf("xdsserver: listeners: %w", err)
	}
	r := &Resources{Listeners: listeners, Routes: []*routev3.RouteConfiguration{c.route()}}
	for i := range c.Clusters {
		cluster, err := c.Clusters[i].cluster()
		if err != nil {
			return nil, fmt.Errorf("xdsserver: cluster %q: %w", c.Clusters[i].Name, err)
		}
		r.Clusters = append(r.Clusters, cluster)
		if cluster.GetType() == clusterv3.Cluster_EDS {
			assignment, err := c.Clusters[i].assignment()
			if err != nil {
				return nil, fmt.Errorf("xdsserver: cluster %q: %w", c.Clusters[i].Name, err)
			}
			r.Assignments = append(r.Assignments, assignment)
		}
	}
	return r, nil
}

func listeners() ([]*listenerv3.Listener, error) {
	router, err := anypb.New(new(routerv3.Router))
	if err != nil {
		return nil, err
	}
	manager, err := anypb.New(&hcmv3.HttpConnectionManager{
		StatPrefix: service,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{
			Rds: &hcmv3.Rds{ConfigSource: fromHere(), RouteConfigName: route},
		},
		HttpFilters: []*hcmv3.HttpFilter{{
			Name:       "router",
			ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: router},
		}},
	})
	if err != nil {
		return nil, err
	}
	socket, err := address("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return []*listenerv3.Listener{
		{Name: service, ApiListener: &listenerv3.ApiListener{ApiListener: manager}},
		{Name: ProxyListener, Address: socket, FilterChains: []*listenerv3.FilterChain{{
			Filters: []*listenerv3.Filter{{
				Name:       "http",
				ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: manager},
			}},
		}}},
	}, nil
}

// fromHere is the source of what is told of by the same control plane.
func fromHere() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ResourceApiVersion:    corev3.ApiVersion_V3,
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: new(corev3.AggregatedConfigSource)},
	}
}

func (c Config) route() *routev3.RouteConfiguration {
	return &routev3.RouteConfiguration{
		Name: route,
		VirtualHosts: []*routev3.VirtualHost{{
			Name:    service,
			Domains: []string{"*"},
			Routes: []*routev3.Route{{
				Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
				Action: &routev3.Route_Route{Route: &routev3.RouteAction{
					ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: c.Clusters[0].Name},
					HashPolicy:       c.Hash,
				}},
			}},
		}},
	}
}

func (c *Cluster) cluster() (*clusterv3.Cluster, error) {
	// An Envoy speaks HTTP/2 to backends if it is told to.
	http2, err := anypb.New(&httpv3.HttpProtocolOptions{
		UpstreamProtocolOptions: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig{
				ProtocolConfig: &httpv3.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
					Http2ProtocolOptions: new(corev3.Http2ProtocolOptions),
				},
			},
		},
	})
	if err != nil {
		return nil, err
	}
	m := &clusterv3.Cluster{
		Name:                          c.Name,
		LbPolicy:                      c.LbPolicy,
		TypedExtensionProtocolOptions: map[string]*anypb.Any{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
	}
	if m.LoadBalancingPolicy, err = policies(c.Policies); err != nil {
		return nil, err
	}
	switch {
	case c.Aggregate != nil:
		parts, err := anypb.New(&aggregatev3.ClusterConfig{Clusters: c.Aggregate})
		if err != nil {
			return nil, err
		}
		m.ClusterDiscoveryType = &clusterv3.Cluster_ClusterType{
			ClusterType: &clusterv3.Cluster_CustomClusterType{Name: "envoy.clusters.aggregate", TypedConfig: parts},
		}
	case c.DNS != "":
		host, err := endpoint(Endpoint{Addrs: []string{c.DNS}})
		if err != nil {
			return nil, err
		}
		m.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_LOGICAL_DNS}
		m.LoadAssignment = &endpointv3.ClusterLoadAssignment{
			ClusterName: c.Name,
			Endpoints:   []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{host}}},
		}
	default:
		m.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS}
		m.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: fromHere()}
	}
	return m, nil
}

// policies returns a list of load balancing policies, nil if there are none.
func policies(configs []proto.Message) (*clusterv3.LoadBalancingPolicy, error) {
	if len(configs) == 0 {
		return nil, nil
	}
	list := new(clusterv3.LoadBalancingPolicy)
	for _, config := range configs {
		typed, err := anypb.New(config)
		if err != nil {
			return nil, err
		}
		list.Policies = append(list.Policies, &clusterv3.LoadBalancingPolicy_Policy{
			TypedExtensionConfig: &corev3.TypedExtensionConfig{Name: string(proto.MessageName(config)), TypedConfig: typed},
		})
	}
	return list, nil
}

func (c *Cluster) assignment() (*endpointv3.ClusterLoadAssignment, error) {
	m := &endpointv3.ClusterLoadAssignment{ClusterName: c.Name}
	for i, l := range c.Localities {
		locality := &endpointv3.LocalityLbEndpoints{
			Locality:            &corev3.Locality{Region: "loopback", Zone: strconv.Itoa(i)},
			LoadBalancingWeight: wrapperspb.UInt32(max(l.Weight, 1)),
			Priority:            l.Priority,
		}
		for _, e := range l.Endpoints {
			host, err := endpoint(e)
			if err != nil {
				return nil, err
			}
			locality.LbEndpoints = append(locality.LbEndpoints, host)
		}
		m.Endpoints = append(m.Endpoints, locality)
	}
	return m, nil
}

func endpoint(e Endpoint) (*endpointv3.LbEndpoint, error) {
	if len(e.Addrs) == 0 {
		return nil, errors.New("an endpoint has no address: it must have one")
	}
	host := new(endpointv3.Endpoint)
	for i, addr := range e.Addrs {
		socket, err := address(addr)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			host.Address = socket
			continue
		}
		host.AdditionalAddresses = append(host.AdditionalAddresses, &endpointv3.Endpoint_AdditionalAddress{Address: socket})
	}
	host.Hostname = e.Name
	m := &endpointv3.LbEndpoint{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: host}}
	if e.Weight > 0 {
		m.LoadBalancingWeight = wrapperspb.UInt32(e.Weight)
	}
	if e.HashKey != "" {
		m.Metadata = &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
			"envoy.lb": {Fields: map[string]*structpb.Value{"hash_key": structpb.NewStringValue(e.HashKey)}},
		}}
	}
	return m, nil
}

func address(addr string) (*corev3.Address, error) {
	host, port, err := hostPort(addr)
	if err != nil {
		return nil, err
	}
	return &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
		Address:       host,
		PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: port},
	}}}, nil
}
