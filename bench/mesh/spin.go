//go:build linux

package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// beSpinner keeps every core awake until the input ends, in the scheduler's idle class, so that it
// takes time from nobody. A core that may sleep costs a request more when there are few of
// them, and how much depends on what else runs.
func beSpinner(in io.Reader) error {
	var cores unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cores); err != nil {
		return fmt.Errorf("find the cores: %w", err)
	}
	runtime.GOMAXPROCS(cores.Count() + 1)
	debug.SetGCPercent(-1) // would wait for the threads that spin
	failed := make(chan error, cores.Count())
	var stop atomic.Bool
	for core := range len(cores) * 64 {
		if !cores.IsSet(core) {
			continue
		}
		go func() {
			runtime.LockOSThread()
			if err := idleOn(core); err != nil {
				failed <- err
				return
			}
			for !stop.Load() {
			}
		}()
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- err
	}()
	defer stop.Store(true)
	select {
	case err := <-failed:
		return err
	case err := <-ended:
		return err
	}
}

func idleOn(core int) error {
	var only unix.CPUSet
	only.Set(core)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("stay on core %d: %w", core, err)
	}
	idle := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE}
	if err := unix.SchedSetAttr(0, &idle, 0); err != nil {
		return fmt.Errorf("set the idle class: %w", err)
	}
	return nil
}
