package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

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
	settings
	popular int // requests of the comparison for the keys that fit into one cache
	clients []compared
	kill    change
	retries uint64 // of the client, when a server was killed
	add     change
	sums    sums
}

// compared is what one of the clients came to.
type compared struct {
	name string
	summary
}

// A change is what became of requests and keys when the servers changed.
type change struct {
	server        string // that was killed or added
	before, after summary
	failed        int
	firstError    error

	// The keys, by whether they had to move: those that the killed server had
	// answered, or that the new one answers.
	own, others           int
	ownMoved, othersMoved int
}

// A play is the servers, the client that balances by key, and the books.
type play struct {
	settings
	fleet    *fleet
	balancer *httpbalancer.Transport
	answered map[string]*tally // by server, as the clients saw it
}

// A tally counts the answers of a server.
type tally struct{ requests, hits int }

func newPlay(s settings) (*play, error) {
	fleet, err := startFleet(s.servers, s.capacity())
	if err != nil {
		return nil, err
	}
	balancer, err := newBalancer(fleet)
	if err != nil {
		return nil, errors.Join(err, fleet.close())
	}
	return &play{s, fleet, balancer, make(map[string]*tally)}, nil
}

func (p *play) close() error { return errors.Join(p.balancer.Close(), p.fleet.close()) }

// figures has the clients do their turns, and then one server killed and one
// added.
func (p *play) figures(ctx context.Context) (*figures, error) {
	f := &figures{settings: p.settings}
	keys := newPopularity(p.keys, compareSeed).draw(p.requests)
	for _, key := range keys {
		if key < keyOf(p.capacity()) {
			f.popular++
		}
	}
	for _, client := range []struct {
		name string
		via  http.RoundTripper
	}{{byRandom, newRandom(p.fleet)}, {byTurns, newRoundRobin(p.fleet)}, {byKey, p.balancer}} {
		s, err := p.compare(ctx, client.via, keys)
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
	f.sums, err = p.sums()
	return f, err
}

// compare measures a client. It begins with the caches as its own requests for
// every key have left them.
func (p *play) compare(ctx context.Context, via http.RoundTripper, keys []string) (summary, error) {
	p.fleet.clear()
	if _, err := p.askForAll(ctx, via); err != nil {
		return summary{}, err
	}
	before := p.queries()
	outcomes, err := p.send(ctx, via, keys, workers, 0, nil)
	if err != nil {
		return summary{}, err
	}
	return summarize(outcomes, p.queries()-before), firstError(outcomes)
}

// kill has a server killed in the middle of requests.
func (p *play) kill(ctx context.Context) (change, error) {
	victim := p.fleet.servers[p.servers/3]
	return p.change(ctx, victim.name, killSeed,
		func() error { return p.fleet.kill(victim) },
		func(before, _ string) bool { return before == victim.name })
}

// add has a server added in the middle of requests. The one that was killed is not
// taken out.
func (p *play) add(ctx context.Context) (change, error) {
	newcomer := nameOf(p.servers)
	return p.change(ctx, newcomer, addSeed,
		func() error {
			if _, err := p.fleet.add(); err != nil {
				return err
			}
			return p.balancer.Update(backends(p.fleet))
		},
		func(_, after string) bool { return after == newcomer })
}

// change sends requests by the key, a quarter of them before something is done,
// and finds out which keys have moved by asking for each before and afterwards.
func (p *play) change(ctx context.Context, server string, seed uint64, do func() error, hadToMove func(before, after string) bool) (change, error) {
	c := change{server: server}
	old, err := p.askForAll(ctx, p.balancer)
	if err != nil {
		return c, err
	}
	at, begin, middle := p.requests/4, p.queries(), 0
	outcomes, err := p.send(ctx, p.balancer, newPopularity(p.keys, seed).draw(p.requests), workers, at, func() error {
		middle = p.queries()
		return do()
	})
	if err != nil {
		return c, err
	}
	c.before = summarize(outcomes[:at], middle-begin)
	c.after = summarize(outcomes[at:], p.queries()-middle)
	now, err := p.askForAll(ctx, p.balancer)
	if err != nil {
		return c, err
	}
	c.failed = c.before.failed + c.after.failed
	c.firstError = errors.Join(firstError(old), firstError(outcomes), firstError(now))
	for i := range old {
		moved := old[i].server != now[i].server
		switch own := hadToMove(old[i].server, now[i].server); {
		case own && moved:
			c.own, c.ownMoved = c.own+1, c.ownMoved+1
		case own:
			c.own++
		case moved:
			c.others, c.othersMoved = c.others+1, c.othersMoved+1
		default:
			c.others++
		}
	}
	return c, nil
}

// askForAll asks for each key once.
func (p *play) askForAll(ctx context.Context, via http.RoundTripper) ([]outcome, error) {
	return p.send(ctx, via, everyKey(p.keys), most, 0, nil)
}

// send sends, and enters the answers into the books.
func (p *play) send(ctx context.Context, via http.RoundTripper, keys []string, atOnce, at int, meanwhile func() error) ([]outcome, error) {
	outcomes, err := send(ctx, via, keys, atOnce, at, meanwhile)
	for _, o := range outcomes {
		if o.server == "" {
			continue
		}
		t := p.answered[o.server]
		if t == nil {
			t = new(tally)
			p.answered[o.server] = t
		}
		t.requests++
		if o.hit {
			t.hits++
		}
	}
	return outcomes, err
}

func (p *play) queries() int { return int(p.fleet.database.queries.Load()) }
