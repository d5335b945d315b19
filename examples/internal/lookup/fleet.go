// Package lookup is what the examples with caching servers have in common: the
// servers, the database behind them, the requests and the books that are kept of
// them, and how a report looks. How requests travel is each example's own.
package lookup

import (
	"context"
	"time"
)

// A Fleet is a set of servers over one database, and what clients are told by them.
// It is for one goroutine; the servers are not.
type Fleet struct {
	Settings
	servers []*Server

	database database
	answered map[string]*tally // by server, as the clients saw it
}

// NewFleet returns a fleet to which servers are yet to be added.
func NewFleet(s Settings) *Fleet {
	return &Fleet{Settings: s, database: database{queryTime: QueryTime}, answered: make(map[string]*tally)}
}

// Add adds one more server.
func (f *Fleet) Add() *Server {
	s := &Server{Name: NameOf(len(f.servers)), database: &f.database, cache: newCache(f.Capacity())}
	f.servers = append(f.servers, s)
	return s
}

// Send asks for the keys, atOnce of them at a time, enters the answers into the books,
// and returns what came of each key. When it is the turn of keys[at], meanwhile, if it
// is not nil, is called while the others go on.
func (f *Fleet) Send(ctx context.Context, ask Ask, keys []string, atOnce, at int, meanwhile func() error) ([]Outcome, error) {
	outcomes, err := ask.each(ctx, keys, atOnce, at, meanwhile)
	for _, o := range outcomes {
		f.enter(o.Answer)
	}
	return outcomes, err
}

// AskForAll asks for each key once, in the order of EveryKey, and returns who has
// answered. None may fail.
func (f *Fleet) AskForAll(ctx context.Context, ask Ask) ([]string, error) {
	outcomes, err := f.Send(ctx, ask, EveryKey(f.Keys), Most, 0, nil)
	if err == nil {
		err = firstError(outcomes)
	}
	names := make([]string, len(outcomes))
	for i, o := range outcomes {
		names[i] = o.Server
	}
	return names, err
}

// Compare measures a client, which must not fail. It begins with the caches as its own
// requests for every key have left them.
func (f *Fleet) Compare(ctx context.Context, ask Ask, keys []string) (Summary, error) {
	for _, s := range f.servers {
		s.Clear()
	}
	if _, err := f.AskForAll(ctx, ask); err != nil {
		return Summary{}, err
	}
	before := f.queries()
	outcomes, err := f.Send(ctx, ask, keys, Workers, 0, nil)
	if err != nil {
		return Summary{}, err
	}
	return f.summarize(outcomes, f.queries()-before), firstError(outcomes)
}

// A Change is what became of requests and keys when the servers changed.
type Change struct {
	Server        string  // that was killed or added
	Before, After Summary // of requests that had ended when it was done, and of the others
	Failed        int     // requests of Before and After
	FirstError    error   // of them

	// Who has answered each key, in the order of EveryKey, before anything was done
	// and afterwards.
	Old, Now []string
}

// Change sends requests, a quarter of them before something is done, and finds out
// which keys have moved by asking for each before and afterwards. If it is not nil,
// settle is called before the latter.
func (f *Fleet) Change(ctx context.Context, ask Ask, server string, seed uint64, do, settle func() error) (*Change, error) {
	old, err := f.AskForAll(ctx, ask)
	if err != nil {
		return nil, err
	}
	var began time.Time // what is done
	begin, middle := f.queries(), 0
	outcomes, err := f.Send(ctx, ask, NewPopularity(f.Keys, seed).Draw(f.Requests), Workers, f.Requests/4, func() error {
		began, middle = time.Now(), f.queries()
		return do()
	})
	if err != nil {
		return nil, err
	}
	end := f.queries()
	var before, after []Outcome
	for _, o := range outcomes {
		if o.Ended.Before(began) {
			before = append(before, o)
		} else {
			after = append(after, o)
		}
	}
	if settle != nil {
		if err := settle(); err != nil {
			return nil, err
		}
	}
	now, err := f.AskForAll(ctx, ask)
	if err != nil {
		return nil, err
	}
	c := &Change{
		Server:     server,
		Before:     f.summarize(before, middle-begin),
		After:      f.summarize(after, end-middle),
		FirstError: firstError(outcomes),
		Old:        old,
		Now:        now,
	}
	c.Failed = c.Before.Failed + c.After.Failed
	return c, nil
}

// Moves says how many keys have moved, by whether they had to: those that the server
// of the change has lost, or those that it has gained.
type Moves struct {
	Own, OwnMoved       int
	Others, OthersMoved int
	To                  map[string]int // who answers those of Own now
}

// Lost is for a server that was killed.
func (c *Change) Lost() Moves {
	return c.moves(func(old, _ string) bool { return old == c.Server })
}

// Gained is for a server that was added.
func (c *Change) Gained() Moves {
	return c.moves(func(_, now string) bool { return now == c.Server })
}

func (c *Change) moves(hadTo func(old, now string) bool) Moves {
	m := Moves{To: make(map[string]int)}
	for i, old := range c.Old {
		now, moved := c.Now[i], 0
		if old != now {
			moved = 1
		}
		if hadTo(old, now) {
			m.Own, m.OwnMoved = m.Own+1, m.OwnMoved+moved
			m.To[now]++
		} else {
			m.Others, m.OthersMoved = m.Others+1, m.OthersMoved+moved
		}
	}
	return m
}

func (f *Fleet) summarize(outcomes []Outcome, queries int) Summary {
	return summarize(outcomes, queries, len(f.servers))
}

func (f *Fleet) queries() int { return int(f.database.queries.Load()) }
