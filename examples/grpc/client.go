package main

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/balancer/ringhash"
	"google.golang.org/grpc/balancer/roundrobin"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/maglev-lb/maglev/grpcbalancer"
)

// A policy is an entry of loadBalancingConfig.
type policy struct{ label, name, config string }

// The policies, in the order in which they have their turns. The import of its package
// is what makes a policy known to gRPC.
var (
	roundRobin = policy{"round_robin", roundrobin.Name, `{}`}
	ringHash   = policy{"ring_hash", ringhash.Name, `{"requestHashHeader":"` + keyHeader + `"}`}
	maglevHash = policy{"maglev", grpcbalancer.Name, `{"requestHashHeader":"` + keyHeader + `"}`}
)

// serviceConfig is what the clients differ in. What a server that is killed has not
// answered is sent again.
func (p policy) serviceConfig() string {
	return fmt.Sprintf(`{
		"loadBalancingConfig": [{%q: %s}],
		"methodConfig": [{
			"name": [{"service": %q}],
			"retryPolicy": {
				"maxAttempts": 3,
				"initialBackoff": "0.01s",
				"maxBackoff": "0.1s",
				"backoffMultiplier": 2,
				"retryableStatusCodes": ["UNAVAILABLE"]
			}
		}]
	}`, p.name, p.config, serviceName)
}

// patience is how long a client waits at most before it tries again to connect. gRPC's
// own is a second at first, and two minutes in the end.
const patience = 200 * time.Millisecond

// dial returns a client of the fleet.
func dial(f *fleet, p policy) (*grpc.ClientConn, error) {
	target := grpcbalancer.StaticScheme + ":///" + strings.Join(f.hosts(), ",")
	cc, err := grpc.NewClient(target,
		grpc.WithDefaultServiceConfig(p.serviceConfig()),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(f.dial),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: patience / 4, Multiplier: 2, MaxDelay: patience},
			MinConnectTimeout: 5 * time.Second,
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.label, err)
	}
	return cc, nil
}
