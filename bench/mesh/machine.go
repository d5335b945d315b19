//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A machine is where the figures come from.
type machine struct {
	Time   time.Time
	CPU    string
	Cores  int
	Memory float64 // MB
	Kernel string
	Go     string
	Load   string // averages before the first run: what else was going on
}

func thisMachine() (machine, error) {
	m := machine{Time: time.Now().UTC().Truncate(time.Second), Cores: runtime.NumCPU(), Go: runtime.Version()}
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m, err
	}
	m.CPU = modelName(cpuinfo)
	meminfo, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return m, err
	}
	total, err := kilobytes(meminfo, "MemTotal")
	if err != nil {
		return m, err
	}
	m.Memory = megabytes(total)
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return m, err
	}
	m.Load = strings.Join(strings.Fields(string(load))[:3], " ")
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return m, fmt.Errorf("uname: %w", err)
	}
	m.Kernel = unix.ByteSliceToString(name.Release[:])
	return m, nil
}

// modelName is the processor's, or its architecture where the kernel does not tell.
func modelName(cpuinfo []byte) string {
	for line := range strings.Lines(string(cpuinfo)) {
		name, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// version is what a peer says of itself. Ours, which is built for the occasion, is the commit.
func version(ctx context.Context, p *peer, binary string) (string, error) {
	cmd := exec.CommandContext(ctx, binary, p.version...)
	if p.version == nil {
		root, err := repository(ctx)
		if err != nil {
			return "", err
		}
		cmd = exec.CommandContext(ctx, "git", "-C", root, "describe", "--always", "--dirty")
		if _, err := exec.LookPath("git"); err != nil {
			return "built from source", nil
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w\n%s", p.name, err, out)
	}
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); line != "" {
			return strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(line, binary), "  version:")), nil
		}
	}
	return "", fmt.Errorf("%s does not tell its version", p.name)
}
