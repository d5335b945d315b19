package grpcbalancer

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/balancer/base"
	"google.golang.org/grpc/connectivity"

	"github.com/maglev-lb/maglev"
)

// A mark is a SubConn that tells which child was picked.
type mark struct {
	balancer.SubConn
	child int
}

type marking struct{ mark *mark }

func (p marking) Pick(balancer.PickInfo) (balancer.PickResult, error) {
	return balancer.PickResult{SubConn: p.mark}, nil
}

// A child changes its state a moment before the picker of that is there. A call in
// between does not fail because of it: it goes to a child that works, or waits.
func TestPicksWhileStatesChange(t *testing.T) {
	const n = 5
	backends := make([]maglev.Backend, n)
	for i := range backends {
		backends[i] = maglev.Backend{Name: string(rune('a' + i)), Weight: 1}
	}
	table, err := maglev.New(backends, maglev.Options{})
	require.NoError(t, err)
	failed := errors.New("failed")
	for name, c := range map[string]struct {
		config *Config
		finds  int // up to how many failing ones it finds one that is not
	}{
		"hash":  {&Config{}, n - 1},
		"bound": {&Config{HashBalanceFactor: 150}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for failing := range n + 1 { // how many have just failed, along the candidates
				for key := range uint64(50) {
					s := &set{table: table, children: make([]*child, n), standing: make([]atomic.Pointer[standing], n), states: make(states, n), hasher: newHasher(c.config),
						factor: c.config.HashBalanceFactor, metrics: newMetrics(nil, ""), bound: new(bound)}
					s.usable.Store(n)
					p := &picker{set: s}
					p.counts[connectivity.Ready] = n
					var order []int
					for i := range table.Candidates(key) {
						order = append(order, i)
					}
					for at, i := range order {
						state := balancer.State{ConnectivityState: connectivity.Ready, Picker: marking{&mark{child: i}}}
						if at < failing {
							state = balancer.State{ConnectivityState: connectivity.TransientFailure, Picker: base.NewErrPicker(failed)}
						}
						s.children[i] = new(child)
						s.standing[i].Store(newStanding(state))
						s.states.put(i, connectivity.Ready) // it lags behind
					}
					got, err := p.Pick(balancer.PickInfo{Ctx: WithHash(context.Background(), key)})
					if failing > c.finds {
						require.ErrorIs(t, err, balancer.ErrNoSubConnAvailable)
						continue
					}
					require.NoError(t, err)
					require.Equal(t, order[failing], got.SubConn.(*mark).child)
				}
			}
		})
	}
}
