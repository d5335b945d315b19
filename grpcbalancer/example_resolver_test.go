package grpcbalancer_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"github.com/maglev-lb/maglev/grpcbalancer"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// cache starts a server that says in a header who it is.
func cache(name string) (addr string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		if err := grpc.SetHeader(ctx, metadata.Pairs("name", name)); err != nil {
			return nil, err
		}
		return handle(ctx, req)
	}))
	healthpb.RegisterHealthServer(s, health.NewServer())
	go func() { _ = s.Serve(l) }() // returns once the server is stopped
	return l.Addr().String(), s.Stop
}

// connect makes a client that hashes the header x-user.
func connect(target string, opts ...grpc.DialOption) *grpc.ClientConn {
	cc, err := grpc.NewClient(target, append(opts,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"maglev":{"requestHashHeader":"x-user"}}]}`))...)
	if err != nil {
		log.Fatal(err)
	}
	return cc
}

// answers makes a call for each user and prints who has answered.
func answers(cc *grpc.ClientConn, users ...string) {
	for _, user := range users {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		var header metadata.MD
		_, err := healthpb.NewHealthClient(cc).Check(metadata.AppendToOutgoingContext(ctx, "x-user", user),
			new(healthpb.HealthCheckRequest), grpc.Header(&header))
		cancel()
		if err != nil {
			fmt.Println(user, err)
			continue
		}
		fmt.Println(user, "->", header.Get("name")[0])
	}
}

// A target lists its backends. Their keys are given here as their ports are random, so that
// users go to the same place in each run.
func Example_static() {
	a, stop := cache("a")
	defer stop()
	b, stop := cache("b")
	defer stop()
	cc := connect("maglev:///" + a + ";key=cache-a," + b + ";key=cache-b")
	defer cc.Close()
	answers(cc, "user-41", "user-42", "user-43", "user-42")
	// Output:
	// user-41 -> a
	// user-42 -> b
	// user-43 -> b
	// user-42 -> b
}

// The backends are in a file, which is watched.
func Example_file() {
	a, stop := cache("a")
	defer stop()
	b, stop := cache("b")
	defer stop()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "backends.yaml")
	list := fmt.Sprintf("- %s;key=cache-a\n- address: %s\n  key: cache-b\n", a, b)
	if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
		log.Fatal(err)
	}
	cc := connect("maglev-file://" + filepath.ToSlash(path) + "?interval=5s")
	defer cc.Close()
	answers(cc, "user-41", "user-42", "user-43")
	// Output:
	// user-41 -> a
	// user-42 -> b
	// user-43 -> b
}

// The program knows its backends, and says when they change.
func ExampleNewResolver() {
	a, stop := cache("a")
	defer stop()
	b, stop := cache("b")
	defer stop()
	r := grpcbalancer.NewResolver()
	cc := connect(r.Scheme()+":///cache.example", grpc.WithResolvers(r))
	defer cc.Close()

	both := []grpcbalancer.Backend{{Address: a, Key: "cache-a"}, {Address: b, Key: "cache-b"}}
	if err := r.Update(both); err != nil {
		log.Fatal(err)
	}
	answers(cc, "user-41", "user-42", "user-43")
	if err := r.Update(both[:1]); err != nil {
		log.Fatal(err)
	}
	answers(cc, "user-41", "user-42", "user-43")
	fmt.Println(r.Update([]grpcbalancer.Backend{{Address: "10.0.0.1"}}))
	// Output:
	// user-41 -> a
	// user-42 -> b
	// user-43 -> b
	// user-41 -> a
	// user-42 -> a
	// user-43 -> a
	// grpcbalancer: Update: backends[0]: address "10.0.0.1": backend not usable: it must be a host and a port, such as "10.0.0.1:443", with IPv6 addresses in brackets, such as "[fd00::1]:443"
}

// A resolver of gRPC has HTTP requests go where gRPC calls with the same key go.
func ExampleFromResolver() {
	hello := func(name string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprint(w, name)
		}))
	}
	a, b := hello("a"), hello("b")
	defer a.Close()
	defer b.Close()
	target := fmt.Sprintf("maglev:///%s;key=cache-a,%s;key=cache-b", a.Listener.Addr(), b.Listener.Addr())
	t, err := httpbalancer.New(httpbalancer.Options{
		Discover: grpcbalancer.FromResolver(nil, target, "http"),
		Hash:     hashpolicy.List{hashpolicy.Header("X-User")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
	client := &http.Client{Transport: t}
	for _, user := range []string{"user-41", "user-42", "user-43"} {
		req, err := http.NewRequest(http.MethodGet, "http://cache.example/", nil)
		if err != nil {
			log.Fatal(err)
		}
		req.Header.Set("X-User", user)
		resp, err := client.Do(req)
		if err != nil {
			log.Fatal(err)
		}
		name, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(user, "->", string(name))
	}
	// Output:
	// user-41 -> a
	// user-42 -> b
	// user-43 -> b
}
