package maglev

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"time"
)

// BalancerOptions say how a [Balancer] balances. The zero value is a balancer
// over Envoy's default table that spills, panics below half and bounds no load.
type BalancerOptions struct {
	// Table says how tables are built. Default (the zero value): Envoy's
	// default table.
	Table Options

	// Unhealthy chooses what happens to the keys of unhealthy backends.
	// Default (the zero value): [Spill].
	Unhealthy Unhealthy

	// PanicThreshold is the share of healthy backends, in percent from 0 to
	// 100, below which health is taken for mistaken and all backends are used,
	// if also fewer than 1/1.4 of them (71 %) are healthy: Envoy's rule, with
	// its overprovisioning factor. new(0) means never: with all unhealthy there
	// is then nothing to pick. Default (nil): 50.
	PanicThreshold *int

	// BalanceFactor bounds what a backend may have in flight, in percent of
	// its fair share, from 100 up, by Envoy's formula (hash_balance_factor): of
	// A requests in flight a backend with a share w of the weights of those in
	// use gets no further key while it has more than
	// max(MinInFlight, ceil(w * ceil((A+1) * BalanceFactor / 100))).
	// So it may have one more than that. A counts what is being acquired at the
	// same moment as well. Only [Balancer.Acquire] counts and is bounded.
	// Default (0): no bound.
	BalanceFactor int

	// MinInFlight is how many requests in flight no bound forbids, so that
	// keys do not leave their backends just because there is little to do: with
	// 5 requests in flight over 10 backends and a factor of 125, 7 % of them
	// leave at a minimum of 1, which is Envoy's, and none at 8. Default (0): 8.
	MinInFlight int

	// SlowStart lets backends that are new, or healthy again, take over their
	// keys little by little. Default (the zero value): at once.
	SlowStart SlowStart
}

// Unhealthy says what happens to the keys of unhealthy backends.
//
// Spill keeps the table and passes over the unhealthy: exactly their keys move,
// spread evenly over the others, and they come back when the backends do.
// Rebuild is Envoy's way: the table is built anew from the healthy backends, in
// the background, so that a fleet mixed with Envoys agrees on where keys go
// while something is down too. Its price is that other keys move as well: when 1
// of N fails, at 65537 slots, 0.24 % of all keys at N = 10, 0.56 % at 100 and
// 0.57 % at 1000, beside the 10, 1 and 0.1 % that have to; at 655373 slots 0.07,
// 0.14 and 0.33 %. They move back when it recovers. Until the new table is there,
// about a millisecond, Rebuild spills. Backends whose locality has weight 0 get
// nothing then, as in Envoy; in Spill they are the last resort. In panic Envoy uses
// draining hosts too, which are never used here. Choose Rebuild if, and only if,
// somebody else's tables are to be agreed with.
type Unhealthy uint8

const (
	Spill   Unhealthy = iota // pass over unhealthy backends, the default
	Rebuild                  // build tables of the healthy backends alone, as Envoy does
)

// SlowStart is Envoy's slow_start_config, as a share of keys in place of a share
// of weight: a backend that has been up for t takes
// max(MinPercent/100, (t/Window)^(1/Aggression)) of its keys. What it has taken it
// keeps; the others are where they would be without it: as a rule, where they were.
// If the backend that has been up longest is younger than Window, its age takes
// Window's place: so nothing happens where all are new. Nor does it in panic.
type SlowStart struct {
	// Window is how long it takes. Default (0): there is no slow start.
	Window time.Duration

	// Aggression bends the curve: above 1 a backend takes most of its keys
	// early, below 1 late. Default (0): 1, a straight line.
	Aggression float64

	// MinPercent is the share, from 1 to 100, that a backend begins with.
	// Default (0): 10.
	MinPercent int
}

// The errors of [NewBalancer], [Balancer.SetHealth] and [Balancer.SetDraining]
// beyond those of [New].
var (
	// ErrOption: a field of BalancerOptions is out of range.
	ErrOption = errors.New("option out of range")
	// ErrUnknownBackend: no backend of the set has the name.
	ErrUnknownBackend = errors.New("unknown backend")
)

func (o *BalancerOptions) check() error {
	wrong := func(field string, value any, allowed string) error {
		return fmt.Errorf("maglev: BalancerOptions.%s %v: %w: it must be %s", field, value, ErrOption, allowed)
	}
	slow := &o.SlowStart
	switch {
	case o.Unhealthy > Rebuild:
		return wrong("Unhealthy", o.Unhealthy, "Spill (0) or Rebuild (1)")
	case o.PanicThreshold != nil && (*o.PanicThreshold < 0 || *o.PanicThreshold > 100):
		return wrong("PanicThreshold", *o.PanicThreshold, "from 0 (never) to 100, in percent, or nil for 50")
	case o.BalanceFactor != 0 && (o.BalanceFactor < 100 || o.BalanceFactor > math.MaxInt32):
		return wrong("BalanceFactor", o.BalanceFactor, "100 or more, in percent, or 0 for no bound")
	case o.MinInFlight < 0:
		return wrong("MinInFlight", o.MinInFlight, "1 or more, or 0 for 8")
	case slow.Window < 0:
		return wrong("SlowStart.Window", slow.Window, "positive, or 0 for no slow start")
	case !(slow.Aggression >= 0) || math.IsInf(slow.Aggression, 1):
		return wrong("SlowStart.Aggression", slow.Aggression, "positive and finite, or 0 for 1")
	case slow.MinPercent < 0 || slow.MinPercent > 100:
		return wrong("SlowStart.MinPercent", slow.MinPercent, "from 1 to 100, or 0 for 10")
	}
	return nil
}

// withDefaults returns the options with every default spelled out.
func (o BalancerOptions) withDefaults() BalancerOptions {
	if o.PanicThreshold == nil {
		o.PanicThreshold = new(50)
	} else {
		o.PanicThreshold = new(*o.PanicThreshold)
	}
	o.Table.LocalityWeights = maps.Clone(o.Table.LocalityWeights)
	o.MinInFlight = orDefault(o.MinInFlight, 8)
	o.SlowStart.Aggression = orDefault(o.SlowStart.Aggression, 1)
	o.SlowStart.MinPercent = orDefault(o.SlowStart.MinPercent, 10)
	return o
}

func orDefault[V comparable](value, otherwise V) V {
	if value == *new(V) {
		return otherwise
	}
	return value
}

// share returns what share of its keys a backend takes that has been up for t,
// less than Window, when another has been for longer. It never falls as time goes
// by: the quotient of shares, each with its minimum, would.
func (s *SlowStart) share(t, longest time.Duration) float64 {
	share := float64(t) / float64(min(longest, s.Window))
	if s.Aggression != 1 {
		share = math.Pow(share, 1/s.Aggression)
	}
	return max(share, float64(s.MinPercent)/100)
}
