//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A fakeClock moves on when it is slept on, by all of it or a part, and by what sending takes.
type fakeClock struct {
	time   time.Duration
	early  int // sleeps that end half way
	sleeps int
}

func (c *fakeClock) now() time.Duration { return c.time }

func (c *fakeClock) sleepUntil(t time.Duration) {
	c.sleeps++
	if c.early > 0 {
		c.early--
		c.time += (t - c.time) / 2
		return
	}
	c.time = t
}

func TestPace(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name  string
		early int
		takes map[int]time.Duration // what sending takes, by request
		late  []time.Duration
	}{
		{name: "on time", late: []time.Duration{0, 0, 0, 0, 0}},
		{name: "sleeps that end early", early: 7, late: []time.Duration{0, 0, 0, 0, 0}},
		{
			// Request 1 takes as long as three intervals. Those after it are late by what is left of
			// that, and those after them are on time: the schedule does not move.
			name: "a request that takes long", takes: map[int]time.Duration{1: 35 * ms},
			late: []time.Duration{0, 0, 25 * ms, 15 * ms, 5 * ms, 0},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			clock := &fakeClock{time: 5 * time.Second, early: test.early}
			began := clock.time + ms
			var late []time.Duration
			pace(clock, began, 100, len(test.late), func(i int, due, l time.Duration) {
				assert.Equal(t, began+time.Duration(i)*10*ms, due)
				assert.Equal(t, l, clock.now()-due)
				late = append(late, l)
				clock.time += test.takes[i]
			})
			assert.Equal(t, test.late, late)
		})
	}
}

func TestOffset(t *testing.T) {
	assert.Equal(t, time.Duration(0), offset(0, 3))
	assert.Equal(t, 333333333*time.Nanosecond, offset(1, 3))
	assert.Equal(t, 666666666*time.Nanosecond, offset(2, 3))
	assert.Equal(t, time.Second, offset(3, 3))
	assert.Equal(t, 1000*time.Hour, offset(3*3600*1000, 3), "rounding does not add up")
}

func TestMonotonicClock(t *testing.T) {
	c, err := newMonotonic()
	require.NoError(t, err)
	until := c.now() + time.Millisecond
	for c.now() < until {
		c.sleepUntil(until)
	}
	assert.GreaterOrEqual(t, c.now(), until)
}
