package grpcbalancer_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
)

// A gate is where attempts to connect wait until the test decides about them.
type gate struct {
	arriving chan *attempt
	waiting  map[string]*attempt // that have arrived and are not decided, by address
	seen     map[string]bool     // addresses of all
}

type attempt struct {
	addr    string
	verdict chan error
}

func newGate() *gate {
	return &gate{make(chan *attempt), make(map[string]*attempt), make(map[string]bool)}
}

// option has a ClientConn connect through the gate.
func (g *gate) option() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
		a := &attempt{addr, make(chan error, 1)}
		select {
		case g.arriving <- a:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		select {
		case err := <-a.verdict:
			if err != nil {
				return nil, err
			}
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
}

// next returns the first address that somebody tries to connect to for the first time,
// "" if nobody does for a while.
func (g *gate) next(while time.Duration) string {
	timeout := time.After(while)
	for {
		select {
		case a := <-g.arriving:
			g.waiting[a.addr] = a
			if !g.seen[a.addr] {
				g.seen[a.addr] = true
				return a.addr
			}
		case <-timeout:
			return ""
		}
	}
}

// decide lets an attempt at an address go ahead, once there is one, or fails it with
// an error.
func (g *gate) decide(t testing.TB, addr string, verdict error) {
	t.Helper()
	ctx := short(t)
	for g.waiting[addr] == nil {
		select {
		case a := <-g.arriving:
			g.waiting[a.addr], g.seen[a.addr] = a, true
		case <-ctx.Done():
			require.FailNow(t, "nobody tries to connect", addr)
		}
	}
	g.waiting[addr].verdict <- verdict
	delete(g.waiting, addr)
}

// letNext lets the next attempt at a new address go ahead, and fails those at one that is
// down.
func (g *gate) letNext(t testing.TB, down string) (addr string) {
	t.Helper()
	timeout := time.After(soon)
	for {
		select {
		case a := <-g.arriving:
			if a.addr == down {
				a.verdict <- errClosed
				continue
			}
			g.waiting[a.addr] = a
			if !g.seen[a.addr] {
				g.seen[a.addr] = true
				g.decide(t, a.addr, nil)
				return a.addr
			}
		case <-timeout:
			require.FailNow(t, "nobody new tries to connect")
		}
	}
}

var errClosed = errors.New("the gate is closed")
