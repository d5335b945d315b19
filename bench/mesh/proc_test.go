//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The clock is the one that schedstat shows, thread by thread: nanoseconds on a processor,
// nanoseconds waiting for one, turns (Documentation/scheduler/sched-stats.rst).
func TestProcessCPU(t *testing.T) {
	sum := time.Duration(0)
	threads, err := filepath.Glob("/proc/self/task/*/schedstat")
	require.NoError(t, err)
	for _, path := range threads {
		stat, err := os.ReadFile(path)
		require.NoError(t, err)
		ns, err := strconv.ParseInt(strings.Fields(string(stat))[0], 10, 64)
		require.NoError(t, err)
		sum += time.Duration(ns)
	}
	cpu, err := processCPU(os.Getpid())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, cpu, sum)
}

// A thread that ends takes nothing away.
func TestProcessCPUOfEndedThreads(t *testing.T) {
	before, err := processCPU(os.Getpid())
	require.NoError(t, err)
	for range 20 {
		var wg sync.WaitGroup
		wg.Go(func() {
			runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
			for i, sum := 0, 0; i < 1e6; i++ {
				sum += i
			}
		})
		wg.Wait()
		after, err := processCPU(os.Getpid())
		require.NoError(t, err)
		assert.Greater(t, after, before)
		before = after
	}
}

func TestParseStat(t *testing.T) {
	for _, test := range []struct {
		stat        string
		pid, parent int
	}{
		{"42 (nginx) S 17 42 42 0 -1", 42, 17},
		{"42 (nginx: worker) S 17 42", 42, 17},
		{"42 (a) b (c)) R 1 42", 42, 1},
	} {
		pid, parent, err := parseStat([]byte(test.stat))
		require.NoError(t, err, test.stat)
		assert.Equal(t, []int{test.pid, test.parent}, []int{pid, parent}, test.stat)
	}
	for _, bad := range []string{"", "42", "42 (nginx)", "42 (nginx) S", "x (nginx) S 1", "42 (nginx) S x", ") 1 ("} {
		_, _, err := parseStat([]byte(bad))
		assert.Error(t, err, "%q", bad)
	}
}

func TestKilobytes(t *testing.T) {
	const status = "Name:\tenvoy\nVmHWM:\t   67240 kB\nVmRSS:\t   66000 kB\nThreads:\t5\nVmBad:\tmany kB\n"
	top, err := kilobytes([]byte(status), "VmHWM")
	require.NoError(t, err)
	assert.Equal(t, int64(67240<<10), top)

	for _, name := range []string{"VmSwap", "Threads", "VmBad", "Vm"} {
		_, err := kilobytes([]byte(status), name)
		assert.Error(t, err, name)
	}
}

func TestParseTicks(t *testing.T) {
	before, err := parseTicks([]byte("cpu  100 0 50 800 10 0 5 35 0 0\ncpu0 1 2 3\n"))
	require.NoError(t, err)
	assert.Equal(t, ticks{total: 1000, steal: 35}, before)

	// guest, which is in user already, does not count twice.
	after, err := parseTicks([]byte("cpu  180 0 60 890 10 0 5 55 70 0\n"))
	require.NoError(t, err)
	assert.InDelta(t, 10, after.stealSince(before), 1e-9)
	assert.Zero(t, before.stealSince(before))

	for _, bad := range []string{"", "cpu 1 2 3", "cpu0 1 2 3 4 5 6 7 8 9", "cpu 1 2 3 4 5 6 7 x"} {
		_, err := parseTicks([]byte(bad))
		assert.Error(t, err, "%q", bad)
	}
}

// The parsers have to understand what this kernel writes.
func TestUsageOfAProcessAndItsChild(t *testing.T) {
	child := exec.CommandContext(t.Context(), "cat")
	in, err := child.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	defer func() {
		_ = in.Close()
		_ = child.Wait()
	}()
	pids, err := tree(os.Getpid())
	require.NoError(t, err)
	assert.Contains(t, pids, os.Getpid())
	assert.Contains(t, pids, child.Process.Pid)

	used, err := treeUsage(os.Getpid(), true)
	require.NoError(t, err)
	assert.Positive(t, used.cpu)
	assert.Positive(t, used.pss)
	assert.LessOrEqual(t, used.pss, used.rss)
	assert.LessOrEqual(t, used.rss, used.top)
	cpu, err := treeCPU(os.Getpid())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, cpu, used.cpu)

	_, err = processCPU(1 << 25)
	assert.ErrorContains(t, err, "processor time of process")
	_, err = readTicks()
	assert.NoError(t, err)
}
