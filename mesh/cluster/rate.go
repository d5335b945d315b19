package cluster

import (
	"math"
	"sync/atomic"
)

// A rate counts requests of an interval, and keeps those of the interval before.
type rate struct {
	total, good         atomic.Uint64
	lastTotal, lastGood uint64 // under Cluster.mu
}

func (r *rate) count(good bool) {
	r.total.Add(1)
	if good {
		r.good.Add(1)
	}
}

// turn ends an interval.
func (r *rate) turn() { r.lastTotal, r.lastGood = r.total.Swap(0), r.good.Swap(0) }

// percent returns how many of the last interval's requests were good, and how many there were.
func (r *rate) percent() (percent float64, volume uint64) {
	if r.lastTotal == 0 {
		return -1, 0
	}
	return 100 * float64(min(r.lastGood, r.lastTotal)) / float64(r.lastTotal), r.lastTotal
}

func (m *monitor) externalRate() *rate { return &m.external }
func (m *monitor) localRate() *rate    { return &m.localOrigin }

// rateStatistics are of the hosts with enough requests, in percent; -1: there are too few of them.
type rateStatistics struct{ average, threshold float64 }

// compareRates ejects the hosts whose success rate is below that of the others by more than a
// multiple of the standard deviation, or whose share of failures is too high. Cluster.mu is held.
func (d *outlier) compareRates(statistics *rateStatistics, of func(*monitor) *rate, bySuccess, byFailure reason) (changed bool) {
	c := d.config
	*statistics = rateStatistics{-1, -1}
	var enough, enoughForFailure []*monitor
	hosts, sum := 0, 0.0
	d.each(func(m *monitor) {
		hosts++
		percent, volume := of(m).percent()
		if m.ejected || volume == 0 {
			return
		}
		if volume >= uint64(c.SuccessRateVolume) {
			enough = append(enough, m)
			sum += percent
		}
		if volume >= uint64(c.FailurePercentageVolume) {
			enoughForFailure = append(enoughForFailure, m)
		}
	})
	if hosts < int(c.SuccessRateMinHosts) && hosts < int(c.FailurePercentageMinHosts) {
		return false
	}
	if n := len(enough); n > 0 && n >= int(c.SuccessRateMinHosts) {
		average, variance := sum/float64(n), 0.0
		for _, m := range enough {
			percent, _ := of(m).percent()
			variance += (percent - average) * (percent - average) / float64(n)
		}
		threshold := average - float64(c.SuccessRateStdevFactor)/1000*math.Sqrt(variance)
		*statistics = rateStatistics{average, threshold}
		for _, m := range enough {
			if percent, _ := of(m).percent(); percent < threshold {
				if bySuccess == successRate {
					d.stats.SuccessRate.Inc()
				}
				changed = d.ejectOnce(m, bySuccess) || changed
			}
		}
	}
	if n := len(enoughForFailure); n > 0 && n >= int(c.FailurePercentageMinHosts) {
		for _, m := range enoughForFailure {
			if percent, _ := of(m).percent(); 100-percent >= float64(c.FailurePercentageThreshold) {
				changed = d.ejectOnce(m, byFailure) || changed
			}
		}
	}
	return changed
}

// ejectOnce ejects a host that the other rule may have ejected just now.
func (d *outlier) ejectOnce(m *monitor, r reason) bool { return !m.ejected && d.eject(m, r) }
