package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

// The seeds of what is drawn.
const (
	compareSeed = 1 + iota
	killSeed
	backSeed
	diceSeed
)

// figures are what play has measured.
type figures struct {
	lookup.Settings
	popular  int // calls of the comparison for the keys that fit into one cache
	policies []compared
	shares   shares
	kill     *lookup.Change
	retries  int // calls that gRPC has sent again when a server was killed
	back     *lookup.Change
	waited   time.Duration // from the start of the server until its first call
	sums     lookup.Sums
}

// compared is what one of the policies came to.
type compared struct {
	policy
	lookup.Summary
}

// play has the policies do their turns, then one server killed and started again.
func play(ctx context.Context, s lookup.Settings) (*figures, error) {
	fleet, err := startFleet(s)
	if err != nil {
		return nil, err
	}
	defer fleet.close()

	f := &figures{Settings: s}
	keys := lookup.NewPopularity(s.Keys, compareSeed).Draw(s.Requests)
	f.popular = s.Popular(keys)
	for _, p := range []policy{roundRobin, ringHash, maglevHash} {
		cc, err := dial(fleet, p)
		if err != nil {
			return nil, err
		}
		summary, err := fleet.Compare(ctx, askBy(cc), keys)
		if err := errors.Join(err, cc.Close()); err != nil {
			return nil, fmt.Errorf("%s: %w", p.label, err)
		}
		f.policies = append(f.policies, compared{p, summary})
	}
	if f.shares, err = measureShares(ctx); err != nil {
		return nil, err
	}
	if err := f.killAndRestart(ctx, fleet); err != nil {
		return nil, err
	}
	f.sums, err = fleet.Sums()
	return f, err
}

// killAndRestart has the server of the most popular key killed in the middle of calls,
// and started again.
func (f *figures) killAndRestart(ctx context.Context, fleet *fleet) error {
	cc, err := dial(fleet, maglevHash)
	if err != nil {
		return err
	}
	defer cc.Close()
	ask := askBy(cc)
	popular, err := fleet.Send(ctx, ask, []string{lookup.KeyOf(0)}, 1, 0, nil)
	if err := errors.Join(err, popular[0].Err); err != nil {
		return err
	}
	victim := fleet.named(popular[0].Server)
	f.kill, err = fleet.Change(ctx, ask, victim.Name, killSeed, func() error { return fleet.kill(victim) }, nil)
	if err != nil {
		return err
	}
	f.retries = fleet.retries()
	f.back, err = fleet.Change(ctx, ask, victim.Name, backSeed,
		func() error { return fleet.restart(victim) },
		func() error { return fleet.await(ctx, ask, lookup.KeyOf(0), victim) })
	f.waited = time.Duration(victim.waited.Load())
	return err
}

// await asks for a key until the server that has it answers, which has been started
// again. The client does not know of that before it has tried once more to connect.
func (f *fleet) await(ctx context.Context, ask lookup.Ask, key string, s *server) error {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("%s is back, and gets no calls", s.Name))
	defer cancel()
	for {
		outcomes, err := f.Send(ctx, ask, []string{key}, 1, 0, nil)
		if err := errors.Join(err, outcomes[0].Err); err != nil {
			return err
		}
		if outcomes[0].Server == s.Name {
			return nil
		}
		time.Sleep(patience / 20)
	}
}

// check returns an error if something is not as the report claims.
func (f *figures) check() error {
	lost, gained := f.kill.Lost(), f.back.Gained()
	switch {
	case f.kill.Failed > lookup.Workers: // more than were under way
		return fmt.Errorf("%d calls failed as %s was killed: %w", f.kill.Failed, f.kill.Server, f.kill.FirstError)
	case f.back.FirstError != nil:
		return fmt.Errorf("%d calls failed as %s came back: %w", f.back.Failed, f.back.Server, f.back.FirstError)
	case lost.OwnMoved != lost.Own || lost.OthersMoved > 0:
		return fmt.Errorf("%s was killed, and %d of its %d keys have moved, and %d of the others'", f.kill.Server, lost.OwnMoved, lost.Own, lost.OthersMoved)
	case !slices.Equal(f.kill.Old, f.back.Now):
		return fmt.Errorf("%s is back with %d of its %d keys, and %d others have moved", f.back.Server, gained.OwnMoved, lost.Own, gained.OthersMoved)
	}
	return nil
}

// takenOver returns how many keys of the server that was killed another one has, at
// least and at most.
func (f *figures) takenOver() (least, most int) {
	lost := f.kill.Lost()
	least = lost.Own
	for i := range f.Servers {
		if name := lookup.NameOf(i); name != f.kill.Server {
			least, most = min(least, lost.To[name]), max(most, lost.To[name])
		}
	}
	return least, most
}
