package grpcbalancer_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/maglev-lb/maglev/grpcbalancer"
)

// The scenarios of ring_hash without a control plane; see xds_helper_test.go.

// A connection that is lost is not made again until a call needs it. One that cannot
// be made is tried again without calls.
func TestReconnectsAfterTransientFailure(t *testing.T) {
	server := serve(t, "127.0.0.1:0")
	c := dial(t, `{}`, endpoints(server.addr), retrySoon)
	ctx := grpcbalancer.WithHash(short(t), 0)
	requireOne(t, c, ctx, server.addr)

	server.Stop()
	await(t, c, connectivity.Idle)
	brief, cancel := context.WithTimeout(ctx, quiet)
	defer cancel()
	require.False(t, c.WaitForStateChange(brief, connectivity.Idle), "nobody has asked for a connection")

	_, err := c.call(ctx)
	require.Equal(t, codes.Unavailable, status.Code(err), err)
	await(t, c, connectivity.TransientFailure)
	_, err = c.call(ctx)
	require.Equal(t, codes.Unavailable, status.Code(err), err)

	serve(t, server.addr)
	await(t, c, connectivity.Ready)
	requireOne(t, c, ctx, server.addr)
}

// The header that a service config names is hashed, and another one from the next service
// config on.
func TestHeaderOfTheServiceConfig(t *testing.T) {
	all := addrs(servers(t, 4))
	table := planOf(t, all...)
	c := dial(t, `{"requestHashHeader":"x-user"}`, endpoints(all...))
	with := func(addr string) context.Context { // the other header has a key of somebody else
		ctx := metadata.AppendToOutgoingContext(short(t), "x-user", table.key(t, addr))
		for _, other := range all {
			if other != addr {
				return metadata.AppendToOutgoingContext(ctx, "x-item", table.key(t, other))
			}
		}
		return ctx
	}
	for _, addr := range all {
		requireOne(t, c, with(addr), addr)
	}
	config := c.resolver.CC().ParseServiceConfig(`{"loadBalancingConfig":[{"maglev":{"requestHashHeader":"x-item"}}]}`)
	require.NoError(t, config.Err)
	c.resolver.UpdateState(resolver.State{Endpoints: endpoints(all...), ServiceConfig: config})
	for _, addr := range all {
		item := metadata.ValueFromOutgoingContext(with(addr), "x-item")[0]
		requireOne(t, c, with(addr), table.at(item))
	}
}

func TestRandomWithoutTheHeader(t *testing.T) {
	all := addrs(servers(t, 4))
	c := dial(t, byUser, endpoints(all...))
	// As long as some are not connected, others have their calls.
	connected := make(map[string]bool)
	for ctx := short(t); len(connected) < len(all); {
		addr, err := c.call(ctx)
		require.NoError(t, err)
		connected[addr] = true
	}
	requireShares(t, c, equally(all...))
}

// Calls without the header have one endpoint connect, and wait for that one. Once one is
// READY it has all of them, and each has one more connect at most.
func TestCallsWithoutTheHeaderConnectOneAtATime(t *testing.T) {
	all, door := addrs(servers(t, 20)), newGate()
	c := dial(t, byUser, endpoints(all...), door.option(), retrySoon)
	ctx := short(t)
	first := start(c, ctx)
	addr := door.next(soon)
	require.Contains(t, all, addr)
	second := start(c, ctx)
	require.Empty(t, door.next(quiet), "the second call waits for the same endpoint")
	door.decide(t, addr, nil)
	require.Equal(t, outcome{addr, nil}, <-first)
	require.Equal(t, outcome{addr, nil}, <-second)
	await(t, c, connectivity.Ready)

	next := ""
	for next == "" { // until the hash is that of another endpoint
		got, err := c.call(ctx)
		require.NoError(t, err)
		require.Equal(t, addr, got)
		next = door.next(quiet / 10)
	}
	for range 100 {
		got, err := c.call(ctx)
		require.NoError(t, err)
		require.Equal(t, addr, got)
	}
	require.Empty(t, door.next(quiet), "more than one connects")
}
