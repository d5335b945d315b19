package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"google.golang.org/grpc/metadata"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

// When shares are measured, there are either few or many servers.
const (
	shareKeys = 100_000
	few, many = 10, 100
)

// A share is how even keys are shared: max/mean with few and with many servers.
type share struct{ few, many float64 }

type shares struct{ ringHash, maglev, dice share }

func measureShares(ctx context.Context) (shares, error) {
	s, keys := shares{dice: share{byDice(few), byDice(many)}}, lookup.EveryKey(shareKeys)
	for _, of := range []struct {
		policy
		*share
	}{{ringHash, &s.ringHash}, {maglevHash, &s.maglev}} {
		var err error
		if of.few, err = picks(ctx, of.policy, few, keys); err != nil {
			return s, err
		}
		if of.many, err = picks(ctx, of.policy, many, keys); err != nil {
			return s, err
		}
	}
	return s, nil
}

// picks has a policy pick for each key, as gRPC has it pick for calls, and returns
// max/mean.
func picks(ctx context.Context, p policy, servers int, keys []string) (float64, error) {
	s, err := newStub(p, servers)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.label, err)
	}
	defer s.close()
	by := make(map[string]int)
	for _, key := range keys {
		host, err := s.pick(metadata.AppendToOutgoingContext(ctx, keyHeader, key))
		if err != nil {
			return 0, fmt.Errorf("%s: key %q: %w", p.label, key, err)
		}
		by[host]++
	}
	return lookup.MaxMean(by, servers), nil
}

// rolls is how often each key is at a server by dice.
const rolls = 10

// byDice returns max/mean, on average, if each key may be at any server.
func byDice(servers int) float64 {
	dice, sum := rand.New(rand.NewPCG(diceSeed, 0)), 0.0
	for range rolls {
		by := make([]int, servers)
		for range shareKeys {
			by[dice.IntN(servers)]++
		}
		sum += float64(slices.Max(by)) * float64(servers) / shareKeys
	}
	return sum / rolls
}
