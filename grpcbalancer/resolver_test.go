package grpcbalancer_test

import (
	"fmt"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/status"

	"github.com/maglev-lb/maglev/grpcbalancer"
)

func backends(addrs ...string) []grpcbalancer.Backend {
	all := make([]grpcbalancer.Backend, len(addrs))
	for i, a := range addrs {
		all[i].Address = a
	}
	return all
}

// requirePlaces requires that calls go where a table of the backends says.
func (c *client) requirePlaces(t testing.TB, all []string) {
	t.Helper()
	for i := range 20 {
		hash := uint64(i) * 0x9E3779B97F4A7C15
		got, err := c.call(grpcbalancer.WithHash(short(t), hash))
		require.NoError(t, err)
		require.Equal(t, order(t, hash, all...)[0], got)
	}
}

func TestAResolverThatIsNotGiven(t *testing.T) {
	_, err := dialTo(t, "maglev-manual:///cache.example").call(grpcbalancer.WithHash(short(t), 1))
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.ErrorContains(t, err, "grpcbalancer: target: maglev-manual is the scheme of Resolvers; the one that is told of the backends must be given by grpc.WithResolvers")
}

func TestOneResolverOfManyChannels(t *testing.T) {
	all := addrs(servers(t, 4))
	r := grpcbalancer.NewResolver()
	one := dialTo(t, r.Scheme()+":///cache", r)
	waiting := make(chan error, 1)
	go func() {
		_, err := one.call(grpcbalancer.WithHash(short(t), 1))
		waiting <- err
	}()
	select {
	case err := <-waiting:
		require.Fail(t, "a call has not waited for the first set", err)
	case <-time.After(50 * time.Millisecond):
	}
	require.NoError(t, r.Update(backends(all[:3]...)))
	require.NoError(t, <-waiting)

	two := dialTo(t, "maglev-manual:///cache", r)
	one.requirePlaces(t, all[:3])
	two.requirePlaces(t, all[:3])
	require.NoError(t, r.Update(backends(all[1:]...)))
	one.requirePlaces(t, all[1:])
	two.requirePlaces(t, all[1:])

	require.NoError(t, r.Update(nil))
	for _, c := range []*client{one, two} {
		_, err := c.call(grpcbalancer.WithHash(short(t), 1))
		require.Equal(t, codes.Unavailable, status.Code(err))
		require.ErrorContains(t, err, "no endpoints")
	}
	require.NoError(t, r.Update(backends(all...)))
	one.requirePlaces(t, all)

	require.NoError(t, one.Close())
	require.NoError(t, r.Update(backends(all[:1]...)))
	two.requirePlaces(t, all[:1])
	require.NoError(t, two.Close())
	require.NoError(t, r.Update(backends(all[1:]...)))
	dialTo(t, "maglev-manual:///cache", r).requirePlaces(t, all[1:])
}

func TestAnUpdateThatFailsChangesNothing(t *testing.T) {
	all := addrs(servers(t, 2))
	var r grpcbalancer.Resolver
	c := dialTo(t, "maglev-manual:///", &r)
	given := backends(all...)
	kept := slices.Clone(given)
	require.NoError(t, r.Update(given))
	require.Equal(t, kept, given)
	for want, bad := range map[string]grpcbalancer.Backend{
		`grpcbalancer: Update: backends[1]: address "": backend not usable: it must be a host and a port`: {},
		`backends[1]: address "10.0.0.1": backend not usable`:                                             {Address: "10.0.0.1"},
		`backends[1]: address "x": backend not usable`:                                                    {Address: "10.0.0.1:1", AdditionalAddresses: []string{"x"}},
		`backends[1]: key "` + all[0] + `": backend not usable: it is that of backends[0] too`:            {Address: "10.0.0.1:1", Key: all[0]},
		`backends[1]: address "` + all[0] + `": backend not usable: it is one of backends[0] too`:         {Address: all[0], Weight: 2},
		"backends[1]: server name \"a\\nb\": backend not usable":                                          {Address: "10.0.0.1:1", ServerName: "a\nb"},
	} {
		err := r.Update(append(backends(all[0]), bad))
		require.ErrorIs(t, err, grpcbalancer.ErrBackend)
		require.ErrorContains(t, err, want)
	}
	c.requirePlaces(t, all)
}

// A told is a ClientConn that remembers what it has been told last, which takes time.
type told struct {
	resolver.ClientConn
	mu   sync.Mutex
	last []string
}

func (c *told) UpdateState(s resolver.State) error {
	time.Sleep(10 * time.Microsecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = c.last[:0]
	for _, e := range s.Endpoints {
		c.last = append(c.last, e.Addresses[0].Addr)
	}
	return nil
}

// Of Updates by several goroutines the last is that of all channels, those that come
// and go meanwhile too.
func TestUpdatesByManyGoroutines(t *testing.T) {
	var r grpcbalancer.Resolver
	u, err := url.Parse("maglev-manual:///cache")
	require.NoError(t, err)
	to := resolver.Target{URL: *u}
	var group errgroup.Group
	conns := make([]told, 8)
	for i := range conns {
		group.Go(func() error {
			for range 100 {
				built, err := r.Build(to, &conns[i], resolver.BuildOptions{})
				if err != nil {
					return err
				}
				built.Close()
			}
			_, err := r.Build(to, &conns[i], resolver.BuildOptions{})
			return err
		})
	}
	for i := range 4 {
		group.Go(func() error {
			for j := range 100 {
				if err := r.Update(backends(fmt.Sprintf("10.0.%d.%d:1", i, j))); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	for i := range conns {
		require.Equal(t, conns[0].last, conns[i].last)
	}
	require.NoError(t, r.Update(backends("10.0.0.1:9", "10.0.0.2:9")))
	for i := range conns {
		require.Equal(t, []string{"10.0.0.1:9", "10.0.0.2:9"}, conns[i].last)
	}
}

// Real channels are closed while they are told of sets. One server is in each, and has
// the hashes of the calls: connections to the others would be given up before they stand.
func TestUpdatesWhileChannelsClose(t *testing.T) {
	all := addrs(servers(t, 4))
	var hashes []uint64
	for hash := uint64(0); len(hashes) < 30; hash += 0x9E3779B97F4A7C15 {
		if stays := func(other string) bool { return order(t, hash, all[0], other)[0] == all[0] }; stays(all[1]) && stays(all[2]) && stays(all[3]) {
			hashes = append(hashes, hash)
		}
	}
	r := grpcbalancer.NewResolver()
	done := make(chan struct{})
	var updating, dialing errgroup.Group
	for _, other := range all[1:] {
		updating.Go(func() error {
			for {
				select {
				case <-done:
					return nil
				default:
				}
				if err := r.Update(backends(all[0], other)); err != nil {
					return err
				}
			}
		})
	}
	for range 3 {
		dialing.Go(func() error {
			for _, hash := range hashes {
				c := dialTo(t, "maglev-manual:///cache", r)
				if got, err := c.call(grpcbalancer.WithHash(short(t), hash)); err != nil || got != all[0] {
					return fmt.Errorf("hash %d went to %q: %w", hash, got, err)
				}
				if err := c.Close(); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := dialing.Wait()
	close(done)
	require.NoError(t, err)
	require.NoError(t, updating.Wait())
}

func TestAuthoritiesOfManualTargets(t *testing.T) {
	ca := newAuthority(t)
	named := "127.0.0.1:" + ca.port(t, "127.0.0.1:0", "cache.example")
	own := "127.0.0.1:" + ca.port(t, "127.0.0.1:0", "127.0.0.1")
	for _, c := range []struct{ target, addr, want string }{
		{"maglev-manual:///cache.example", named, "cache.example"},
		{"maglev-manual:///cache.example:80", named, "cache.example:80"},
		{"maglev-manual://cache.example/anything", named, "cache.example"},
		{"maglev-manual:cache.example", named, "cache.example"},
		{"maglev-manual:///", own, own},
		{"maglev-manual:///127.0.0.1:9", own, "127.0.0.1:9"},
	} {
		r := grpcbalancer.NewResolver()
		require.NoError(t, r.Update(backends(c.addr)))
		require.Equal(t, map[string]bool{c.want: true}, ca.dial(t, c.target, "", grpc.WithResolvers(r)).authorities(t, 1), c.target)
	}
	for target, want := range map[string]string{
		"maglev-manual:///a/b c":     "a%2Fb%20c",
		"maglev-manual:///[::1]:443": "[::1]:443",
	} {
		u, err := url.Parse(target)
		require.NoError(t, err)
		require.Equal(t, want, new(grpcbalancer.Resolver).OverrideAuthority(resolver.Target{URL: *u}))
	}
	_, err := dialTo(t, "maglev-manual:///cache?interval=1s", grpcbalancer.NewResolver()).call(short(t))
	require.ErrorContains(t, err, `target: "?interval=1s": it has no parameters after a question mark`)
}
