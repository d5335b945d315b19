package maglev_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

const (
	window = 100 * time.Second
	keys   = 20000
)

func slow(s maglev.SlowStart) maglev.BalancerOptions {
	s.Window = window
	return maglev.BalancerOptions{Table: maglev.Options{TableSize: 5003}, SlowStart: s}
}

// picksOf returns the backend of each of the keys; Acquire has to say the same.
func picksOf(t *testing.T, b *maglev.Balancer[*int]) []int {
	t.Helper()
	picks := make([]int, keys)
	for i := range picks {
		hash := maglev.XXHash(fmt.Sprint(i), 0)
		value, ok := b.Pick(hash)
		lease, leased := b.Acquire(hash)
		lease.Release()
		if !ok || !leased || value != lease.Value {
			require.Failf(t, "Pick and Acquire differ", "key %d", i)
		}
		picks[i] = *value
	}
	return picks
}

// The share of its keys that a new backend has follows the formula. Of about
// 20000/11 keys the standard deviation of a share is at most 1.2 %; 4.7 % is allowed.
func TestSlowStartFollowsTheFormula(t *testing.T) {
	for _, s := range []maglev.SlowStart{
		{}, {Aggression: 1}, {Aggression: 2}, {Aggression: 0.5}, {MinPercent: 40}, {MinPercent: 1, Aggression: 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := balancer(t, 10, slow(s))
			time.Sleep(window)
			members := fleet(11)
			members[10].Name = "new"
			require.NoError(t, b.Update(members))
			table := mustNew(t, backendsOf(members), maglev.Options{TableSize: 5003})
			aggression, least := 1.0, 0.1
			if s.Aggression > 0 {
				aggression = s.Aggression
			}
			if s.MinPercent > 0 {
				least = float64(s.MinPercent) / 100
			}
			for at := time.Duration(0); at <= window; at += window / 10 {
				its, taken := 0, 0
				for i, pick := range picksOf(t, b) {
					if table.Lookup(maglev.XXHash(fmt.Sprint(i), 0)) == 10 {
						its++
						if pick == 10 {
							taken++
						}
					} else if pick == 10 {
						require.Fail(t, "a key of another's")
					}
				}
				want := max(least, math.Pow(float64(at)/float64(window), 1/aggression))
				require.InDelta(t, want, float64(taken)/float64(its), 0.047, "%+v at %v", s, at)
				state := maglev.StateWarming
				if at == window {
					state = maglev.StateReady
					require.Equal(t, its, taken)
				}
				require.Equal(t, state, statsOf(b, "new").State, "at %v", at)
				time.Sleep(window / 10)
			}
		})
	}
}

// Backends come one after another, within one window and while the first ones are
// young themselves. As time goes by a key stays where it is, or goes to a newer
// backend that has, or had before a still newer one came, its slot. When a backend
// comes, the keys of its slots stay unless it takes them.
func TestSlowStartTakesKeysOverForGoodAndLeavesTheOthersWhereTheyWere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancer(t, 5, slow(maglev.SlowStart{MinPercent: 20}))
		first := picksOf(t, b)
		table := mustNew(t, backendsOf(fleet(5)), maglev.Options{TableSize: 5003})
		for i, pick := range first {
			require.Equal(t, table.Lookup(maglev.XXHash(fmt.Sprint(i), 0)), pick, "nothing happens in the first set")
		}
		picks, tables := first, []*maglev.Table{table}
		for n := 5; n < 10; {
			for range 3 {
				time.Sleep(window / 30)
				next := picksOf(t, b)
				for i := range next {
					slotOf := func(table *maglev.Table) bool {
						return table.Lookup(maglev.XXHash(fmt.Sprint(i), 0)) == next[i]
					}
					if next[i] != picks[i] && !(next[i] >= 5 && next[i] > picks[i] && slices.ContainsFunc(tables, slotOf)) {
						require.Failf(t, "moved", "key %d from %d to %d with %d backends", i, picks[i], next[i], n)
					}
				}
				picks = next
			}
			n++
			require.NoError(t, b.Update(fleet(n)))
			after := mustNew(t, backendsOf(fleet(n)), maglev.Options{TableSize: 5003})
			next := picksOf(t, b)
			taken, stay := 0, 0
			for i := range next {
				hash := maglev.XXHash(fmt.Sprint(i), 0)
				if after.Lookup(hash) != n-1 {
					continue // its slot is another's, new or old
				}
				switch next[i] {
				case n - 1:
					taken++
				case picks[i]:
					stay++
				default:
					require.Failf(t, "moved", "key %d from %d to %d", i, picks[i], next[i])
				}
			}
			require.InDelta(t, 0.2, float64(taken)/float64(taken+stay), 0.03)
			tables, table, picks = append(tables, after), after, next
		}
		time.Sleep(window)
		for i, pick := range picksOf(t, b) {
			require.Equal(t, table.Lookup(maglev.XXHash(fmt.Sprint(i), 0)), pick, "all have what is theirs")
		}
	})
}

// A backend that recovers takes its keys back from where they are meanwhile.
func TestSlowStartOfARecoveredBackend(t *testing.T) {
	for _, how := range []maglev.Unhealthy{maglev.Spill, maglev.Rebuild} {
		synctest.Test(t, func(t *testing.T) {
			opts := slow(maglev.SlowStart{})
			opts.Unhealthy = how
			b := balancer(t, 10, opts)
			time.Sleep(window / 2)
			up := picksOf(t, b)
			require.NoError(t, b.SetHealth("10.0.0.4:80", false))
			synctest.Wait() // for the table without it
			down := picksOf(t, b)
			time.Sleep(window)
			require.NoError(t, b.SetHealth("10.0.0.4:80", true))
			synctest.Wait()
			last := 0
			for at := time.Duration(0); at <= window; at += window / 10 {
				back, away := 0, 0
				for i, pick := range picksOf(t, b) {
					switch {
					case up[i] != 4: // Rebuild moves some of these to and fro
						require.Contains(t, []int{up[i], down[i]}, pick)
					case pick == 4:
						back++
					default:
						require.Equal(t, down[i], pick)
						away++
					}
				}
				require.GreaterOrEqual(t, back, last)
				last = back
				require.InDelta(t, max(0.1, float64(at)/float64(window)), float64(back)/float64(back+away), 0.047)
				time.Sleep(window / 10)
			}
			require.Equal(t, maglev.StateReady, statsOf(b, "10.0.0.4:80").State)
		})
	}
}

// Those that recover together, as when the network does, share as if they were
// new together; panic knows no slow start.
func TestSlowStartOfManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opts := slow(maglev.SlowStart{})
		opts.PanicThreshold = new(0)
		b := balancer(t, 10, opts)
		time.Sleep(window)
		up := picksOf(t, b)
		for _, m := range fleet(10) {
			require.NoError(t, b.SetHealth(m.Name, false))
		}
		_, ok := b.Pick(1)
		require.False(t, ok)
		for _, m := range fleet(10) {
			require.NoError(t, b.SetHealth(m.Name, true))
		}
		require.Equal(t, up, picksOf(t, b))

		// One that comes a second later is at 10 %, and soon catches up.
		require.NoError(t, b.SetHealth("10.0.0.4:80", false))
		time.Sleep(time.Second)
		require.NoError(t, b.SetHealth("10.0.0.4:80", true))
		time.Sleep(9 * time.Second) // 9 of 10 seconds
		had, has := 0, 0
		for i, pick := range picksOf(t, b) {
			if up[i] == 4 {
				had++
			}
			if pick == 4 {
				has++
			}
		}
		require.InDelta(t, 0.9, float64(has)/float64(had), 0.047)
	})
	synctest.Test(t, func(t *testing.T) {
		b := balancer(t, 10, slow(maglev.SlowStart{}))
		up := picksOf(t, b)
		time.Sleep(window)
		for _, m := range fleet(10)[:7] {
			require.NoError(t, b.SetHealth(m.Name, false))
		}
		require.NoError(t, b.SetHealth("10.0.0.0:80", true))
		require.True(t, b.Stats().Panic)
		require.Equal(t, up, picksOf(t, b))
	})
}

// Only keys of warming backends go where they were before: those of one that is
// down follow the table's candidates.
func TestSlowStartIsNothingToTheKeysOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := balancer(t, 10, slow(maglev.SlowStart{}))
		time.Sleep(window)
		members := fleet(11)
		require.NoError(t, b.Update(members))
		require.NoError(t, b.SetHealth(members[3].Name, false))
		table := mustNew(t, backendsOf(members), maglev.Options{TableSize: 5003})
		for i, pick := range picksOf(t, b) {
			hash := maglev.XXHash(fmt.Sprint(i), 0)
			if table.Lookup(hash) != 3 {
				continue
			}
			for next := range table.Candidates(hash) {
				if next == pick {
					break
				}
				require.Contains(t, []int{3, 10}, next, "key %d", i)
			}
		}
	})
}
