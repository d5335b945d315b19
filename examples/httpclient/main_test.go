package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/examples/internal/lookup"
)

// usual are the settings without flags.
var usual = lookup.Settings{Keys: 1000, Requests: 3000, Servers: 8}

// usualFigures are theirs, which take a race detector some seconds.
var usualFigures = sync.OnceValues(func() (*figures, error) {
	p, err := newPlay(usual)
	if err != nil {
		return nil, err
	}
	defer p.close()
	return p.figures(context.Background())
})

func TestHitRates(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	require.NoError(t, f.check())
	require.Len(t, f.clients, 3)

	// The chance that a request is for a key that fits, drawn without a cache.
	// What a cache holds before a request does not depend on the request's
	// key: whichever keys they are, the most popular ones have the best chance.
	best, all := 0.0, 0.0
	for rank := range usual.Keys {
		p := math.Pow(10+float64(rank), -1.01)
		all += p
		if rank < usual.Capacity() {
			best += p
		}
	}
	best /= all
	// Hits are at most binomial; five standard deviations are exceeded once in
	// millions.
	slack := 5 * math.Sqrt(best*(1-best)/float64(usual.Requests))
	require.InDelta(t, best, float64(f.popular)/float64(usual.Requests), slack)
	for _, c := range f.clients[:2] {
		require.Less(t, c.HitRate(), best+slack, c.name)
		require.Equal(t, usual.Requests-c.Hits, c.Queries, c.name)
	}

	ours := f.clients[2]
	require.Equal(t, byKey, ours.name)
	// Each server's keys fit into its cache, so after the first time none is
	// ever missed.
	for _, n := range keysOfServers(t, usual.Servers) {
		require.LessOrEqual(t, n, usual.Capacity())
	}
	require.Equal(t, usual.Requests, ours.Hits)
	require.Zero(t, ours.Queries)
	require.Greater(t, ours.HitRate(), f.clients[0].HitRate()+1-best-slack)
}

// keysOfServers returns how many of the keys a table gives to each server.
func keysOfServers(t *testing.T, servers int) map[string]int {
	t.Helper()
	f := fleet{}
	for i := range servers {
		f.servers = append(f.servers, &server{Server: &lookup.Server{Name: lookup.NameOf(i)}})
	}
	var names []maglev.Backend
	for _, b := range backends(&f) {
		names = append(names, maglev.Backend{Name: b.Name})
	}
	table, err := maglev.New(names, maglev.Options{})
	require.NoError(t, err)
	counts := make(map[string]int)
	for _, key := range lookup.EveryKey(usual.Keys) {
		counts[table.Backend(table.LookupString(key)).Name]++
	}
	return counts
}

func TestKilledServer(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	require.Zero(t, f.kill.Failed)
	require.NoError(t, f.kill.FirstError)
	require.NotZero(t, f.retries)
	moves := f.kill.Lost()
	require.Equal(t, keysOfServers(t, usual.Servers)[f.kill.Server], moves.Own)
	require.Equal(t, moves.Own, moves.OwnMoved)
	require.Zero(t, moves.OthersMoved)
	require.Equal(t, usual.Keys, moves.Own+moves.Others)
	require.Equal(t, 1.0, f.kill.Before.HitRate())
	require.Less(t, f.kill.After.HitRate(), 1.0)
}

func TestAddedServer(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	require.Zero(t, f.add.Failed)
	require.NoError(t, f.add.FirstError)
	moves := f.add.Gained()
	require.Equal(t, moves.Own, moves.OwnMoved)
	// As many servers as before the kill are alive; five standard deviations.
	p := 1 / float64(usual.Servers)
	require.InDelta(t, p*float64(usual.Keys), moves.Own, 5*math.Sqrt(p*(1-p)*float64(usual.Keys)))
	// Slots that move without need, 0.5 % of a table of 9, and the keys of the
	// server that is down, for which the order of the others may change.
	require.Less(t, moves.OthersMoved, usual.Keys/50)
}

func TestBothSidesCountTheSame(t *testing.T) {
	f, err := usualFigures()
	require.NoError(t, err)
	// Three times all keys and requests, twice more the requests, with all keys
	// before and after.
	require.Equal(t, 3*(1000+3000)+2*(1000+3000+1000), f.sums.Answers)
	require.Equal(t, f.sums.Answers+f.sums.Cut, f.sums.Served)
	require.Equal(t, f.sums.Misses, f.sums.Queries)
	require.Equal(t, f.sums.Served, f.sums.Misses+f.sums.Hits)
}

func TestClaimsThatDoNotHold(t *testing.T) {
	// Three keys, of which the first has lost its server, and the second has one that
	// is new.
	held := func() *figures {
		return &figures{
			kill: &lookup.Change{Server: "lookup-1", Old: []string{"lookup-1", "lookup-2", "lookup-2"}, Now: []string{"lookup-2", "lookup-2", "lookup-2"}},
			add:  &lookup.Change{Server: "lookup-3", Old: []string{"lookup-2", "lookup-2", "lookup-2"}, Now: []string{"lookup-2", "lookup-3", "lookup-2"}},
		}
	}
	require.NoError(t, held().check())
	for want, breaks := range map[string]func(f *figures){
		"2 requests failed as lookup-1 changed: gone":                   func(f *figures) { f.kill.Failed, f.kill.FirstError = 2, errors.New("gone") },
		"of the 1 keys that lookup-1 had to lose or gain, 0 have moved": func(f *figures) { f.kill.Now[0] = "lookup-1" },
		"1 keys of servers that were not killed have moved":             func(f *figures) { f.kill.Now[2] = "lookup-1" },
		"of the 2 keys that lookup-3 had to lose or gain, 1 have moved": func(f *figures) { f.add.Old[0], f.add.Now[0] = "lookup-3", "lookup-3" },
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
	require.Contains(t, out.String(), "httpbalancer  ######################## 100.0 %")
	require.Contains(t, out.String(), "0 of 3000 requests failed, ")
}

func TestSmallestRun(t *testing.T) {
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-keys", "2", "-requests", "100", "-servers", "2"}, &stdout, &stderr))
	require.Empty(t, stderr.String())
	require.Contains(t, stdout.String(), "2 lookup servers on loopback, 2 keys")
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"-keys", "8", "-requests", "100", "-serve", "127.0.0.1:0"}, w, io.Discard)
		w.Close()
	}()
	var page string
	for buffer := make([]byte, 4096); page == ""; {
		n, err := r.Read(buffer)
		require.NoError(t, err)
		if _, after, ok := strings.Cut(string(buffer[:n]), "\nhttp://"); ok {
			page = "http://" + after[:strings.Index(after, "/")]
		}
	}
	resp, err := http.Get(page)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, string(body), "lookup-9")
	cancel()
	require.NoError(t, <-done)
}

func TestServeAtAnAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	start := time.Now()
	err = run(t.Context(), []string{"-serve", l.Addr().String()}, io.Discard, io.Discard)
	require.ErrorContains(t, err, "-serve: ")
	require.ErrorContains(t, err, "address already in use")
	require.Less(t, time.Since(start), time.Second)
}

func TestUsage(t *testing.T) {
	var stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-h"}, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "Usage: httpclient [-keys N] [-requests N] [-servers N] [-serve ADDR]")

	for args, want := range map[string]string{
		"-frobnicate":        "-frobnicate",
		"-keys":              "flag needs an argument",
		"-keys many":         "-keys",
		"1000":               `"1000" is not expected`,
		"-keys 7":            "-keys 7: it must be from 8, the number of servers, to 100000",
		"-keys 100001":       "-keys 100001: it must be from 8",
		"-keys -1":           "-keys -1: it must be",
		"-requests 99":       "-requests 99: it must be from 100 to 1000000",
		"-requests 1000001":  "-requests 1000001: it must be",
		"-servers 1":         "-servers 1: it must be from 2 to 64",
		"-servers 65":        "-servers 65: it must be",
		"-serve 8080":        "-serve 8080: address 8080: missing port in address; it must be like 127.0.0.1:8080",
		"-serve :8080":       "-serve :8080: it must be an address of loopback",
		"-serve 0.0.0.0:80":  "-serve 0.0.0.0:80: it must be an address of loopback",
		"-serve example:80":  "-serve example:80: it must be an address of loopback",
		"-serve 10.0.0.1:80": "-serve 10.0.0.1:80: it must be an address of loopback",
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
	require.Equal(t, settings{Settings: usual}, s)
}
