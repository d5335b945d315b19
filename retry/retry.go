// Package retry holds what decides whether and when a request is tried again: a
// [Budget], which bounds how many retries there are at once, a [Backoff], which
// spreads them over time, [Wait] and [After], which reads Retry-After.
//
// It knows nothing of how requests are made, imports the standard library alone,
// and each part is of use without the others. The defaults are Envoy's.
package retry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

// ErrOption: a field is out of range. The errors of the Validate methods wrap it;
// their text begins with "retry: " and names the field, its value and what is
// allowed.
var ErrOption = errors.New("option out of range")

func wrong(field string, value any, allowed string) error {
	return fmt.Errorf("retry: %s %v: %w: it must be %s", field, value, ErrOption, allowed)
}

// A Backoff says how long to wait before a retry: a random time, drawn evenly from
// 0 up to a bound that grows with the number of retries made (full jitter), so that
// those who failed together do not come back together. The bound of retry n is
// (2^n - 1) * Base, at most Max: with the defaults 25 ms, 75 ms, 175 ms, and 250 ms
// from then on, as Envoy's documentation has it.
//
// The zero value is Envoy's default. A Backoff is a value without state: it may be
// copied, and used by any number of goroutines.
type Backoff struct {
	// Base is the bound of the first delay. Default (0): 25 ms.
	Base time.Duration

	// Max is the bound of every delay, Base or more. Default (0): 10 * Base.
	Max time.Duration
}

// Validate returns an error, which wraps [ErrOption], if a field is out of range.
func (b Backoff) Validate() error {
	base, longest := b.bounds()
	switch {
	case b.Base < 0:
		return wrong("Backoff.Base", b.Base, "positive, or 0 for 25ms")
	case b.Max < 0 || longest < base:
		return wrong("Backoff.Max", b.Max, fmt.Sprintf("at least Base, %v, or 0 for 10 * Base", base))
	}
	return nil
}

// Delay returns how long to wait before retry n, the first being 1: at least 0 and
// less than the bound of n. No n overflows. Before an n below 1, which is no
// retry, there is no wait, nor is there with a Backoff that is not valid.
func (b Backoff) Delay(n int) time.Duration {
	if n < 1 || b.Validate() != nil {
		return 0
	}
	return rand.N(b.bound(n))
}

// bound returns what Delay(n) stays below, for n from 1 up.
func (b Backoff) bound(n int) time.Duration {
	base, longest := b.bounds()
	steps := uint64(1)<<min(n, 63) - 1
	if steps > uint64(longest/base) {
		return longest
	}
	return time.Duration(steps) * base
}

func (b Backoff) bounds() (base, longest time.Duration) {
	base, longest = b.Base, b.Max
	if base == 0 {
		base = 25 * time.Millisecond
	}
	if longest == 0 {
		longest = math.MaxInt64
		if base <= longest/10 {
			longest = 10 * base
		}
	}
	return base, longest
}

// Wait waits for d and returns nil, or the context's error as soon as the context
// ends. If the context's deadline is not later than the end of the wait, nothing
// could follow it: then Wait returns context.DeadlineExceeded at once, bare, so
// that it still tells those who ask by type that it is a timeout. A d of 0 or less
// is no wait; it is the context's error that is returned, if there is one.
func Wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if d <= 0 {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		return context.DeadlineExceeded
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// The forms of an HTTP-date (RFC 9110, section 5.6.7): the one to send, and two
// obsolete ones to accept.
var dates = [...]string{
	"Mon, 02 Jan 2006 15:04:05 GMT",
	"Monday, 02-Jan-06 15:04:05 GMT",
	time.ANSIC,
}

// After returns how long the value of a Retry-After field (RFC 9110, section
// 10.2.3) asks to wait from now on: a number of seconds, or the time until an
// HTTP-date, 0 if that has passed. A time too long for a Duration is the longest
// Duration. It returns false if the value is neither; a sign, a fraction and blanks
// are not allowed.
//
// A server may ask for years, so cap what it asks for.
func After(value string, now time.Time) (time.Duration, bool) {
	if value == "" {
		return 0, false
	}
	const most = math.MaxInt64 / int64(time.Second)
	seconds, digits := int64(0), true
	for _, c := range []byte(value) {
		if digits = '0' <= c && c <= '9'; !digits {
			break
		}
		// Beyond the most it does not matter how far beyond.
		seconds = min(10*seconds+int64(c-'0'), most+1)
	}
	switch {
	case digits && seconds > most:
		return math.MaxInt64, true
	case digits:
		return time.Duration(seconds) * time.Second, true
	}
	for _, layout := range dates {
		if at, err := time.Parse(layout, value); err == nil {
			return max(at.Sub(now), 0), true
		}
	}
	return 0, false
}
