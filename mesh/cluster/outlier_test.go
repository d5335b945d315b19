package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// outlierDefaults returns outlier_detection: {} as package config has it.
func outlierDefaults() *config.Outlier {
	return &config.Outlier{
		Consecutive5xx: 5, ConsecutiveGateway: 5, ConsecutiveLocal: 5,
		Interval: 10 * time.Second, BaseEjection: 30 * time.Second, MaxEjection: 300 * time.Second, MaxEjectionPercent: 10,
		EnforceConsecutive5xx: 100, EnforceLocal: 100, EnforceSuccessRate: 100, EnforceLocalSuccessRate: 100,
		SuccessRateMinHosts: 5, SuccessRateVolume: 100, SuccessRateStdevFactor: 1900,
		FailurePercentageThreshold: 85, FailurePercentageMinHosts: 5, FailurePercentageVolume: 50,
		SuccessfulCheckUnejects: true,
	}
}

func watched(n int, change func(*config.Outlier)) *config.Cluster {
	c := clusterOf(config.RoundRobin, priority(many(n, "")...))
	c.Outlier = outlierDefaults()
	c.Outlier.MaxEjectionPercent = 100
	if change != nil {
		change(c.Outlier)
	}
	return c
}

func repeat(h *Host, n int, o Outcome) {
	for range n {
		h.Report(o)
	}
}

func ejected(h *Host) bool { return h.Flags()&FailedOutlierCheck != 0 }

func TestConsecutiveErrors(t *testing.T) {
	split := func(o *config.Outlier) { o.SplitLocal = true }
	gateway := func(o *config.Outlier) { o.EnforceGateway, o.EnforceConsecutive5xx = 100, 0 }
	tests := []struct {
		name     string
		change   func(*config.Outlier)
		outcomes []Outcome
		ejected  bool
	}{
		{"five 500", nil, []Outcome{500, 500, 500, 500, 500}, true},
		{"four 500", nil, []Outcome{500, 500, 500, 500}, false},
		{"a 404 in between", nil, []Outcome{500, 500, 500, 500, 404, 500}, false},
		{"any 5xx", nil, []Outcome{500, 503, 599, ConnectFailed, TimedOut}, true},
		{"connections say nothing", nil, []Outcome{500, Connected, 500, Connected, 500, 500, 500}, true},
		{"gateway errors", gateway, []Outcome{502, 503, 504, ConnectFailed, TimedOut}, true},
		{"a 500 among gateway errors", gateway, []Outcome{502, 503, 500, 502, 503}, false},
		{"local ones apart", split, []Outcome{500, 500, ConnectFailed, TimedOut, ConnectFailed, 500, 500}, false},
		{"five local ones", split, []Outcome{ConnectFailed, TimedOut, 500, ConnectFailed, 200, ConnectFailed, ConnectFailed}, true},
		{"a connection in between", split, []Outcome{ConnectFailed, ConnectFailed, ConnectFailed, ConnectFailed, Connected, ConnectFailed}, false},
		{"not enforced", func(o *config.Outlier) { o.EnforceConsecutive5xx = 0 }, []Outcome{500, 500, 500, 500, 500}, false},
		{"off", func(o *config.Outlier) { o.Consecutive5xx = 0 }, []Outcome{500, 500, 500, 500, 500, 500, 500}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := open(t, watched(4, test.change), Options{})
			for _, o := range test.outcomes {
				c.hosts[0][1].Report(o)
			}
			assert.Equal(t, test.ejected, ejected(c.hosts[0][1]))
			assert.Equal(t, !test.ejected, picks(c, 100)["10.0.0.2:80"] > 0)
		})
	}
}

func TestWithoutOutlierDetectionNothingIsEjected(t *testing.T) {
	c := open(t, clusterOf(config.RoundRobin, priority(many(2, "")...)), Options{})
	repeat(c.hosts[0][0], 100, 500)
	assert.Zero(t, c.hosts[0][0].Flags())
}

func TestMaxEjectionPercent(t *testing.T) {
	tests := []struct {
		hosts   int
		percent uint32
		always  bool
		ejected int
	}{
		{4, 10, false, 0},
		{4, 10, true, 1},
		{10, 10, false, 1},
		{10, 35, false, 3},
		{4, 100, false, 4},
		{4, 0, true, 1},
	}
	for _, test := range tests {
		store := stats.NewStore()
		c := open(t, watched(test.hosts, func(o *config.Outlier) {
			o.MaxEjectionPercent, o.AlwaysEjectOne = test.percent, test.always
		}), Options{Stats: store})
		n := 0
		for _, h := range c.hosts[0] {
			repeat(h, 5, 500)
			if ejected(h) {
				n++
			}
		}
		assert.Equal(t, test.ejected, n, "%+v", test)
		scope := store.Cluster("test").Scope("outlier_detection")
		assert.EqualValues(t, n, scope.Gauge("ejections_active").Value())
		assert.EqualValues(t, n, scope.Counter("ejections_enforced_total").Value())
		assert.EqualValues(t, test.hosts-n, scope.Counter("ejections_overflow").Value())
		assert.EqualValues(t, test.hosts, scope.Counter("ejections_detected_consecutive_5xx").Value())
	}
}

func TestEjectionsEndWithAnInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, watched(4, nil), nil, Options{})
		h := c.hosts[0][0]
		ejection := func() time.Duration {
			began := time.Now()
			repeat(h, 5, 500)
			require.True(t, ejected(h))
			for ejected(h) {
				time.Sleep(time.Second)
			}
			return time.Since(began).Round(time.Second)
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		assert.InDelta(t, 36, ejection().Seconds(), 1, "30 s, and then the end of the interval")
		assert.InDelta(t, 60, ejection().Seconds(), 10, "twice as long")
		assert.InDelta(t, 90, ejection().Seconds(), 10)
		time.Sleep(25 * time.Second) // two intervals without one: the multiple falls by two
		assert.InDelta(t, 60, ejection().Seconds(), 11)
		for range 10 {
			ejection()
		}
		assert.InDelta(t, 300, ejection().Seconds(), 10, "the most")
	})
}

func TestCountersBeginAnewAfterAnEjection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, watched(4, func(o *config.Outlier) { o.ConsecutiveGateway, o.EnforceGateway = 3, 100 }), nil, Options{})
		h := c.hosts[0][0]
		repeat(h, 3, 503)
		require.True(t, ejected(h))
		repeat(h, 1, 500) // was under way
		time.Sleep(50 * time.Second)
		synctest.Wait()
		require.False(t, ejected(h))
		repeat(h, 4, 500)
		assert.False(t, ejected(h))
		repeat(h, 1, 500)
		assert.True(t, ejected(h))
	})
}

func TestSuccessfulCheckUnejects(t *testing.T) {
	for _, unejects := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := watched(4, func(o *config.Outlier) { o.SuccessfulCheckUnejects = unejects; o.BaseEjection = time.Hour })
			checked(c)
			cluster := start(t, c, newScript(), Options{})
			synctest.Wait()
			repeat(cluster.hosts[0][0], 5, 500)
			require.True(t, ejected(cluster.hosts[0][0]))
			time.Sleep(10 * time.Second)
			synctest.Wait()
			assert.Equal(t, !unejects, ejected(cluster.hosts[0][0]))
		})
	}
}

func TestSuccessRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, watched(6, nil), nil, Options{})
		report := func(good ...int) {
			for i, n := range good {
				for k := range 100 {
					if k < n {
						c.hosts[0][i].Report(200)
					} else {
						c.hosts[0][i].Report(500)
						c.hosts[0][i].Report(200) // never five errors in a row
					}
				}
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		report(100, 100, 100, 100, 100)
		assert.Equal(t, 100.0, c.Status().Outlier.SuccessRateAverage)
		assert.Equal(t, 100.0, c.Status().Hosts[0].SuccessRate)
		assert.Equal(t, -1.0, c.Status().Hosts[5].SuccessRate, "no requests")
		for _, h := range c.hosts[0] {
			require.False(t, ejected(h))
		}
		// 40 errors and 40 successes more: 100 of 140 = 71.4 %. The mean of the five is 94.3 %,
		// the deviation 11.4, the threshold 94.3 - 1.9 * 11.4 = 72.6.
		report(100, 100, 100, 100, 60)
		assert.True(t, ejected(c.hosts[0][4]))
		assert.InDelta(t, 72.57, c.Status().Outlier.SuccessRateThreshold, 0.01)
		report(100, 100, 100, 100)
		assert.Equal(t, -1.0, c.Status().Outlier.SuccessRateAverage, "four hosts are too few")
	})
}

func TestFailurePercentage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := start(t, watched(5, func(o *config.Outlier) {
			o.EnforceFailurePercentage, o.EnforceSuccessRate, o.EnforceConsecutive5xx = 100, 0, 0
			o.FailurePercentageThreshold = 30
		}), nil, Options{})
		for i, h := range c.hosts[0] {
			repeat(h, 100, 200)
			repeat(h, []int{0, 42, 43, 0, 0}[i], 500) // of 142 or 143: 29.6 and 30.07 %
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.False(t, ejected(c.hosts[0][1]))
		assert.True(t, ejected(c.hosts[0][2]))
	})
}

func TestReportsDoNotAllocate(t *testing.T) {
	c := open(t, watched(4, nil), Options{})
	h := c.hosts[0][0]
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		h.Report(Connected)
		h.Report(200)
	}))
}
