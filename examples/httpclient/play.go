package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// The seeds of the keys that are drawn.
const (
	compareSeed = 1 + iota
	killSeed
	addSeed
	serveSeed
)

// figures are what a play has measured.
type figures struct {
	lookup.Settings
	popular int // requests of the comparison for the keys that fit into one cache
	clients []compared
	kill    *lookup.Change
	retries uint64 // of the client, when a server was killed
	add     *lookup.Change
	sums    lookup.Sums
}

// compared is what one of the clients came to.
type compared struct {
	name string
	lookup.Summary
}

// A play is the servers, with the books, and the client that balances by key.
type play struct {
	*fleet
	balancer *httpbalancer.Transport
}

func newPlay(s lookup.Settings) (*play, error) {
	fleet, err := startFleet(s)
	if err != nil {
		return nil, err
	}
	balancer, err := newBalancer(fleet)
	if err != nil {
		return nil, errors.Join(err, fleet.close())
	}
	return &play{fleet, balancer}, nil
}

func (p *play) close() error { return errors.Join(p.balancer.Close(), p.fleet.close()) }

// figures has the clients do their turns, and then one server killed and one
// added.
func (p *play) figures(ctx context.Context) (*figures, error) {
	f := &figures{Settings: p.Settings}
	keys := lookup.NewPopularity(p.Keys, compareSeed).Draw(p.Requests)
	f.popular = f.Popular(keys)
	for _, client := range []struct {
		name string
		via  http.RoundTripper
	}{{byRandom, newRandom(p.fleet)}, {byTurns, newRoundRobin(p.fleet)}, {byKey, p.balancer}} {
		s, err := p.Compare(ctx, askVia(client.via), keys)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", client.name, err)
		}
		f.clients = append(f.clients, compared{client.name, s})
	}
	var err error
	if f.kill, err = p.kill(ctx); err != nil {
		return nil, err
	}
	f.retries = p.balancer.Stats().Retries
	if f.add, err = p.add(ctx); err != nil {
		return nil, err
	}
	f.sums, err = p.Sums()
	return f, err
}

// kill has a server killed in the middle of requests.
func (p *play) kill(ctx context.Context) (*lookup.Change, error) {
	victim := p.servers[p.Servers/3]
	return p.Change(ctx, askVia(p.balancer), victim.Name, killSeed, victim.kill, nil)
}

// add has a server added in the middle of requests. The one that was killed is not
// taken out.
func (p *play) add(ctx context.Context) (*lookup.Change, error) {
	newcomer := lookup.NameOf(p.Servers)
	return p.Change(ctx, askVia(p.balancer), newcomer, addSeed, func() error {
		if err := p.fleet.add(); err != nil {
			return err
		}
		return p.balancer.Update(backends(p.fleet))
	}, nil)
}

// check returns an error if something is not as the report claims.
func (f *figures) check() error {
	for _, c := range []struct {
		*lookup.Change
		lookup.Moves
	}{{f.kill, f.kill.Lost()}, {f.add, f.add.Gained()}} {
		switch {
		case c.FirstError != nil:
			return fmt.Errorf("%d requests failed as %s changed: %w", c.Failed, c.Server, c.FirstError)
		case c.OwnMoved != c.Own:
			return fmt.Errorf("of the %d keys that %s had to lose or gain, %d have moved", c.Own, c.Server, c.OwnMoved)
		}
	}
	if moved := f.kill.Lost().OthersMoved; moved > 0 {
		return fmt.Errorf("%d keys of servers that were not killed have moved", moved)
	}
	return nil
}
