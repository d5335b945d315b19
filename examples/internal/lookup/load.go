package lookup

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How many requests are under way at once.
const (
	Workers = 8           // as they are measured
	Most    = 4 * Workers // and otherwise
)

// An Answer is what a server has said to a request.
type Answer struct {
	Server string // its name
	Hit    bool   // it had the value in its cache
	Value  string
}

// An Ask is how a client asks for a key.
type Ask func(ctx context.Context, key string) (Answer, error)

// An Outcome is what came of a request.
type Outcome struct {
	Answer
	Ended time.Time
	Took  time.Duration
	Err   error // there is no answer, or a wrong one
}

// One asks for a key. A wrong answer is an error.
func (ask Ask) One(ctx context.Context, key string) Outcome {
	start := time.Now()
	answer, err := ask(ctx, key)
	ended := time.Now()
	o := Outcome{Answer: answer, Ended: ended, Took: ended.Sub(start)}
	switch {
	case err != nil:
		o.Err = fmt.Errorf("key %q: %w", key, err)
	case answer.Value != valueOf(key):
		o.Err = fmt.Errorf("key %q: the answer is %q, and should be %q", key, answer.Value, valueOf(key))
	}
	return o
}

// each asks for the keys, atOnce of them at a time, and returns what came of each.
// When it is the turn of keys[at], meanwhile is called while the others go on.
func (ask Ask) each(ctx context.Context, keys []string, atOnce, at int, meanwhile func() error) ([]Outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	outcomes := make([]Outcome, len(keys))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(keys) {
					return
				}
				if i == at && meanwhile != nil {
					if err := meanwhile(); err != nil {
						cancel(err)
						return
					}
				}
				outcomes[i] = ask.One(ctx, keys[i])
			}
		})
	}
	wg.Wait()
	return outcomes, context.Cause(ctx)
}

// A Summary is what a number of requests came to.
type Summary struct {
	Requests, Failed, Hits int
	Queries                int // of the database, as it has counted them
	Median, P99            time.Duration
	MaxMean                float64 // of the requests that each server has answered
}

func summarize(outcomes []Outcome, queries, servers int) Summary {
	s := Summary{Requests: len(outcomes), Queries: queries}
	took := make([]time.Duration, len(outcomes))
	by := make(map[string]int)
	for i, o := range outcomes {
		took[i] = o.Took
		if o.Err != nil {
			s.Failed++
			continue
		}
		by[o.Server]++
		if o.Hit {
			s.Hits++
		}
	}
	slices.Sort(took)
	if len(took) > 0 {
		s.Median, s.P99 = took[len(took)/2], took[len(took)*99/100]
	}
	s.MaxMean = MaxMean(by, servers)
	return s
}

// MaxMean returns what the one of n servers that has most has, over the mean of all: 1 is
// even. It is 0 if nobody has anything.
func MaxMean[K comparable](by map[K]int, n int) float64 {
	most, sum := 0, 0
	for _, has := range by {
		most, sum = max(most, has), sum+has
	}
	return float64(most) * float64(n) / float64(max(sum, 1))
}

// HitRate is the share of requests that were answered from a cache.
func (s Summary) HitRate() float64 { return float64(s.Hits) / float64(s.Requests) }

// firstError returns why the first request failed that did.
func firstError(outcomes []Outcome) error {
	for _, o := range outcomes {
		if o.Err != nil {
			return o.Err
		}
	}
	return nil
}
