package grpcbalancer_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/maglev-lb/maglev"
)

// A key is what calls are made with, and where it belongs.
type key struct {
	name       string
	candidates []string // by the table alone
}

// keys returns n keys over backends with these names and equal weights.
func keys(t testing.TB, n int, names ...string) []key {
	t.Helper()
	backends := make([]maglev.Backend, len(names))
	for i, name := range names {
		backends[i].Name = name
	}
	table, err := maglev.New(backends, maglev.Options{})
	require.NoError(t, err)
	all := make([]key, n)
	for i := range all {
		k := &all[i]
		k.name = "user-" + strconv.Itoa(i)
		for j := range table.Candidates(maglev.XXHash(k.name, 0)) {
			k.candidates = append(k.candidates, names[j])
		}
	}
	return all
}

// in returns a context whose calls have the key, as byUser wants it.
func (k *key) in(ctx context.Context) context.Context { return addHeader(ctx, "x-user", k.name) }

func addHeader(ctx context.Context, name, value string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, name, value)
}

func (c *client) callKey(ctx context.Context, k *key, opts ...grpc.CallOption) (string, error) {
	return c.call(k.in(ctx), opts...)
}

// settle waits until each key has gone where it should go.
func settle(t testing.TB, c *client, keys []key, want func(k *key) string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(8)
	for i := range keys {
		k := &keys[i]
		group.Go(func() error {
			for {
				got, err := c.callKey(ctx, k)
				switch {
				case err == nil && got == want(k):
					return nil
				case ctx.Err() != nil:
					return fmt.Errorf("%s is to go to %s; the last call went to %q with error %w", k.name, want(k), got, err)
				}
			}
		})
	}
	require.NoError(t, group.Wait())
}

func home(k *key) string { return k.candidates[0] }

// unless returns where keys go while one backend is down.
func unless(down string) func(k *key) string {
	return func(k *key) string {
		if k.candidates[0] == down {
			return k.candidates[1]
		}
		return k.candidates[0]
	}
}

// load has callers make calls, each with all keys in turn, until stop is called, which
// fails the test if a call returned an error.
func load(t testing.TB, callers int, keys []key, call func(ctx context.Context, caller int, k *key) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	done := make(chan struct{})
	end := sync.OnceFunc(func() { close(done) })
	var group errgroup.Group
	for caller := range callers {
		group.Go(func() error {
			for i := caller * len(keys) / callers; ; i++ {
				select {
				case <-done:
					return nil
				default:
				}
				k := &keys[i%len(keys)]
				if err := call(ctx, caller, k); err != nil {
					return fmt.Errorf("%s of %v: %w", k.name, k.candidates, err)
				}
			}
		})
	}
	t.Cleanup(func() { // if the test has failed before it called stop
		end()
		cancel()
	})
	return func() {
		t.Helper()
		end()
		require.NoError(t, group.Wait())
	}
}
