package grpcbalancer_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/ringhash"
	"google.golang.org/grpc/status"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer"
	"github.com/maglev-lb/maglev/internal/refuse"
)

const byUser = `{"requestHashHeader":"X-User"}`

func TestCallsGoWhereTheTableSays(t *testing.T) {
	all := addrs(servers(t, 5))
	c := dial(t, byUser, endpoints(all...))
	for i := range 100 {
		key := "user-" + strconv.Itoa(i)
		want := order(t, maglev.XXHash(key, 0), all...)[0]
		for name, ctx := range map[string]context.Context{
			"header": metadata.AppendToOutgoingContext(short(t), "x-user", key),
			"key":    grpcbalancer.WithKey(metadata.AppendToOutgoingContext(short(t), "x-user", "another"), key),
			"hash":   grpcbalancer.WithHash(short(t), maglev.XXHash(key, 0)),
		} {
			got, err := c.call(ctx)
			require.NoError(t, err)
			require.Equal(t, want, got, "%s of %s", name, key)
		}
	}
}

func TestSeveralValuesOfAHeader(t *testing.T) {
	all := addrs(servers(t, 7))
	sorted := maglev.XXHash("b", maglev.XXHash("a", 0))
	for rule, want := range map[string]uint64{"": maglev.XXHash("b,a", 0), "grpc": maglev.XXHash("b,a", 0), "envoy": sorted} {
		c := dial(t, fmt.Sprintf(`{"requestHashHeader":"x-user","headerRule":%q}`, rule), endpoints(all...))
		got, err := c.call(metadata.AppendToOutgoingContext(short(t), "x-user", "b", "x-user", "a"))
		require.NoError(t, err)
		require.Equal(t, order(t, want, all...)[0], got, rule)
	}
}

func TestHashKeysAndWeightsOfEndpoints(t *testing.T) {
	all := addrs(servers(t, 3))
	eps := endpoints(all...)
	names := make(map[string]string)
	var backends []maglev.Backend
	for i := range eps {
		b := maglev.Backend{Name: fmt.Sprint("cache-", i), Weight: uint32(i + 1)}
		names[b.Name] = all[i]
		eps[i] = weight.Set(ringhash.SetHashKey(eps[i], b.Name), weight.EndpointInfo{Weight: b.Weight * 7})
		backends = append(backends, b)
	}
	table, err := maglev.New(backends, maglev.Options{TableSize: 251})
	require.NoError(t, err)
	c := dial(t, `{"tableSize":251}`, eps)
	for i := range 200 {
		hash := uint64(i) << 13
		got, err := c.call(grpcbalancer.WithHash(short(t), hash))
		require.NoError(t, err)
		require.Equal(t, names[table.Backend(table.Lookup(hash)).Name], got)
	}
}

func TestOnlyWhatIsUsedIsConnected(t *testing.T) {
	all := servers(t, 10)
	c := dial(t, byUser, endpoints(addrs(all)...))
	for range 20 {
		_, err := c.call(grpcbalancer.WithKey(short(t), "user-42"))
		require.NoError(t, err)
	}
	connected := 0
	for _, s := range all {
		connected += s.conns()
	}
	require.Equal(t, 1, connected)
}

func TestConnectConnectsOne(t *testing.T) {
	all := servers(t, 10)
	c := dial(t, byUser, endpoints(addrs(all)...))
	c.Connect()
	ctx := short(t)
	for s := c.GetState(); s != connectivity.Ready; s = c.GetState() {
		require.True(t, c.WaitForStateChange(ctx, s), "it stays %v", s)
	}
	c.Connect()
	time.Sleep(50 * time.Millisecond)
	connected := 0
	for _, s := range all {
		connected += s.conns()
	}
	require.Equal(t, 1, connected)
}

func TestCallsWithoutAKey(t *testing.T) {
	all := servers(t, 4)
	c := dial(t, byUser, endpoints(addrs(all)...))
	for range 50 {
		_, err := c.call(short(t))
		require.NoError(t, err)
	}

	none := dial(t, `{}`, endpoints(addrs(all)...))
	_, err := none.call(short(t))
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.ErrorContains(t, err, "the call has no hash")
	require.ErrorContains(t, err, "requestHashHeader")
}

func TestStatesWithoutEndpoints(t *testing.T) {
	one := servers(t, 1)[0]
	c := dial(t, byUser, nil)
	c.Connect()
	ctx := grpcbalancer.WithKey(short(t), "user-42")

	c.resolver.CC().ReportError(errors.New("the resolver is at a loss"))
	_, err := c.call(ctx)
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.ErrorContains(t, err, "the resolver is at a loss")

	c.set(endpoints(one.addr))
	_, err = c.call(ctx, grpc.WaitForReady(true))
	require.NoError(t, err)
	c.resolver.CC().ReportError(errors.New("the resolver is at a loss"))
	_, err = c.call(ctx)
	require.NoError(t, err)

	for _, nobody := range [][]resolver.Endpoint{{}, {{}}} {
		c.set(nobody)
		_, err = c.call(ctx)
		require.Equal(t, codes.Unavailable, status.Code(err))
		require.ErrorContains(t, err, "no endpoints")
		c.set(append(endpoints(one.addr), resolver.Endpoint{}))
		_, err = c.call(ctx, grpc.WaitForReady(true))
		require.NoError(t, err)
	}
}

func TestAllFail(t *testing.T) {
	var dead []string
	for range 3 {
		port, err := refuse.Take()
		require.NoError(t, err)
		defer port.Close()
		dead = append(dead, port.Addr())
	}
	c := dial(t, byUser, endpoints(dead...))
	_, err := c.call(grpcbalancer.WithKey(short(t), "user-42"))
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.ErrorContains(t, err, "refused")
	require.Eventually(t, func() bool { return c.GetState() == connectivity.TransientFailure }, 10*time.Second, time.Millisecond)
}

func TestMoreEndpointsThanSlots(t *testing.T) {
	all := addrs(servers(t, 5))
	c := dial(t, `{"tableSize":2}`, endpoints(all...))
	for i := range 10 {
		_, err := c.call(grpcbalancer.WithHash(short(t), uint64(i)))
		require.NoError(t, err)
	}
}

// Calls that wait for ready wait for endpoints, whatever the resolver says meanwhile.
func TestCallsThatWaitForEndpoints(t *testing.T) {
	c := dial(t, byUser, nil)
	c.Connect()
	ctx := grpcbalancer.WithKey(short(t), "user-42")
	waits := func(why string) {
		t.Helper()
		require.Eventually(t, func() bool {
			_, err := c.call(ctx)
			return status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), why)
		}, 10*time.Second, time.Millisecond)
		brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		_, err := c.call(brief, grpc.WaitForReady(true))
		require.Equal(t, codes.DeadlineExceeded, status.Code(err), err)
	}
	c.set([]resolver.Endpoint{})
	waits("no endpoints")
	c.resolver.CC().ReportError(status.Error(codes.Internal, "the resolver is at a loss"))
	waits("the resolver is at a loss")
	c.set(endpoints(serve(t, "127.0.0.1:0").addr))
	_, err := c.call(ctx, grpc.WaitForReady(true))
	require.NoError(t, err)
}
