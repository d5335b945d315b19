package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/maglev-lb/maglev"
)

// The servers, and which of them goes down. A table depends on the names
// alone; these have the form of those that Envoy gives its hosts.
var (
	five = []string{"10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.4:8080", "10.0.0.5:8080"}
	four = slices.DeleteFunc(slices.Clone(five), func(name string) bool { return name == gone })
)

const gone = "10.0.0.3:8080"

// figures are what play has measured.
type figures struct {
	keys, slots   int
	before, after map[string]int // requests that each server has counted
	moves         map[move]int   // keys that another server answered afterwards
	byModulo      int            // keys that would have moved under hash % N
	failover      failover
	envoy         comparison
}

type move struct{ from, to string }

// failover is how the keys of the server that is down do without a new table.
type failover struct {
	key      string // one of them, "" if there is none
	answered string
	spread   map[string]int // where all of them go
}

// play starts the servers, sends the keys, stops one server, sends them again,
// and returns what happened.
func play(ctx context.Context, keys []string) (*figures, error) {
	fleet, err := startFleet(five)
	if err != nil {
		return nil, err
	}
	defer fleet.close()

	table, err := maglev.New(backends(five), maglev.Options{})
	if err != nil {
		return nil, err
	}
	f := &figures{keys: len(keys), slots: table.Size()}

	first, err := fleet.sendAll(ctx, table, keys)
	if err != nil {
		return nil, err
	}
	f.before = fleet.requests()

	if err := fleet.stop(gone); err != nil {
		return nil, fmt.Errorf("stopping %s: %w", gone, err)
	}
	if f.failover, err = failOver(ctx, fleet, table, keys); err != nil {
		return nil, err
	}
	fleet.requests() // the failover's one is not to be counted

	smaller, err := maglev.New(backends(four), maglev.Options{})
	if err != nil {
		return nil, err
	}
	second, err := fleet.sendAll(ctx, smaller, keys)
	if err != nil {
		return nil, err
	}
	f.after = fleet.requests()

	f.moves = movesBetween(first, second)
	f.byModulo = movedByModulo(keys)
	f.envoy = comparison{
		{len(five), envoyFive, sumOfSlots(table)},
		{len(four), envoyFour, sumOfSlots(smaller)},
	}
	return f, f.checkCounts()
}

func backends(names []string) []maglev.Backend {
	var all []maglev.Backend
	for _, name := range names {
		all = append(all, maglev.Backend{Name: name})
	}
	return all
}

// failOver sends the first key of the server that is down to one candidate
// after the other until one answers, and looks up where its other keys would
// go.
func failOver(ctx context.Context, fleet *fleet, table *maglev.Table, keys []string) (failover, error) {
	f := failover{spread: make(map[string]int)}
	for _, key := range keys {
		if table.Backend(table.LookupString(key)).Name != gone {
			continue
		}
		next := nextAfterGone(table, key)
		f.spread[next]++
		if f.key != "" {
			continue
		}
		var err error
		f.key = key
		if f.answered, err = sendToFirst(ctx, fleet, table, key); err != nil {
			return f, err
		}
		if f.answered != next {
			return f, fmt.Errorf("key %q: %s answered, %s should have", key, f.answered, next)
		}
	}
	return f, nil
}

// nextAfterGone returns the first candidate that is not the server that is
// down.
func nextAfterGone(table *maglev.Table, key string) string {
	for i := range table.Candidates(maglev.XXHash(key, 0)) {
		if name := table.Backend(i).Name; name != gone {
			return name
		}
	}
	return ""
}

// sendToFirst sends a key to the first candidate that answers.
func sendToFirst(ctx context.Context, fleet *fleet, table *maglev.Table, key string) (answered string, err error) {
	for i := range table.Candidates(maglev.XXHash(key, 0)) {
		if answered, err = fleet.send(ctx, table.Backend(i).Name, key); err == nil {
			return answered, nil
		}
	}
	return "", err
}

func movesBetween(first, second []string) map[move]int {
	moves := make(map[move]int)
	for i := range first {
		if first[i] != second[i] {
			moves[move{first[i], second[i]}]++
		}
	}
	return moves
}

func movedByModulo(keys []string) int {
	moved := 0
	for _, key := range keys {
		hash := maglev.XXHash(key, 0)
		if five[hash%uint64(len(five))] != four[hash%uint64(len(four))] {
			moved++
		}
	}
	return moved
}

// checkCounts makes sure that the servers have counted every key once each
// time.
func (f *figures) checkCounts() error {
	for _, counts := range []map[string]int{f.before, f.after} {
		if got := total(counts); got != f.keys {
			return fmt.Errorf("%d keys were sent, and the servers counted %d requests", f.keys, got)
		}
	}
	return nil
}

func total[K comparable](counts map[K]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}
