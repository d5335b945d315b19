package cluster

import (
	"testing"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTwister(t *testing.T) {
	// The 10,000th number of a default-constructed std::mt19937, ISO C++, [rand.predef].
	random := newTwister(5489)
	for range 9999 {
		random.draw()
	}
	assert.Equal(t, uint32(4123659995), random.draw())
}

func TestBound(t *testing.T) {
	config := clusterOf(config.MaglevPolicy, priority(many(5, "")...))
	config.BalanceFactor = 100
	c := open(t, config, Options{})
	const hash = 12345
	need := Need{Hash: hash, HasHash: true}
	own := c.Pick(&need)
	took := make(map[*Host]int)
	for i := range 10 {
		h := c.Pick(&need)
		require.NotNil(t, h)
		h.Stats.ActiveRequests.Inc()
		c.Stats.ActiveRequests.Inc()
		// A host gets one more as long as it has no more than ceil((A+1)/5) of A active ones.
		assert.LessOrEqual(t, took[h], (i+1+4)/5)
		took[h]++
	}
	assert.Greater(t, len(took), 2, "others have got some")
	assert.Positive(t, took[own])

	for _, h := range c.hosts[0] {
		h.Stats.ActiveRequests.Set(100)
	}
	c.hosts[0][3].Stats.ActiveRequests.Set(99)
	c.Stats.ActiveRequests.Set(0)
	assert.Equal(t, c.hosts[0][3], c.Pick(&need), "all are beyond: the least loaded")
}
