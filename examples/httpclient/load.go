package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	workers = 8           // how many requests are under way at once as they are measured
	most    = 4 * workers // and otherwise
)

// keyOf names the key of a popularity, 0 the most popular.
func keyOf(rank int) string { return fmt.Sprintf("user-%06d", rank) }

// everyKey returns each key once, the least popular first: a cache that holds
// fewer than all is left with the most popular ones.
func everyKey(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = keyOf(n - 1 - i)
	}
	return keys
}

// A popularity draws keys by Zipf's law, as Mandelbrot has it, about as users and
// pages are asked for: each in proportion to 1/(10+rank)^1.01. The same seed draws the
// same keys.
type popularity struct {
	zipf *rand.Zipf
}

func newPopularity(keys int, seed uint64) *popularity {
	return &popularity{rand.NewZipf(rand.New(rand.NewPCG(seed, 0)), 1.01, 10, uint64(keys-1))}
}

func (p *popularity) draw(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = keyOf(int(p.zipf.Uint64()))
	}
	return keys
}

// An outcome is what came of a request.
type outcome struct {
	server string // that has answered, "" if none has
	hit    bool   // it had the value in its cache
	took   time.Duration
	err    error
}

// send asks for the keys, atOnce of them at a time, and returns what came of each.
// When it is the turn of keys[at], meanwhile is called while the others go on.
func send(ctx context.Context, via http.RoundTripper, keys []string, atOnce, at int, meanwhile func() error) ([]outcome, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client := &http.Client{Transport: via, Timeout: 10 * time.Second}
	outcomes := make([]outcome, len(keys))
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
				start := time.Now()
				outcomes[i] = sendOne(ctx, client, keys[i])
				outcomes[i].took = time.Since(start)
			}
		})
	}
	wg.Wait()
	return outcomes, context.Cause(ctx)
}

func sendOne(ctx context.Context, client *http.Client, key string) outcome {
	failed := func(err error) outcome { return outcome{err: fmt.Errorf("key %q: %w", key, err)} }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://lookup.example/", nil)
	if err != nil {
		return failed(err)
	}
	req.Header.Set(keyHeader, key)
	resp, err := client.Do(req)
	if err != nil {
		return failed(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return failed(err)
	case resp.StatusCode != http.StatusOK:
		return failed(fmt.Errorf("the answer is %s", resp.Status))
	case string(body) != valueOf(key):
		return failed(fmt.Errorf("the answer is %q, and should be %q", body, valueOf(key)))
	}
	return outcome{server: resp.Header.Get(serverHeader), hit: resp.Header.Get(cacheHeader) == "hit"}
}

// A summary is what a number of requests came to.
type summary struct {
	requests, failed, hits int
	queries                int // of the database, as it has counted them
	median, p99            time.Duration
}

func summarize(outcomes []outcome, queries int) summary {
	s := summary{requests: len(outcomes), queries: queries}
	var took []time.Duration
	for _, o := range outcomes {
		if o.err != nil {
			s.failed++
		}
		if o.hit {
			s.hits++
		}
		took = append(took, o.took)
	}
	slices.Sort(took)
	s.median, s.p99 = took[len(took)/2], took[len(took)*99/100]
	return s
}

func (s summary) hitRate() float64 { return float64(s.hits) / float64(s.requests) }

// firstError returns why the first request failed that did.
func firstError(outcomes []outcome) error {
	for _, o := range outcomes {
		if o.err != nil {
			return o.err
		}
	}
	return nil
}
