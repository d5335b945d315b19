package health

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Off, as the value of a field that says so, is 0, which cannot be written as 0:
// that is the default.
const Off = -1

// maxProbes is how many probes are made at once. Those that have run into their
// timeout no longer count.
const maxProbes = 64

// maxCount is the largest threshold.
const maxCount = 1_000_000

// Options say what a [Monitor] does.
type Options struct {
	// Check says how backends are checked. Default (nil): they are not.
	Check *Check

	// Outlier says which backends are ejected. Default (nil): none.
	Outlier *Outlier
}

// A Check is how backends are checked actively. The first check of a backend is
// made at once and decides alone: one failure and it is down, one success and it is
// not. Later the thresholds count.
type Check struct {
	// Probe checks a backend: nil means that it passes. An error wrapped by
	// [AtOnce] takes the backend down whatever the threshold. It is called for
	// several backends at once, at most 64, and for one backend by one
	// goroutine at a time. ctx ends at Timeout, or when the backend leaves or
	// the Monitor is closed; Probe has to return then, and whatever it returns
	// after the timeout the check has failed. As long as it does not return,
	// the following checks of the backend fail without a call. A Probe that
	// panics is a failed check: the panic is its error. Required.
	Probe func(ctx context.Context, name string) error

	// Interval is the time from the end of a check to the next. Default (0):
	// 10 s.
	Interval time.Duration

	// Jitter is the longest random extension of each interval, as a share of
	// it, up to 1, so that checks spread. [Off] means none. Default (0): 0.1.
	Jitter float64

	// Timeout is how long a check may take. Default (0): 5 s.
	Timeout time.Duration

	// UnhealthyThreshold is how many checks in a row have to fail until a
	// backend is down, up to a million. Default (0): 3.
	UnhealthyThreshold int

	// HealthyThreshold is how many checks in a row have to pass until it no
	// longer is, up to a million. Default (0): 2.
	HealthyThreshold int
}

// Outlier is the rule by which backends are ejected: for so and so many errors in a
// row, from requests to one backend in the order in which they are reported. An
// ejection lasts BaseEjection times a multiplier, at most MaxEjection. The
// multiplier grows by one with each ejection and falls by one for each Interval
// that the backend spends unejected. An ejection ends at its time, or with a check
// that passes while active checks do not say that the backend is down; all
// counters are 0 then. What is reported during an ejection, of requests that were
// under way, does not count.
type Outlier struct {
	// Consecutive5xx is how many [ServerError] and [GatewayError] in a row eject
	// a backend, up to a million; [Success] ends the row. [Off] means any
	// number does not. Default (0): 5.
	Consecutive5xx int

	// ConsecutiveGateway is how many [GatewayError] in a row eject a backend,
	// up to a million; [Success] and [ServerError] end the row. [Off] means
	// any number does not. Default (0): 5.
	ConsecutiveGateway int

	// ConsecutiveLocal is how many [LocalError] in a row eject a backend, up
	// to a million; everything else ends the row. [Off] means any number does
	// not. Default (0): 5.
	ConsecutiveLocal int

	// BaseEjection is how long a first ejection lasts. Default (0): 30 s.
	BaseEjection time.Duration

	// MaxEjection is how long an ejection lasts at most, BaseEjection or more.
	// Default (0): 300 s, or BaseEjection if that is more.
	MaxEjection time.Duration

	// Interval is the time unejected that the multiplier falls by one for.
	// Default (0): 10 s.
	Interval time.Duration

	// MaxEjectedPercent is how much of the last Update's set may be ejected at
	// once, up to 100, though at least one backend may. A backend that comes
	// to its threshold when the set has no room for its ejection begins to
	// count anew. [Off] is 0 %. Default (0): 10.
	MaxEjectedPercent int

	// StrictPercent is Envoy's own default: no ejection beyond
	// MaxEjectedPercent, so that of fewer than ten backends none is ever
	// ejected at 10 %. Default (false): one may be, as with Envoy's
	// always_eject_one_host.
	StrictPercent bool
}

// ErrOption: an option is not usable. The errors of [New] wrap it; their text
// begins with "health: " and names the field, its value and what is allowed.
var ErrOption = errors.New("option not usable")

func wrong(field string, value any, allowed string) error {
	return fmt.Errorf("health: %s %v: %w: it must be %s", field, value, ErrOption, allowed)
}

func (o *Options) check() error {
	if c := o.Check; c != nil {
		if err := c.validate(); err != nil {
			return err
		}
	}
	if o.Outlier != nil {
		return o.Outlier.validate()
	}
	return nil
}

func (c *Check) validate() error {
	switch {
	case c.Probe == nil:
		return wrong("Check.Probe", "nil", "a function")
	case c.Interval < 0:
		return wrong("Check.Interval", c.Interval, "positive, or 0 for 10s")
	case !(c.Jitter >= 0 && c.Jitter <= 1) && c.Jitter != Off:
		return wrong("Check.Jitter", c.Jitter, "up to 1, or 0 for 0.1, or Off")
	case c.Timeout < 0:
		return wrong("Check.Timeout", c.Timeout, "positive, or 0 for 5s")
	case c.UnhealthyThreshold < 0 || c.UnhealthyThreshold > maxCount:
		return wrong("Check.UnhealthyThreshold", c.UnhealthyThreshold, "from 1 to 1000000, or 0 for 3")
	case c.HealthyThreshold < 0 || c.HealthyThreshold > maxCount:
		return wrong("Check.HealthyThreshold", c.HealthyThreshold, "from 1 to 1000000, or 0 for 2")
	}
	return nil
}

func (o *Outlier) validate() error {
	for _, f := range []struct {
		name  string
		value int
	}{
		{"Consecutive5xx", o.Consecutive5xx},
		{"ConsecutiveGateway", o.ConsecutiveGateway},
		{"ConsecutiveLocal", o.ConsecutiveLocal},
	} {
		if f.value < Off || f.value > maxCount {
			return wrong("Outlier."+f.name, f.value, "from 1 to 1000000, or 0 for 5, or Off")
		}
	}
	base := orDefault(o.BaseEjection, 30*time.Second)
	switch {
	case o.BaseEjection < 0:
		return wrong("Outlier.BaseEjection", o.BaseEjection, "positive, or 0 for 30s")
	case o.MaxEjection < 0 || o.MaxEjection > 0 && o.MaxEjection < base:
		return wrong("Outlier.MaxEjection", o.MaxEjection,
			fmt.Sprintf("at least BaseEjection, %v, or 0 for 300s", base))
	case o.Interval < 0:
		return wrong("Outlier.Interval", o.Interval, "positive, or 0 for 10s")
	case o.MaxEjectedPercent < Off || o.MaxEjectedPercent > 100:
		return wrong("Outlier.MaxEjectedPercent", o.MaxEjectedPercent, "from 1 to 100, or 0 for 10, or Off")
	}
	return nil
}

// withDefaults returns copies with every default spelled out, and 0 for Off.
func (o Options) withDefaults() Options {
	if o.Check != nil {
		c := *o.Check
		c.Interval = orDefault(c.Interval, 10*time.Second)
		c.Jitter = max(orDefault(c.Jitter, 0.1), 0)
		c.Timeout = orDefault(c.Timeout, 5*time.Second)
		c.UnhealthyThreshold = orDefault(c.UnhealthyThreshold, 3)
		c.HealthyThreshold = orDefault(c.HealthyThreshold, 2)
		o.Check = &c
	}
	if o.Outlier != nil {
		r := *o.Outlier
		r.Consecutive5xx = max(orDefault(r.Consecutive5xx, 5), 0)
		r.ConsecutiveGateway = max(orDefault(r.ConsecutiveGateway, 5), 0)
		r.ConsecutiveLocal = max(orDefault(r.ConsecutiveLocal, 5), 0)
		r.BaseEjection = orDefault(r.BaseEjection, 30*time.Second)
		r.MaxEjection = orDefault(r.MaxEjection, max(300*time.Second, r.BaseEjection))
		r.Interval = orDefault(r.Interval, 10*time.Second)
		r.MaxEjectedPercent = max(orDefault(r.MaxEjectedPercent, 10), 0)
		o.Outlier = &r
	}
	return o
}

func orDefault[V comparable](value, otherwise V) V {
	if value == *new(V) {
		return otherwise
	}
	return value
}
