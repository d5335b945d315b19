package health_test

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/health"
)

func TestNewRefusesWhatIsNotUsable(t *testing.T) {
	check := func(change func(*health.Check)) health.Options {
		c := &health.Check{Probe: passing}
		change(c)
		return health.Options{Check: c}
	}
	const not = ": option not usable: it must be "
	for text, opts := range map[string]health.Options{
		"Check.Probe nil" + not + "a function":                                          {Check: new(health.Check)},
		"Check.Interval -1s" + not + "positive, or 0 for 10s":                           check(func(c *health.Check) { c.Interval = -time.Second }),
		"Check.Timeout -1ns" + not + "positive, or 0 for 5s":                            check(func(c *health.Check) { c.Timeout = -1 }),
		"Check.Jitter 1.5" + not + "up to 1, or 0 for 0.1, or Off":                      check(func(c *health.Check) { c.Jitter = 1.5 }),
		"Check.Jitter -0.1" + not + "up to 1, or 0 for 0.1, or Off":                     check(func(c *health.Check) { c.Jitter = -0.1 }),
		"Check.Jitter NaN" + not + "up to 1, or 0 for 0.1, or Off":                      check(func(c *health.Check) { c.Jitter = math.NaN() }),
		"Check.UnhealthyThreshold -1" + not + "from 1 to 1000000, or 0 for 3":           check(func(c *health.Check) { c.UnhealthyThreshold = -1 }),
		"Check.HealthyThreshold 1000001" + not + "from 1 to 1000000, or 0 for 2":        check(func(c *health.Check) { c.HealthyThreshold = 1000001 }),
		"Outlier.Consecutive5xx -2" + not + "from 1 to 1000000, or 0 for 5, or Off":     {Outlier: &health.Outlier{Consecutive5xx: -2}},
		"Outlier.ConsecutiveGateway -9" + not + "from 1 to 1000000, or 0 for 5, or Off": {Outlier: &health.Outlier{ConsecutiveGateway: -9}},
		"Outlier.ConsecutiveLocal 1000001" + not + "from 1 to 1000000, or 0 for 5, or Off": {
			Outlier: &health.Outlier{ConsecutiveLocal: 1000001}},
		"Outlier.BaseEjection -1s" + not + "positive, or 0 for 30s":                   {Outlier: &health.Outlier{BaseEjection: -time.Second}},
		"Outlier.MaxEjection -1s" + not + "at least BaseEjection, 30s, or 0 for 300s": {Outlier: &health.Outlier{MaxEjection: -time.Second}},
		"Outlier.MaxEjection 1m0s" + not + "at least BaseEjection, 1h0m0s, or 0 for 300s": {
			Outlier: &health.Outlier{BaseEjection: time.Hour, MaxEjection: time.Minute}},
		"Outlier.Interval -1s" + not + "positive, or 0 for 10s":                      {Outlier: &health.Outlier{Interval: -time.Second}},
		"Outlier.MaxEjectedPercent 101" + not + "from 1 to 100, or 0 for 10, or Off": {Outlier: &health.Outlier{MaxEjectedPercent: 101}},
		"Outlier.MaxEjectedPercent -10" + not + "from 1 to 100, or 0 for 10, or Off": {Outlier: &health.Outlier{MaxEjectedPercent: -10}},
	} {
		m, err := health.New(new(recorder), opts)
		require.EqualError(t, err, "health: "+text)
		require.ErrorIs(t, err, health.ErrOption)
		require.Nil(t, m)
	}
}

func TestNewRefusesNobodyToTell(t *testing.T) {
	_, err := health.New(nil, health.Options{})
	require.EqualError(t, err, "health: setter <nil>: option not usable: it must be what is to be told, such as a *maglev.Balancer")
	require.ErrorIs(t, err, health.ErrOption)
}

// The longest of everything does not overflow.
func TestNewTakesTheLongestDurations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var checks atomic.Int64
		m := mustNew(t, new(recorder), health.Options{
			Check: &health.Check{
				Probe:    func(context.Context, string) error { checks.Add(1); return nil },
				Interval: math.MaxInt64, Timeout: math.MaxInt64, Jitter: 1,
			},
			Outlier: &health.Outlier{
				BaseEjection: math.MaxInt64, MaxEjection: math.MaxInt64, Interval: math.MaxInt64,
			},
		})
		m.Update([]string{"a"})
		time.Sleep(time.Hour)
		report(m.Backend("a"), 5, health.ServerError)
		time.Sleep(10000 * time.Hour)
		require.EqualValues(t, 1, checks.Load())
		require.False(t, status(t, m, "a").Healthy)
		require.NoError(t, m.Close())
	})
}

func TestOptionsAreCopied(t *testing.T) {
	o := &health.Outlier{Consecutive5xx: 2}
	m := mustNew(t, new(recorder), health.Options{Outlier: o})
	defer m.Close()
	o.Consecutive5xx = 7
	m.Update([]string{"a"})
	report(m.Backend("a"), 2, health.ServerError)
	require.False(t, status(t, m, "a").Healthy)
}

func TestAtOnceIsTheErrorItWraps(t *testing.T) {
	err := errors.New("status 404")
	require.ErrorIs(t, health.AtOnce(err), err)
	require.EqualError(t, health.AtOnce(err), "status 404")
	require.NoError(t, health.AtOnce(nil))
}

var errDown = errors.New("connection refused")

func passing(context.Context, string) error { return nil }
func failing(context.Context, string) error { return errDown }
