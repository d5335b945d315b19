package filter

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/stats"
)

var all = config.Fraction{Numerator: 100, Denominator: 100}

// The steps are those that Envoy 1.40.0 took for two tokens in two seconds, and for five in two
// seconds of which there is room for one.
func TestBucket(t *testing.T) {
	var two, one bucket
	two.init(2, 2, 2*time.Second, 0)
	one.init(1, 5, 2*time.Second, 0)
	for _, step := range []struct {
		bucket  *bucket
		at      time.Duration // in milliseconds
		ok      bool
		left    int64
		seconds int64
	}{
		{&two, 0, true, 1, 0}, {&two, 0, true, 0, 1}, {&two, 0, false, 0, 1},
		{&two, 500, false, 0, 1},
		{&two, 1100, true, 0, 1}, {&two, 1100, false, 0, 1},
		{&two, 1600, false, 0, 1},
		{&two, 2150, true, 0, 1}, {&two, 2150, false, 0, 1},
		{&two, 6000, true, 1, 0}, {&two, 6000, true, 0, 1}, {&two, 6000, false, 0, 1},
		{&one, 0, true, 0, 1}, {&one, 0, false, 0, 1},
		{&one, 500, true, 0, 1}, {&one, 500, false, 0, 1},
	} {
		at := step.at * time.Millisecond
		assert.Equal(t, step.ok, step.bucket.take(at), "%+v", step)
		left, seconds := step.bucket.left(at)
		assert.Equal(t, []int64{step.left, step.seconds}, []int64{left, seconds}, "%+v", step)
	}
}

// Over a day of requests that always find an empty bucket, no token is lost to sums of fractions, and none comes from
// nowhere.
func TestBucketDoesNotDrift(t *testing.T) {
	var b bucket
	b.init(7, 3, time.Second, 0) // 333333333.3 ns each
	n := 0
	for at := time.Duration(0); at <= 24*time.Hour; at += 100 * time.Millisecond {
		for b.take(at) {
			n++
		}
	}
	assert.Equal(t, 7+24*3600*3, n)
}

func TestBucketOfManyGoroutines(t *testing.T) {
	var b bucket
	b.init(1000, 1, time.Hour, 0)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				if b.take(time.Millisecond) {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	assert.EqualValues(t, 1000, taken.Load())
}

func TestBucketPerConnection(t *testing.T) {
	start := time.Now()
	h := &config.HTTP{Filters: []config.Filter{&config.LocalRateLimit{Bucket: &config.TokenBucket{MaxTokens: 1, TokensPerFill: 1, FillInterval: time.Hour},
		Enabled: all, Enforced: all, Status: 429, PerConnection: true}}}
	c := New(h, Options{Start: start})
	assert.True(t, c.PerConnection())
	var first, second Connection
	var ex message.Exchange
	ask := func(conn *Connection) bool {
		return c.Request(&ex, new(State), Input{Connection: conn, Now: start.Add(time.Minute)}) == nil
	}
	assert.True(t, ask(&first))
	assert.False(t, ask(&first))
	assert.True(t, ask(&second), "another connection has a bucket of its own")
	assert.False(t, ask(&second))
}

// Requests that are not limited, for their share, take no tokens.
func TestShares(t *testing.T) {
	start := time.Now()
	store := stats.NewStore()
	h := &config.HTTP{Filters: []config.Filter{&config.LocalRateLimit{StatPrefix: "p", Bucket: &config.TokenBucket{MaxTokens: 10, TokensPerFill: 1, FillInterval: time.Hour},
		Enabled: config.Fraction{Numerator: 25, Denominator: 100}, Enforced: config.Fraction{Numerator: 50, Denominator: 100}, Status: 429}}}
	c := New(h, Options{Start: start, Stats: store})
	replies := 0
	for i := range uint64(10000) {
		var ex message.Exchange
		// The low bits choose those that are enabled, the high ones those that are enforced.
		if c.Request(&ex, new(State), Input{Random: i%100 | i/100<<32, Now: start}) != nil {
			replies++
		}
	}
	s := store.LocalRateLimit("p")
	assert.EqualValues(t, 2500, s.Counter("enabled").Value())
	assert.EqualValues(t, 10, s.Counter("ok").Value())
	assert.EqualValues(t, 2490, s.Counter("rate_limited").Value())
	// The ten are of the first, which would have been enforced.
	assert.EqualValues(t, 1240, s.Counter("enforced").Value())
	assert.Equal(t, 1240, replies)
}

func TestNoFilters(t *testing.T) {
	c := New(&config.HTTP{}, Options{})
	var ex message.Exchange
	var s State
	assert.Nil(t, c.Request(&ex, &s, Input{}))
	c.Response(&ex, &s, time.Time{})
	assert.Empty(t, ex.Response.Fields)
	assert.False(t, c.PerConnection())
}

func TestAllocations(t *testing.T) {
	h := &config.HTTP{Filters: []config.Filter{&config.LocalRateLimit{Bucket: &config.TokenBucket{MaxTokens: 1e6, TokensPerFill: 1, FillInterval: time.Second},
		Enabled: all, Enforced: all}}}
	c := New(h, Options{})
	var ex message.Exchange
	var s State
	now := time.Now()
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		s = State{}
		c.Request(&ex, &s, Input{Now: now})
		c.Response(&ex, &s, now)
	}))
}

func BenchmarkRateLimit(b *testing.B) {
	h := &config.HTTP{Filters: []config.Filter{&config.LocalRateLimit{Bucket: &config.TokenBucket{MaxTokens: 1e6, TokensPerFill: 1e6, FillInterval: time.Second},
		Enabled: all, Enforced: all}}}
	c := New(h, Options{})
	now := time.Now()
	b.RunParallel(func(pb *testing.PB) {
		var ex message.Exchange
		var s State
		for pb.Next() {
			s = State{}
			c.Request(&ex, &s, Input{Now: now})
		}
	})
}
