package grpcbalancer_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

// A backend whose health service says NOT_SERVING loses its keys, without losing its
// connection, and has them back once it says SERVING. So does one that does not know the
// service that is asked for.
func TestHealthService(t *testing.T) {
	const service, serving, notServing = "cache", healthpb.HealthCheckResponse_SERVING, healthpb.HealthCheckResponse_NOT_SERVING
	fleet := servers(t, 5)
	names := addrs(fleet)
	for _, s := range fleet[1:] {
		s.health.SetServingStatus(service, serving)
	}
	c := dialService(t, `{"loadBalancingConfig":[{"maglev":`+byUser+`}],"healthCheckConfig":{"serviceName":"cache"}}`, endpoints(names...))
	all := keys(t, 200, names...)
	settle(t, c, all, unless(fleet[0].addr))
	fleet[0].health.SetServingStatus(service, serving)
	settle(t, c, all, home)
	for _, s := range fleet {
		s.health.SetServingStatus(service, notServing)
		settle(t, c, all, unless(s.addr))
		s.health.SetServingStatus(service, serving)
		settle(t, c, all, home)
	}
	for _, s := range fleet {
		require.Equal(t, 1, s.conns(), "connections to %s", s.addr)
	}
}
