package grpcbalancer_test

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/maglev-lb/maglev"
	_ "github.com/maglev-lb/maglev/grpcbalancer"
)

// A server is a backend on a real socket, which counts its connections.
type server struct {
	*grpc.Server
	addr   string
	health *health.Server // what it says of its services

	mu       sync.Mutex
	accepted int
	open     int
}

type countingListener struct {
	net.Listener
	server *server
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.server.mu.Lock()
	l.server.accepted++
	l.server.open++
	l.server.mu.Unlock()
	return &countedConn{Conn: c, closed: sync.OnceFunc(func() {
		l.server.mu.Lock()
		l.server.open--
		l.server.mu.Unlock()
	})}, nil
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// conns returns how many connections there have been.
func (s *server) conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// openConns returns how many connections there are.
func (s *server) openConns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// serve starts a server at an address, and waits until it can be had.
func serve(t testing.TB, addr string, opts ...grpc.ServerOption) *server {
	t.Helper()
	var l net.Listener
	require.Eventually(t, func() bool {
		var err error
		l, err = net.Listen("tcp", addr)
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	s := &server{Server: grpc.NewServer(opts...), addr: l.Addr().String(), health: health.NewServer()}
	healthpb.RegisterHealthServer(s.Server, s.health)
	go func() { _ = s.Serve(&countingListener{l, s}) }() // returns once the server is stopped
	t.Cleanup(s.Stop)
	return s
}

func servers(t testing.TB, n int, opts ...grpc.ServerOption) []*server {
	t.Helper()
	all := make([]*server, n)
	for i := range all {
		all[i] = serve(t, "127.0.0.1:0", opts...)
	}
	return all
}

func addrs(servers []*server) []string {
	all := make([]string, len(servers))
	for i, s := range servers {
		all[i] = s.addr
	}
	return all
}

func endpoints(addrs ...string) []resolver.Endpoint {
	all := make([]resolver.Endpoint, len(addrs))
	for i, a := range addrs {
		all[i].Addresses = []resolver.Address{{Addr: a}}
	}
	return all
}

// A client is a ClientConn with this policy and a resolver that is told what to say.
type client struct {
	*grpc.ClientConn
	resolver *manual.Resolver
}

func dial(t testing.TB, config string, initial []resolver.Endpoint, opts ...grpc.DialOption) *client {
	t.Helper()
	return dialService(t, `{"loadBalancingConfig":[{"maglev":`+config+`}]}`, initial, opts...)
}

// dialService is dial with a whole service config.
func dialService(t testing.TB, config string, initial []resolver.Endpoint, opts ...grpc.DialOption) *client {
	t.Helper()
	r := manual.NewBuilderWithScheme("test")
	if initial != nil {
		r.InitialState(resolver.State{Endpoints: initial})
	}
	opts = append([]grpc.DialOption{
		grpc.WithResolvers(r), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(config),
	}, opts...)
	cc, err := grpc.NewClient("test:///", opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = cc.Close() })
	return &client{cc, r}
}

// dialTo returns a client whose resolver is that of the target's scheme, or is given.
func dialTo(t testing.TB, target string, resolvers ...resolver.Builder) *client {
	t.Helper()
	cc, err := grpc.NewClient(target, grpc.WithResolvers(resolvers...), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"maglev":{}}]}`))
	require.NoError(t, err)
	t.Cleanup(func() { _ = cc.Close() })
	return &client{ClientConn: cc}
}

func (c *client) set(endpoints []resolver.Endpoint) {
	c.resolver.UpdateState(resolver.State{Endpoints: endpoints})
}

// call makes a call and returns who has answered, or with an error who was asked last,
// "" if nobody was.
func (c *client) call(ctx context.Context, opts ...grpc.CallOption) (string, error) {
	var p peer.Peer
	_, err := healthpb.NewHealthClient(c).Check(ctx, new(healthpb.HealthCheckRequest), append(opts, grpc.Peer(&p))...)
	if p.Addr == nil {
		return "", err
	}
	return p.Addr.String(), err
}

// short is a context that ends before the test does.
func short(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// order returns the candidates for a hash, by the table alone.
func order(t testing.TB, hash uint64, names ...string) []string {
	t.Helper()
	names = slices.Sorted(slices.Values(names))
	backends := make([]maglev.Backend, len(names))
	for i, name := range names {
		backends[i].Name = name
	}
	table, err := maglev.New(backends, maglev.Options{})
	require.NoError(t, err)
	var all []string
	for i := range table.Candidates(hash) {
		all = append(all, names[i])
	}
	return all
}
