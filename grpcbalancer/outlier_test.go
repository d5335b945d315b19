package grpcbalancer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	_ "google.golang.org/grpc/xds" // has outlier_detection_experimental
)

// With gRPC's outlier detection around the policy (gRFC A50), a backend that answers with
// errors is ejected: its keys go to their second candidates, those of others stay, and
// no connection is closed. Later it is taken back.
func TestOutlierDetection(t *testing.T) {
	var failing atomic.Pointer[server]
	fleet := make([]*server, 5)
	for i := range fleet {
		fleet[i] = serve(t, "127.0.0.1:0", grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if failing.Load() == fleet[i] {
				return nil, status.Error(codes.DataLoss, "it is a bad day")
			}
			return next(ctx, req)
		}))
	}
	names := addrs(fleet)
	c := dialService(t, `{"loadBalancingConfig":[{"outlier_detection_experimental":{
		"interval": "0.2s", "baseEjectionTime": "0.5s", "maxEjectionTime": "0.5s", "maxEjectionPercent": 50,
		"failurePercentageEjection": {"threshold": 50, "enforcementPercentage": 100, "minimumHosts": 1, "requestVolume": 5},
		"childPolicy": [{"maglev":`+byUser+`}]}}]}`, endpoints(names...))
	all := keys(t, 200, names...)
	bad := fleet[1]
	stop := load(t, 4, all, func(ctx context.Context, _ int, k *key) error {
		got, err := c.callKey(ctx, k)
		switch {
		case status.Code(err) == codes.DataLoss && got == bad.addr && home(k) == bad.addr:
		case err != nil:
			return err
		case got != home(k) && (home(k) != bad.addr || got != k.candidates[1]):
			return fmt.Errorf("it went to %s", got)
		}
		return nil
	})
	settle(t, c, all, home)
	for range 2 {
		failing.Store(bad)
		settle(t, c, all, unless(bad.addr))
		failing.Store(nil)
		settle(t, c, all, home)
	}
	stop()
	for _, s := range fleet {
		require.Equal(t, 1, s.conns(), "connections to %s", s.addr)
	}
}
