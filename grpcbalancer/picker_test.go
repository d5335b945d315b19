package grpcbalancer_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"

	"github.com/maglev-lb/maglev/grpcbalancer"
)

// A picker that was made while an endpoint could be had fails no call when it learns that
// none can any more: only the next one does, which whoever is above the policy hears
// of first, and may have others to turn to.
func TestAPickerFailsNoCallBeforeTheStateDoes(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		ctx    context.Context
	}{
		"by key":  {`{"requestHashHeader":"x-user"}`, grpcbalancer.WithKey(context.Background(), "user-42")},
		"bounded": {`{"hashBalanceFactor":125}`, grpcbalancer.WithKey(context.Background(), "user-42")},
		"random":  {`{"requestHashHeader":"x-user"}`, context.Background()},
	} {
		t.Run(name, func(t *testing.T) {
			info := balancer.PickInfo{Ctx: c.ctx}
			f := build(t, grpcbalancer.Name, c.config, 3)
			f.connectAll(t, func(key string) context.Context { return grpcbalancer.WithKey(context.Background(), key) })
			old := f.picker()
			_, err := old.Pick(info)
			require.NoError(t, err)
			for _, conn := range f.conns {
				conn.health(balancer.SubConnState{ConnectivityState: connectivity.TransientFailure, ConnectionError: errFailing})
			}
			_, err = old.Pick(info)
			require.Equal(t, balancer.ErrNoSubConnAvailable, err)
			_, err = f.picker().Pick(info)
			require.ErrorContains(t, err, "failing")
			require.Equal(t, connectivity.TransientFailure, f.state.ConnectivityState)
		})
	}
}
