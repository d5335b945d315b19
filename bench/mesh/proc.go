//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a process and its descendants have used so far.
type usage struct {
	cpu time.Duration // of all their threads
	pss int64         // bytes, each page shared by k processes counted as 1/k
	rss int64         // bytes, shared pages counted in each
	top int64         // bytes, the sum of their peaks of rss
}

// treeUsage reads the usage of a process and its descendants. The proportional size is left out
// unless asked for: the kernel has to look at every page for it.
func treeUsage(pid int, withPSS bool) (usage, error) {
	var sum usage
	pids, err := tree(pid)
	if err != nil {
		return usage{}, err
	}
	for _, pid := range pids {
		cpu, err := processCPU(pid)
		if err != nil {
			return usage{}, err
		}
		sum.cpu += cpu
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return usage{}, err
		}
		rss, err := kilobytes(status, "VmRSS")
		if err != nil {
			return usage{}, err
		}
		top, err := kilobytes(status, "VmHWM")
		if err != nil {
			return usage{}, err
		}
		sum.rss += rss
		sum.top += top
		if !withPSS {
			continue
		}
		rollup, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return usage{}, err
		}
		pss, err := kilobytes(rollup, "Pss")
		if err != nil {
			return usage{}, err
		}
		sum.pss += pss
	}
	return sum, nil
}

// treeCPU is the cpu of treeUsage alone, which costs less to read.
func treeCPU(pid int) (time.Duration, error) {
	pids, err := tree(pid)
	if err != nil {
		return 0, err
	}
	sum := time.Duration(0)
	for _, pid := range pids {
		cpu, err := processCPU(pid)
		if err != nil {
			return 0, err
		}
		sum += cpu
	}
	return sum, nil
}

// processCPU is the processor time of a process's threads, those included that have ended, of
// which /proc/PID/task/*/schedstat does not know any more. It comes from the same clock.
func processCPU(pid int) (time.Duration, error) {
	const ofProcess = 2 // CPUCLOCK_SCHED of all threads: clock_getcpuclockid(3)
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|ofProcess), &t); err != nil {
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// tree returns a process and all its descendants.
func tree(root int) ([]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := make(map[int][]int)
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		pid, parent, err := parseStat(stat)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		children[parent] = append(children[parent], pid)
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// parseStat returns the numbers of a process and of its parent. Between them stand the name, in
// parentheses, which may itself have blanks and parentheses in it, and a letter.
func parseStat(stat []byte) (pid, parent int, err error) {
	end := bytes.LastIndexByte(stat, ')')
	start := bytes.IndexByte(stat, '(')
	if start < 0 || end < start {
		return 0, 0, fmt.Errorf("stat %q has no name", stat)
	}
	fields := strings.Fields(string(stat[end+1:]))
	if len(fields) < 2 {
		return 0, 0, fmt.Errorf("stat %q ends early", stat)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(stat[:start]))); err != nil {
		return 0, 0, fmt.Errorf("stat %q: %w", stat, err)
	}
	if parent, err = strconv.Atoi(fields[1]); err != nil {
		return 0, 0, fmt.Errorf("stat %q: %w", stat, err)
	}
	return pid, parent, nil
}

// kilobytes finds a line such as "VmHWM:  67240 kB" and returns bytes.
func kilobytes(text []byte, name string) (int64, error) {
	for line := range strings.Lines(string(text)) {
		value, ok := strings.CutPrefix(line, name+":")
		if !ok {
			continue
		}
		number, ok := strings.CutSuffix(strings.TrimSpace(value), " kB")
		if !ok {
			return 0, fmt.Errorf("%s is %q, not in kB", name, value)
		}
		kb, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", name, err)
		}
		return kb << 10, nil
	}
	return 0, fmt.Errorf("there is no %s", name)
}

// Ticks is how the processors' time has passed so far, in units that do not matter.
type ticks struct{ total, steal uint64 }

func readTicks() (ticks, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}, err
	}
	return parseTicks(stat)
}

// parseTicks reads the first line: user nice system idle iowait irq softirq steal guest
// guest_nice, of which the last two are in user and nice already.
func parseTicks(stat []byte) (ticks, error) {
	line, _, _ := strings.Cut(string(stat), "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return ticks{}, fmt.Errorf("/proc/stat begins with %q", line)
	}
	var t ticks
	for i, field := range fields[1:9] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return ticks{}, fmt.Errorf("/proc/stat: %w", err)
		}
		t.total += n
		if i == 7 {
			t.steal = n
		}
	}
	return t, nil
}

// stealSince is the share of the processors' time that the hypervisor gave to others, in percent.
func (t ticks) stealSince(before ticks) float64 {
	if t.total <= before.total {
		return 0
	}
	return 100 * float64(t.steal-before.steal) / float64(t.total-before.total)
}
