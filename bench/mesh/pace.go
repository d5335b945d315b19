//go:build linux

package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// A clock tells the time since some moment, and sleeps until a time. A sleep may end early.
type clock interface {
	now() time.Duration
	sleepUntil(t time.Duration)
}

// pace calls send for each of n requests when it is due: at a constant rate, whatever became of
// those before. A request that comes late moves none after it, so that a latency counted from
// when the request was due has the time in it that it had to wait for the generator, too. send
// is told how late it is called.
func pace(c clock, start time.Duration, perSecond, n int, send func(i int, due, late time.Duration)) {
	for i := range n {
		due := start + offset(i, perSecond)
		now := c.now()
		for now < due {
			c.sleepUntil(due)
			now = c.now()
		}
		send(i, due, now-due)
	}
}

// offset is when request i is due. It is not a sum of intervals, whose rounding would add up.
func offset(i, perSecond int) time.Duration {
	whole, rest := i/perSecond, i%perSecond
	return time.Duration(whole)*time.Second + time.Duration(rest)*time.Second/time.Duration(perSecond)
}

// monotonic is the kernel's clock. Its user is to be locked to a thread that has called sharpen.
type monotonic struct {
	base  time.Time     // has the same time in it, which time.Since finds without a system call
	began time.Duration // of CLOCK_MONOTONIC
}

func newMonotonic() (*monotonic, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return nil, fmt.Errorf("read the clock: %w", err)
	}
	return &monotonic{time.Now(), time.Duration(t.Nano())}, nil
}

func (m *monotonic) now() time.Duration { return m.began + time.Since(m.base) }

func (m *monotonic) sleepUntil(t time.Duration) {
	at := unix.NsecToTimespec(t.Nanoseconds())
	err := unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &at, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		panic(err) // the arguments are wrong
	}
}

// sharpen takes away the 50 µs by which the kernel may let this thread's sleeps end late.
func sharpen() error {
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set the timer slack: %w", err)
	}
	return nil
}
