package cluster

import (
	"sync"
	"testing"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLimit(t *testing.T) {
	c := defaults()
	c.Breakers[config.DefaultPriority] = config.Breakers{Connections: 2, TrackRemaining: true}
	store := stats.NewStore()
	b := open(t, c, Options{Stats: store}).Breakers(config.DefaultPriority)
	scope := store.Cluster("test").Scope("circuit_breakers").Scope("default")
	open, left := scope.Gauge("cx_open"), scope.Gauge("remaining_cx")
	assert.EqualValues(t, 2, left.Value())
	assert.EqualValues(t, 1, scope.Gauge("rq_open").Value(), "none is allowed")

	l := &b.Connections
	require.True(t, l.TryAcquire())
	assert.EqualValues(t, 0, open.Value())
	require.True(t, l.TryAcquire())
	assert.EqualValues(t, 1, open.Value())
	assert.EqualValues(t, 0, left.Value())
	require.False(t, l.TryAcquire())
	assert.Equal(t, 2, l.InUse())
	l.Acquire()
	assert.Equal(t, 3, l.InUse())
	assert.EqualValues(t, 0, left.Value())
	l.Release()
	assert.EqualValues(t, 1, open.Value())
	l.Release()
	assert.EqualValues(t, 0, open.Value())
	assert.EqualValues(t, 1, left.Value())
	require.True(t, l.TryAcquire())
}

func TestLimitAtOnce(t *testing.T) {
	c := defaults()
	c.Breakers[config.DefaultPriority].Requests = 3
	store := stats.NewStore()
	l := &open(t, c, Options{Stats: store}).Breakers(config.DefaultPriority).Requests
	var g sync.WaitGroup
	for range 4 {
		g.Go(func() {
			for range 1000 {
				if l.TryAcquire() {
					assert.LessOrEqual(t, l.InUse(), 3+4, "others may be about to find that there is no room")
					l.Release()
				}
			}
		})
	}
	g.Wait()
	assert.Equal(t, 0, l.InUse())
	assert.EqualValues(t, 0, store.Cluster("test").Scope("circuit_breakers").Scope("default").Gauge("rq_open").Value())
}

func TestRetryBudget(t *testing.T) {
	c := defaults()
	c.Breakers[config.DefaultPriority].Budget = &config.RetryBudget{Percent: 20, Min: 3}
	b := open(t, c, Options{}).Breakers(config.DefaultPriority)
	for range 3 {
		require.True(t, b.Retries.TryAcquire())
	}
	require.False(t, b.Retries.TryAcquire(), "the least that is allowed is 3")
	for range 15 {
		b.Requests.Acquire()
	}
	require.False(t, b.Retries.TryAcquire(), "20 % of 15 is 3")
	for range 5 {
		b.Pending.Acquire()
	}
	require.True(t, b.Retries.TryAcquire(), "20 % of 20 is 4")
	require.False(t, b.Retries.TryAcquire())
	b.Retries.Release()
	require.True(t, b.Retries.TryAcquire())
}
