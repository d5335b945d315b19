package grpcbalancer_test

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/maglev-lb/maglev/grpcbalancer"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// For a program that names the policy in its service config, and nothing else of this
// package.
import _ "github.com/maglev-lb/maglev/grpcbalancer"

// What there is, at a glance. It is compiled, and not run, as nobody knows who is at
// 10.0.0.1.
func Example() {
	creds := credentials.NewTLS(nil)
	ctx := context.Background()

	cc, err := grpc.NewClient("maglev:///10.0.0.1:443,10.0.0.2:443;weight=2",
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig":[{"maglev":{"requestHashHeader":"x-user"}}]}`),
		grpc.WithTransportCredentials(creds))
	if err != nil {
		log.Fatal(err)
	}
	defer cc.Close()

	ctx = grpcbalancer.WithKey(ctx, "user-42")   // as if x-user: user-42 were set
	ctx = grpcbalancer.WithHash(ctx, 0x5ca1ab1e) // or a hash of any making

	if err := cc.Invoke(ctx, "/cache.Cache/Get", nil, nil); err != nil {
		log.Print(err)
	}

	for _, s := range grpcbalancer.Debug(cc) {
		fmt.Println(s.Target, s.State, "user-42 goes to", s.Where("user-42").Addresses)
	}

	t, err := httpbalancer.New(httpbalancer.Options{
		Discover: grpcbalancer.FromResolver(nil, "dns:///cache.example:8080", "http"),
		Hash:     hashpolicy.List{hashpolicy.Header("X-User")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer t.Close()
}
