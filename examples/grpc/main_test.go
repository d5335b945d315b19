package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

// usual are the settings without flags.
var usual = lookup.Settings{Keys: 1000, Requests: 3000, Servers: 8}

// usualFigures are theirs, which take a race detector some seconds.
var usualFigures = sync.OnceValues(func() (*figures, error) { return play(context.Background(), usual) })

func TestHitRates(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	require.Len(t, f.policies, 3)
	turns, ring, ours := f.policies[0], f.policies[1], f.policies[2]
	require.Equal(t, []policy{roundRobin, ringHash, maglevHash}, []policy{turns.policy, ring.policy, ours.policy})

	// Each server's keys fit into its cache, so after the first time none is ever
	// missed.
	for _, where := range []placement{byRing(usual.Servers, host), byTable(t, usual.Servers)} {
		for _, n := range where.count(lookup.EveryKey(usual.Keys)) {
			require.LessOrEqual(t, n, usual.Capacity())
		}
	}
	for _, c := range []compared{ring, ours} {
		require.Equal(t, usual.Requests, c.Hits, c.label)
		require.Zero(t, c.Queries, c.label)
	}

	// A cache whose server is asked for all keys holds some of them before it is
	// known what the next one is, at best the most popular ones.
	require.Less(t, turns.HitRate(), float64(f.popular)/float64(usual.Requests)+0.05) // five standard deviations
	require.Greater(t, ours.HitRate(), turns.HitRate()+0.3)
	require.Equal(t, usual.Requests-turns.Hits, turns.Queries)
}

func TestLoadIsWhereTheKeysAre(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	keys := lookup.NewPopularity(usual.Keys, compareSeed).Draw(usual.Requests)
	require.Equal(t, byRing(usual.Servers, host).maxMean(keys), f.policies[1].MaxMean)
	require.Equal(t, byTable(t, usual.Servers).maxMean(keys), f.policies[2].MaxMean)
	require.InDelta(t, 1, f.policies[0].MaxMean, 0.01) // a turn more or less
}

func TestShares(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	keys := lookup.EveryKey(shareKeys)
	require.Equal(t, share{byRing(few, host).maxMean(keys), byRing(many, host).maxMean(keys)}, f.shares.ringHash)
	require.Equal(t, share{byTable(t, few).maxMean(keys), byTable(t, many).maxMean(keys)}, f.shares.maglev)

	// Of the table's shares none is more than a slot from the mean, so it does as
	// dice do.
	require.InDelta(t, f.shares.dice.few, f.shares.maglev.few, 0.03)
	require.InDelta(t, f.shares.dice.many, f.shares.maglev.many, 0.05)
	require.Greater(t, f.shares.ringHash.many-1, 5*(f.shares.maglev.many-1))
}

// The report would be unfair to rings if that of its servers were a bad one.
func TestTheRingIsAnOrdinaryOne(t *testing.T) {
	keys := lookup.EveryKey(10_000)
	for _, n := range []int{usual.Servers, few, many} {
		ours, worse := byRing(n, host).maxMean(keys), 0
		const others = 20
		for i := range others {
			if byRing(n, func(j int) string { return fmt.Sprintf("10.%d.0.%d:50051", i+1, j+1) }).maxMean(keys) > ours {
				worse++
			}
		}
		require.Greater(t, worse, others/5, n)
		require.Less(t, worse, others*4/5, n)
	}
}

func TestKilledServer(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	require.NoError(t, f.check())
	table := byTable(t, usual.Servers)
	require.Equal(t, table.first(lookup.KeyOf(0), ""), f.kill.Server)
	for i, key := range lookup.EveryKey(usual.Keys) {
		require.Equal(t, table.first(key, ""), f.kill.Old[i], key)
		require.Equal(t, table.first(key, f.kill.Server), f.kill.Now[i], key)
	}
	moves := f.kill.Lost()
	require.NotZero(t, moves.Own)
	require.Equal(t, moves.Own, moves.OwnMoved)
	require.Zero(t, moves.OthersMoved)
	least, most := f.takenOver()
	require.Positive(t, least)
	require.GreaterOrEqual(t, most, moves.Own/(usual.Servers-1))
	require.LessOrEqual(t, f.kill.Failed, lookup.Workers)
	require.LessOrEqual(t, f.retries, 2*lookup.Workers) // two attempts more each
	require.Equal(t, 1.0, f.kill.Before.HitRate())
	require.Less(t, f.kill.After.HitRate(), 1.0)
}

func TestServerThatIsBack(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	require.Equal(t, f.kill.Now, f.back.Old)
	require.Equal(t, f.kill.Old, f.back.Now)
	require.Zero(t, f.back.Failed)
	require.NoError(t, f.back.FirstError)
	require.Equal(t, f.kill.Lost().Own, f.back.Gained().OwnMoved)
	require.Positive(t, f.waited)
	require.Less(t, f.waited, 30*time.Second)
}

func TestBothSidesCountTheSame(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	// Three times all keys and calls, twice the calls with all keys before and
	// after; one call to find the server of a key, and some until it is back.
	require.Greater(t, f.sums.Answers, 3*(1000+3000)+2*(1000+3000+1000)-f.kill.Failed)
	require.Equal(t, f.sums.Answers+f.sums.Cut, f.sums.Served)
	require.LessOrEqual(t, f.sums.Cut, f.retries+f.kill.Failed)
	require.Equal(t, f.sums.Misses, f.sums.Queries)
}

func TestClaimsThatDoNotHold(t *testing.T) {
	// Three keys, the first of which is lookup-1's.
	at, without := []string{"lookup-1", "lookup-2", "lookup-2"}, []string{"lookup-2", "lookup-2", "lookup-2"}
	held := func() *figures {
		return &figures{
			kill: &lookup.Change{Server: "lookup-1", Old: at, Now: without, Failed: lookup.Workers, FirstError: errors.New("gone")},
			back: &lookup.Change{Server: "lookup-1", Old: without, Now: at},
		}
	}
	require.NoError(t, held().check())
	for want, breaks := range map[string]func(f *figures){
		"9 calls failed as lookup-1 was killed: gone":                               func(f *figures) { f.kill.Failed++ },
		"1 calls failed as lookup-1 came back: gone":                                func(f *figures) { f.back.Failed, f.back.FirstError = 1, errors.New("gone") },
		"lookup-1 was killed, and 0 of its 1 keys have moved, and 0 of the others'": func(f *figures) { f.kill.Now = at },
		"lookup-1 was killed, and 1 of its 1 keys have moved, and 1 of the others'": func(f *figures) { f.kill.Now = []string{"lookup-2", "lookup-3", "lookup-2"} },
		"lookup-1 is back with 0 of its 1 keys, and 0 others have moved":            func(f *figures) { f.back.Now = without },
		"lookup-1 is back with 1 of its 1 keys, and 1 others have moved":            func(f *figures) { f.back.Now = []string{"lookup-1", "lookup-3", "lookup-2"} },
		"lookup-1 is back with 2 of its 1 keys, and 0 others have moved":            func(f *figures) { f.back.Now = []string{"lookup-1", "lookup-1", "lookup-2"} },
	} {
		f := held()
		breaks(f)
		require.EqualError(t, f.check(), want)
	}
}

func TestOutput(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, report(&out, f))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.LessOrEqual(t, len(lines), 45)
	for _, line := range lines {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 80, line)
	}
	require.Contains(t, out.String(), "maglev        ######################## 100.0 %")
	require.Contains(t, out.String(), " 0 of the others' ")
}

func TestSmallestRun(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-keys", "2", "-requests", "100", "-servers", "2"}, &stdout, &stderr))
	require.Empty(t, stderr.String())
	require.Contains(t, stdout.String(), "2 lookup servers on loopback, 2 keys")
}

func TestUsage(t *testing.T) {
	var stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-h"}, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "Usage: grpc [-keys N] [-requests N] [-servers N]")

	for args, want := range map[string]string{
		"-frobnicate":       "-frobnicate",
		"-keys":             "flag needs an argument",
		"-keys many":        "-keys",
		"1000":              `"1000" is not expected`,
		"-keys 7":           "-keys 7: it must be from 8, the number of servers, to 100000",
		"-requests 1000001": "-requests 1000001: it must be from 100 to 1000000",
		"-servers 1":        "-servers 1: it must be from 2 to 64",
	} {
		stderr.Reset()
		require.ErrorIs(t, run(t.Context(), strings.Fields(args), io.Discard, &stderr), errUsage, args)
		require.Contains(t, stderr.String(), want, args)
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, nil, io.Discard, io.Discard), context.Canceled)
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestOutputThatFails(t *testing.T) {
	args := []string{"-keys", "8", "-requests", "100"}
	require.ErrorContains(t, run(t.Context(), args, full{}, io.Discard), "writing the report: no space left")
}

func TestDefaultsAreTheUsualSettings(t *testing.T) {
	s, err := parse(nil, io.Discard)
	require.NoError(t, err)
	require.Equal(t, usual, s)
}
