package lookup

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// small returns a fleet of two servers, and how they are asked: lookup-1 for the keys
// whose number is even.
func small() (*Fleet, Ask) {
	f := NewFleet(Settings{Keys: 10, Requests: 100, Servers: 2})
	f.database.queryTime = 0
	servers := []*Server{f.Add(), f.Add()}
	return f, func(_ context.Context, key string) (Answer, error) {
		s := servers[(key[len(key)-1]-'0')%2]
		value, hit := s.Answer(key)
		return Answer{Server: s.Name, Hit: hit, Value: value}, nil
	}
}

func TestCompareBeginsWithTheClientsOwnCaches(t *testing.T) {
	f, ask := small()
	for range 2 {
		s, err := f.Compare(t.Context(), ask, []string{KeyOf(0), KeyOf(2), KeyOf(4), KeyOf(1)})
		require.NoError(t, err)
		require.Equal(t, 4, s.Requests)
		require.Equal(t, 4, s.Hits)
		require.Zero(t, s.Queries)
		require.Equal(t, 1.5, s.MaxMean) // three where two would be even
	}
}

func TestChange(t *testing.T) {
	f, ask := small()
	f.servers[1].cache.capacity = f.Keys // it is to have all of them
	gone := false
	steps := ""
	c, err := f.Change(t.Context(), func(ctx context.Context, key string) (Answer, error) {
		if !gone {
			return ask(ctx, key)
		}
		value, hit := f.servers[1].Answer(key)
		return Answer{Server: "lookup-2", Hit: hit, Value: value}, nil
	}, "lookup-1", 1, func() error { steps += "do "; return nil }, func() error { steps, gone = steps+"settle", true; return nil })
	require.NoError(t, err)
	require.Equal(t, "do settle", steps)
	// A quarter had begun before, and as many as workers may not have ended.
	require.LessOrEqual(t, c.Before.Requests, 25+Workers)
	require.Greater(t, c.Before.Requests, 25-Workers)
	require.Equal(t, 100, c.Before.Requests+c.After.Requests)
	require.Equal(t, 1.0, c.After.HitRate())
	require.Equal(t, Moves{Own: 5, OwnMoved: 5, Others: 5, To: map[string]int{"lookup-2": 5}}, c.Lost())
	require.Equal(t, Moves{Own: 10, OwnMoved: 5, To: map[string]int{"lookup-2": 10}}, (&Change{Server: "lookup-2", Old: c.Old, Now: c.Now}).Gained())
	require.NoError(t, c.FirstError)
	require.Zero(t, c.Failed)
}

func TestChangeThatFails(t *testing.T) {
	f, ask := small()
	broken := errors.New("broken")
	fine := func() error { return nil }
	_, err := f.Change(t.Context(), ask, "lookup-1", 1, func() error { return broken }, nil)
	require.ErrorIs(t, err, broken)
	_, err = f.Change(t.Context(), ask, "lookup-1", 1, fine, func() error { return broken })
	require.ErrorIs(t, err, broken)

	var failing atomic.Bool
	fails := func(ctx context.Context, key string) (Answer, error) {
		if failing.Load() {
			return Answer{}, broken
		}
		return ask(ctx, key)
	}
	set := func(to bool) func() error { return func() error { failing.Store(to); return nil } }
	c, err := f.Change(t.Context(), fails, "lookup-1", 1, set(true), set(false))
	require.NoError(t, err)
	require.ErrorIs(t, c.FirstError, broken)
	require.Equal(t, c.After.Failed, c.Failed)
	require.NotZero(t, c.Failed)

	_, err = f.Change(t.Context(), fails, "lookup-1", 1, fine, set(true))
	require.ErrorIs(t, err, broken) // the keys have to be asked for
}

func TestMiscountIsAnError(t *testing.T) {
	for name, test := range map[string]struct {
		miscount func(f *Fleet)
		want     string
	}{
		"a request more": {func(f *Fleet) { f.servers[0].served.Add(1) }, "lookup-1 has served"},
		"a request less": {func(f *Fleet) { f.servers[1].served.Add(-1) }, "lookup-2 has served"},
		"a hit more":     {func(f *Fleet) { f.servers[1].hits.Add(1) }, "lookup-2 has served"},
		"a query more":   {func(f *Fleet) { f.database.queries.Add(1) }, "the caches have missed 10 times, and the database has had 11 queries"},
	} {
		t.Run(name, func(t *testing.T) {
			f, ask := small()
			_, err := f.AskForAll(t.Context(), ask)
			require.NoError(t, err)
			sums, err := f.Sums()
			require.NoError(t, err)
			require.Equal(t, Sums{Answers: 10, Served: 10, Misses: 10, Queries: 10}, sums)
			test.miscount(f)
			_, err = f.Sums()
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestKilledServersMayCutRequests(t *testing.T) {
	f, _ := small()
	f.servers[0].Answer(KeyOf(0)) // nobody hears of it
	_, err := f.Sums()
	require.ErrorContains(t, err, "lookup-1 has served 1 requests, 0 from its cache, and the clients have had 0 answers, 0 from there")
	f.servers[0].Killed = true
	sums, err := f.Sums()
	require.NoError(t, err)
	require.Equal(t, Sums{Served: 1, Cut: 1, Misses: 1, Queries: 1}, sums)
}

func TestWrongAnswerIsAFailure(t *testing.T) {
	f, ask := small()
	f.servers[1].cache.put(KeyOf(3), valueOf(KeyOf(4)))
	outcomes, err := f.Send(t.Context(), ask, []string{KeyOf(3)}, 1, 0, nil)
	require.NoError(t, err)
	require.ErrorContains(t, firstError(outcomes), `key "user-000003": the answer is "the value of user-000004"`)
	_, err = f.Sums()
	require.NoError(t, err) // it was an answer
}

func TestCacheKeepsWhatWasAskedForLast(t *testing.T) {
	c := newCache(2)
	c.put("a", "1")
	c.put("b", "2")
	_, ok := c.get("a")
	require.True(t, ok)
	c.put("c", "3") // in place of b
	c.put("c", "4")
	held := func(key string) bool { _, ok := c.get(key); return ok }
	require.True(t, held("a"))
	require.False(t, held("b"))
	value, _ := c.get("c")
	require.Equal(t, "4", value)
	c.clear()
	require.False(t, held("a"))
}

func TestTheSameKeysInEveryRun(t *testing.T) {
	draw := func(seed uint64) []string { return NewPopularity(1000, seed).Draw(100) }
	require.Equal(t, draw(1), draw(1))
	require.NotEqual(t, draw(1), draw(2))

	all := EveryKey(3)
	require.Equal(t, []string{"user-000002", "user-000001", "user-000000"}, all)
	require.True(t, slices.IsSortedFunc(all, func(a, b string) int { return strings.Compare(b, a) }))
}
