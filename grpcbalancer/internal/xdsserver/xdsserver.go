// Package xdsserver is an xDS control plane on loopback, for tests: it gives one
// configuration to whoever asks, gRPC clients and Envoys alike, and remembers what
// they have said against it.
package xdsserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	cachev3 "github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	resourcev3 "github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	serverv3 "github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
)

// A Server is a control plane that runs. It is made by [Start], and safe for use by
// any number of goroutines.
type Server struct {
	addr   string
	cache  cachev3.SnapshotCache
	server *grpc.Server
	cancel context.CancelFunc
	served chan struct{} // closed when it is over

	mu         sync.Mutex
	version    int
	rejections []Rejection
}

// A Rejection is what a client has said against resources that it has been sent (a
// NACK).
type Rejection struct {
	Type    string // of the resources, such as "envoy.config.cluster.v3.Cluster"
	Message string
}

// Start starts a Server that has nothing to say yet: clients wait. Close ends it.
func Start() (*Server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("xdsserver: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		addr: listener.Addr().String(),
		// A client may ask for one resource before it knows the name of the next.
		cache:  cachev3.NewSnapshotCache(false, everyone{}, nil),
		server: grpc.NewServer(),
		cancel: cancel,
		served: make(chan struct{}),
	}
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(s.server,
		serverv3.NewServer(ctx, s.cache, serverv3.CallbackFuncs{StreamRequestFunc: s.heard}))
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // returns once the server is stopped
	}()
	return s, nil
}

// Close stops the server. What clients know they go on with.
func (s *Server) Close() {
	s.cancel()
	s.server.Stop()
	<-s.served
}

// Addr returns the address, as host:port.
func (s *Server) Addr() string { return s.addr }

// Bootstrap returns the bootstrap of a gRPC client, in JSON.
func (s *Server) Bootstrap() ([]byte, error) {
	type object = map[string]any
	return json.Marshal(object{
		"xds_servers": []object{{"server_uri": s.addr, "channel_creds": []object{{"type": "insecure"}}}},
		"node":        object{"id": "client"},
	})
}

// Set makes a configuration the one to give, in place of the last. Clients have it
// some time later.
func (s *Server) Set(c Config) error {
	resources, err := c.Resources()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	snapshot, err := cachev3.NewSnapshot(strconv.Itoa(s.version), map[resourcev3.Type][]types.Resource{
		resourcev3.ListenerType: all(resources.Listeners),
		resourcev3.RouteType:    all(resources.Routes),
		resourcev3.ClusterType:  all(resources.Clusters),
		resourcev3.EndpointType: all(resources.Assignments),
	})
	if err == nil {
		err = snapshot.Consistent()
	}
	if err == nil {
		err = s.cache.SetSnapshot(context.Background(), node, snapshot)
	}
	if err != nil {
		return fmt.Errorf("xdsserver: %w", err)
	}
	return nil
}

func all[R types.Resource](resources []R) []types.Resource {
	general := make([]types.Resource, len(resources))
	for i, r := range resources {
		general[i] = r
	}
	return general
}

// Rejections returns what clients have said against what they were sent, the oldest
// first.
func (s *Server) Rejections() []Rejection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Rejection(nil), s.rejections...)
}

// heard is told of each request of a client.
func (s *Server) heard(_ int64, r *discoveryv3.DiscoveryRequest) error {
	if r.GetErrorDetail() == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rejections = append(s.rejections, Rejection{
		Type:    r.GetTypeUrl()[strings.LastIndexByte(r.GetTypeUrl(), '/')+1:],
		Message: r.GetErrorDetail().GetMessage(),
	})
	return nil
}

// node is the name under which all clients are known.
const node = "everyone"

// everyone has all clients be one, so that they are given the same.
type everyone struct{}

func (everyone) ID(*corev3.Node) string { return node }

// hostPort splits an address such as "127.0.0.1:80".
func hostPort(addr string) (host string, port uint32, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err == nil && host == "" {
		err = errors.New("no host")
	}
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w; it must be host:port", addr, err)
	}
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: the port must be a number from 0 to 65535", addr)
	}
	return host, uint32(n), nil
}
