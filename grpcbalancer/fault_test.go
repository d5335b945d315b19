package grpcbalancer_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// One backend of ten is killed under load and comes back. Its keys go to their second
// candidates and return; those of the others stay.
//
// The rule for calls that fail: gRPC sends a call again by itself only if the backend
// cannot have seen it. So a call that was on the wire to the backend when it was killed
// fails, with UNAVAILABLE. The client gives a connection up before it fails the calls on
// it; hence whoever has seen one fail has no other fail, and a caller that makes one
// call at a time loses at most one. All other calls succeed: they wait while the
// backend is tried again, and go elsewhere once that has failed.
func TestKillOneOfTen(t *testing.T) {
	const callers = 8
	fleet := servers(t, 10)
	names := addrs(fleet)
	keys := keys(t, 1000, names...)
	killed := fleet[3]
	c := dial(t, byUser, endpoints(names...), retrySoon)

	const up, killing, down, returning, back = 0, 1, 2, 3, 4
	var phase atomic.Int64
	var lost [callers]int
	stop := load(t, callers, keys, func(ctx context.Context, caller int, k *key) error {
		before := phase.Load()
		got, err := c.callKey(ctx, k)
		after := phase.Load()
		switch {
		case err != nil:
			lost[caller]++
			if status.Code(err) != codes.Unavailable || got != killed.addr || lost[caller] > 1 || before >= down || after < killing {
				return fmt.Errorf("failed call %d of a caller, to %q in phase %d to %d: %w", lost[caller], got, before, after, err)
			}
		case home(k) != killed.addr:
			if got != home(k) {
				return fmt.Errorf("it has moved to %s", got)
			}
		case got == k.candidates[0] && (before < down || after > down):
		case got == k.candidates[1] && (before < back && after > up):
		default:
			return fmt.Errorf("it went to %s in phase %d to %d", got, before, after)
		}
		return nil
	})
	settle(t, c, keys, home)

	phase.Store(killing)
	killed.Stop()
	settle(t, c, keys, unless(killed.addr))
	phase.Store(down)
	share := make(map[string]int)
	moved := 0
	for i := range keys {
		if home(&keys[i]) == killed.addr {
			got, err := c.callKey(short(t), &keys[i])
			require.NoError(t, err)
			share[got]++
			moved++
		}
	}
	requireEven(t, share, moved, len(fleet)-1)

	phase.Store(returning)
	serve(t, killed.addr)
	settle(t, c, keys, home)
	phase.Store(back)
	settle(t, c, keys, home)
	stop()
}

// requireEven requires that keys are spread over 9 backends as chance would do it: chi
// squared with 8 degrees of freedom is above 60 once in 2 * 10^9 times.
func requireEven(t testing.TB, share map[string]int, keys, backends int) {
	t.Helper()
	require.Equal(t, 9, backends)
	require.LessOrEqual(t, len(share), backends)
	expected := float64(keys) / float64(backends)
	chi := expected * float64(backends-len(share)) // those that got none
	for _, n := range share {
		chi += (float64(n) - expected) * (float64(n) - expected) / expected
	}
	require.Less(t, chi, 60.0, "%d keys on %d backends: %v", keys, backends, share)
}

// With a retryPolicy in the service config (gRFC A6) calls in flight are sent again when
// backends are killed, and as the backend is known to be gone by then, to the next
// candidate. The exception is a call whose answer had begun: with its headers the attempt
// is committed, and the call fails if the rest is cut off.
func TestKillWithRetries(t *testing.T) {
	const callers = 8
	fleet := servers(t, 5)
	names := addrs(fleet)
	keys := keys(t, 300, names...)
	c := dialService(t, `{"loadBalancingConfig":[{"maglev":`+byUser+`}],"methodConfig":[{"name":[{}],"retryPolicy":{
		"maxAttempts": 3, "initialBackoff": "0.01s", "maxBackoff": "0.1s", "backoffMultiplier": 2,
		"retryableStatusCodes": ["UNAVAILABLE"]}}]}`, endpoints(names...), retrySoon)
	var lost [callers]map[string]bool // to whom
	for i := range lost {
		lost[i] = make(map[string]bool)
	}
	var killed atomic.Pointer[server] // the last one
	stop := load(t, callers, keys, func(ctx context.Context, caller int, k *key) error {
		var answer metadata.MD
		got, err := c.callKey(ctx, k, grpc.Header(&answer))
		switch last := killed.Load(); {
		case err == nil && (got == k.candidates[0] || got == k.candidates[1]):
			return nil
		case err == nil:
			return fmt.Errorf("it went to %s", got)
		case len(answer) == 0 || status.Code(err) != codes.Unavailable || last == nil || got != last.addr || lost[caller][got]:
			return fmt.Errorf("to %q, whose answer began with %v: %w", got, answer, err)
		}
		lost[caller][got] = true
		return nil
	})
	settle(t, c, keys, home)
	for _, s := range fleet[:3] {
		killed.Store(s)
		s.Stop()
		settle(t, c, keys, unless(s.addr))
		serve(t, s.addr)
		settle(t, c, keys, home)
	}
	stop()
}

// The rule for calls that fail holds with a bound on the load, too: what is over it, or
// finds its backend gone, goes to others.
func TestKillUnderABound(t *testing.T) {
	const callers = 40 // some keys are hot, and what is over 8 calls goes elsewhere
	fleet := servers(t, 5)
	names := addrs(fleet)
	keys := keys(t, 3, names...)
	c := dial(t, `{"requestHashHeader":"x-user","hashBalanceFactor":100}`, endpoints(names...), retrySoon)
	var lost [callers]map[string]bool // to whom
	for i := range lost {
		lost[i] = make(map[string]bool)
	}
	var killed atomic.Pointer[server] // the last one
	stop := load(t, callers, keys, func(ctx context.Context, caller int, k *key) error {
		got, err := c.callKey(ctx, k)
		if err == nil {
			// With one processor a caller that went on at once would always have its place
			// back before anybody else finds room.
			time.Sleep(time.Millisecond)
			return nil
		}
		last := killed.Load()
		if status.Code(err) != codes.Unavailable || last == nil || got != last.addr || lost[caller][got] {
			return fmt.Errorf("to %q: %w", got, err)
		}
		lost[caller][got] = true
		return nil
	})
	settle(t, c, keys, home)
	for _, s := range fleet {
		killed.Store(s)
		s.Stop()
		settle(t, c, keys, unless(s.addr))
		serve(t, s.addr)
		settle(t, c, keys, home)
	}
	stop()
}
