package retry

import (
	"math"
	"sync/atomic"
)

// None, as Budget.Percent or Budget.Min, is 0, which cannot be written as 0: that
// is the default.
const None = -1

// A Budget bounds the retries in flight to a share of the requests in flight, so
// that retries cannot multiply the load on backends that fail: one more may begin
// while there are fewer than
//
//	max(Min, Percent of the requests in flight, rounded down)
//
// It is Envoy's retry budget. A request is in flight from Begin to End, whatever
// the number of its retries, and while it waits for one; a retry from BeginRetry
// to EndRetry, with the wait before it or without, as the caller chooses. (Envoy
// counts the wait.)
//
// The zero value is a budget with the defaults. Its methods may be called by any
// number of goroutines and do not allocate; the fields must not change from the
// first call on, and the Budget must not be copied then.
type Budget struct {
	// Percent is the share of the requests in flight that may be retries, up
	// to 100. [None] leaves just Min. Default (0): 20.
	Percent float64

	// Min is how many retries there may be whatever the number of requests,
	// up to 1<<31 - 1. [None] leaves just Percent. Default (0): 3.
	Min int

	// The requests in the upper half, the retries in the lower: as one word
	// they can be compared and changed at once.
	inFlight atomic.Uint64
}

const (
	oneRequest = 1 << 32
	oneRetry   = 1
)

// Validate returns an error, which wraps [ErrOption], if a field is out of range.
// Call it before the first use: the other methods take a value that is out of
// range as the nearest one that is not.
func (b *Budget) Validate() error {
	switch {
	case !(b.Percent >= 0 && b.Percent <= 100) && b.Percent != None:
		return wrong("Budget.Percent", b.Percent, "up to 100, or 0 for 20, or None")
	case b.Min < 0 && b.Min != None || int64(b.Min) > math.MaxInt32:
		return wrong("Budget.Min", b.Min, "up to 2147483647, or 0 for 3, or None")
	}
	return nil
}

// Begin counts a request in. Each is to be followed by one End.
func (b *Budget) Begin() { b.inFlight.Add(oneRequest) }

// End counts a request out. One too many is ignored.
func (b *Budget) End() {
	for {
		now := b.inFlight.Load()
		if now < oneRequest || b.inFlight.CompareAndSwap(now, now-oneRequest) {
			return
		}
	}
}

// BeginRetry counts a retry in and returns true if the budget has room for it.
// Then it is to be followed by one EndRetry. Otherwise nothing is counted, and the
// request should not be tried again.
func (b *Budget) BeginRetry() bool {
	for {
		now := b.inFlight.Load()
		if uint32(now) >= b.limit(uint32(now>>32)) {
			return false
		}
		if b.inFlight.CompareAndSwap(now, now+oneRetry) {
			return true
		}
	}
}

// EndRetry counts a retry out. One too many is ignored.
func (b *Budget) EndRetry() {
	for {
		now := b.inFlight.Load()
		if uint32(now) == 0 || b.inFlight.CompareAndSwap(now, now-oneRetry) {
			return
		}
	}
}

// InFlight returns how many requests and retries are in flight, both at the same
// moment.
func (b *Budget) InFlight() (requests, retries int) {
	now := b.inFlight.Load()
	return int(now >> 32), int(uint32(now))
}

// limit returns how many retries there may be beside this many requests.
func (b *Budget) limit(requests uint32) uint32 {
	percent, least := b.Percent, b.Min
	if percent == 0 {
		percent = 20
	}
	if least == 0 {
		least = 3
	}
	share := int64(0)
	if percent > 0 { // neither None nor NaN
		// Multiplied first, so that whole percents of whole numbers are exact.
		share = int64(min(percent, 100) * float64(requests) / 100)
	}
	return uint32(min(max(share, int64(least), 0), math.MaxInt32))
}
