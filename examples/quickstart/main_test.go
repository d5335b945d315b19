package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// outputOf runs the program and returns what it writes to its terminal.
func outputOf(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	require.NoError(t, run(t.Context(), args, &stdout, &stderr))
	require.Empty(t, stderr.String())
	return stdout.String()
}

func TestSampleFigures(t *testing.T) {
	keys, err := keysOf("")
	require.NoError(t, err)
	require.Len(t, keys, 5000)

	f, err := play(t.Context(), keys)
	require.NoError(t, err)

	// A key lands on one of n servers with probability 1/n, so a share is
	// binomial; five standard deviations are exceeded once in millions.
	near := func(n int) float64 { p := 1 / float64(n); return 5 * math.Sqrt(5000*p*(1-p)) }
	for _, name := range five {
		require.InDelta(t, 1000, f.before[name], near(5), name)
	}
	for _, name := range four {
		require.InDelta(t, 1250, f.after[name], near(4), name)
	}
	require.Zero(t, f.after[gone])

	// All keys of the server that went have moved, and of the others as many
	// as the slots have it.
	table, err := maglev.New(backends(five), maglev.Options{})
	require.NoError(t, err)
	smaller, err := maglev.New(backends(four), maglev.Options{})
	require.NoError(t, err)
	needless := float64(table.Moved(smaller)-table.Slots(slices.Index(five, gone))) / float64(table.Size())
	require.Less(t, needless, 0.002)
	lost := 0
	for m, n := range f.moves {
		require.NotEqual(t, gone, m.to)
		if m.from == gone {
			lost += n
		}
	}
	require.Equal(t, f.before[gone], lost)
	require.InDelta(t, 5000*needless, total(f.moves)-lost, 5*math.Sqrt(5000*needless))

	// Of the 20 pairs of hash % 5 and hash % 4, 4 name the same server.
	require.InDelta(t, 5000*0.8, f.byModulo, 5*math.Sqrt(5000*0.8*0.2))

	require.Equal(t, f.before[gone], total(f.failover.spread))
	for _, name := range four {
		require.NotZero(t, f.failover.spread[name])
	}
	require.NoError(t, f.envoy.check())
}

// sampleOutput is the output for the sample, which takes a race detector some
// seconds.
var sampleOutput = sync.OnceValues(func() (string, error) {
	var stdout bytes.Buffer
	err := run(context.Background(), nil, &stdout, io.Discard)
	return stdout.String(), err
})

func TestOutput(t *testing.T) {
	out, err := sampleOutput()
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(out, "the same, slot for slot"))
	require.Contains(t, out, "5000 of 5000 requests were answered by the server that the table names.")

	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.LessOrEqual(t, len(lines), 45)
	for _, line := range lines {
		require.LessOrEqual(t, utf8.RuneCountInString(line), 80, line)
	}
}

func TestReadmeShowsTheOutput(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?ms)^```text\n(.*?)^```").FindAllSubmatch(readme, -1)
	require.NotEmpty(t, blocks)
	out, err := sampleOutput()
	require.NoError(t, err)
	for _, block := range blocks {
		require.Contains(t, out, string(block[1]))
	}
}

func TestOutputIsTheSameInEveryRun(t *testing.T) {
	var keys strings.Builder
	for i := range 500 {
		fmt.Fprintln(&keys, "key", i)
	}
	file := write(t, keys.String())
	require.Equal(t, outputOf(t, "-keys", file), outputOf(t, "-keys", file))
}

func TestKeysFile(t *testing.T) {
	file := write(t, "alpha\r\nbeta\n\nalpha\ngamma")
	require.Contains(t, outputOf(t, "-keys", file), "3 of 3 requests")
}

func TestOneKey(t *testing.T) {
	// The first belongs to the server that goes down, the second does not.
	for key, says := range map[string]string{
		"user-532084": `"user-532084": 10.0.0.3:8080 refuses, `,
		"user-158176": "None of these keys was its own.",
	} {
		require.Contains(t, outputOf(t, "-keys", write(t, key)), says)
	}
}

func TestAnyBytesMakeAKey(t *testing.T) {
	file := write(t, "a b?c#d%/../e\n\x00\x1b[1m\xff\n//\n"+strings.Repeat("k", maxKeyLength)+"\n")
	require.Contains(t, outputOf(t, "-keys", file), "4 of 4 requests")
}

func TestErrors(t *testing.T) {
	var many strings.Builder
	for i := range maxKeys + 1 {
		fmt.Fprintln(&many, i)
	}
	for name, test := range map[string]struct {
		file string
		want string
	}{
		"missing":   {filepath.Join(t.TempDir(), "absent"), "no such file or directory"},
		"directory": {t.TempDir(), "is a directory"},
		"empty":     {write(t, ""), "no keys; one a line is expected"},
		"blank":     {write(t, "\n\n"), "no keys; one a line is expected"},
		"long line": {write(t, "alpha\n"+strings.Repeat("k", maxKeyLength+3)+"\n"), "line 2 is longer than 4096 bytes"},
		"too many":  {write(t, many.String()), "more than 100000 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout bytes.Buffer
			err := run(t.Context(), []string{"-keys", test.file}, &stdout, io.Discard)
			require.ErrorContains(t, err, "-keys")
			require.ErrorContains(t, err, test.file)
			require.ErrorContains(t, err, test.want)
			require.Empty(t, stdout.String())
		})
	}
}

func TestUsage(t *testing.T) {
	var stderr bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-h"}, io.Discard, &stderr))
	require.Contains(t, stderr.String(), "Usage: quickstart [-keys FILE]")

	for _, args := range [][]string{{"-frobnicate"}, {"-keys"}, {"keys.txt"}} {
		stderr.Reset()
		require.ErrorIs(t, run(t.Context(), args, io.Discard, &stderr), errUsage)
		require.NotEmpty(t, stderr.String())
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
	args := []string{"-keys", write(t, "alpha")}
	require.ErrorContains(t, run(t.Context(), args, full{}, io.Discard), "writing the report: no space left")
}

func TestWrongAnswerIsAnError(t *testing.T) {
	fleet, err := startFleet(five)
	require.NoError(t, err)
	defer fleet.close()
	// As if two servers' wires were crossed.
	fleet.servers[five[0]], fleet.servers[five[1]] = fleet.servers[five[1]], fleet.servers[five[0]]

	table, err := maglev.New(backends(five), maglev.Options{})
	require.NoError(t, err)
	_, err = fleet.sendAll(t.Context(), table, []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"})
	require.ErrorContains(t, err, "answered")
}

func TestUnknownServerIsNotDialled(t *testing.T) {
	fleet, err := startFleet(five)
	require.NoError(t, err)
	defer fleet.close()
	_, err = fleet.send(t.Context(), "10.0.0.6:8080", "alpha")
	require.ErrorContains(t, err, "no server is named 10.0.0.6:8080")
}

func TestEnvoyMismatchIsAnError(t *testing.T) {
	err := comparison{{5, envoyFive, envoyFive}, {4, envoyFour, envoyFive}}.check()
	require.EqualError(t, err, "the table of 4 servers is not Envoy's")
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}
