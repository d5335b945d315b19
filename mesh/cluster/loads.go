package cluster

// An availability is what a priority's share of the requests is computed from. Numbers are of
// hosts, or of their weights if weighted_priority_health is set.
type availability struct {
	healthy, degraded int
	total             int // without those that are excluded

	hosts     int     // all there are, whatever their state
	available float64 // percent of hosts, without those excluded, that are healthy or degraded
}

// A load says which priority gets which requests: percentages of them, first by healthy hosts
// and then by degraded ones, all of which add up to 100.
type load struct {
	healthy, degraded []uint32
	panic             []bool // health is ignored: all hosts of the priority are used
}

// newLoad distributes requests over the priorities as Envoy does.
//
// A priority's health is the share of its hosts that are healthy, in percent, times the
// overprovisioning factor, 140 %, and at most 100; likewise for degraded hosts. Requests go to
// the healthy hosts of priority 0 as far as its health allows for, then to those of
// priority 1, and so on, then to degraded hosts in the same order. If that does not add up to
// 100 %, what there is is scaled up; and priorities with fewer available hosts than the
// panic threshold, in percent, ignore health. If all do, they get their shares by
// their numbers of hosts.
//
// Shares of healthy hosts in three priorities, and the requests that each gets:
//
//	100 %  100 %  100 %    100 %   0 %   0 %
//	 72 %   72 %  100 %    100 %   0 %   0 %   72 * 1.4 = 100.8
//	 71 %   71 %  100 %     99 %   1 %   0 %
//	 50 %   50 %  100 %     70 %  30 %   0 %
//	 25 %   25 %  100 %     35 %  35 %  30 %
func newLoad(levels []availability, overprovisioning, threshold uint32) load {
	l := load{
		healthy:  make([]uint32, len(levels)),
		degraded: make([]uint32, len(levels)),
		panic:    make([]bool, len(levels)),
	}
	healthy, degraded := make([]uint32, len(levels)), make([]uint32, len(levels))
	sum := uint32(0)
	for i := range levels {
		healthy[i] = percentOf(levels[i].healthy, levels[i].total, overprovisioning)
		degraded[i] = percentOf(levels[i].degraded, levels[i].total, overprovisioning)
		sum += healthy[i] + degraded[i]
	}
	sum = min(sum, 100)
	if sum > 0 {
		l.distribute(healthy, degraded, sum)
	}
	if sum == 100 {
		return l
	}
	if sum == 0 && threshold == 0 {
		l.healthy[0] = 100 // where nobody is found
		return l
	}
	all := true
	for i := range levels {
		l.panic[i] = levels[i].available < float64(threshold)
		all = all && l.panic[i]
	}
	if all {
		l.byHosts(levels)
	}
	return l
}

// percentOf returns part of total in percent, times a factor in percent, at most 100.
func percentOf(part, total int, factor uint32) uint32 {
	if total <= 0 {
		return 0
	}
	return uint32(min(100, uint64(factor)*uint64(part)/uint64(total)))
}

// distribute gives out 100 %, of which sum are there.
func (l *load) distribute(healthy, degraded []uint32, sum uint32) {
	left := share(l.healthy, healthy, 100, sum)
	left = share(l.degraded, degraded, left, sum)
	// What is left has been rounded down.
	for i := range healthy {
		if healthy[i] > 0 {
			l.healthy[i] += left
			return
		}
	}
	for i := range degraded {
		if degraded[i] > 0 {
			l.degraded[i] += left
			return
		}
	}
}

// share gives each priority what it can take, and returns what is left.
func share(loads, available []uint32, left, sum uint32) uint32 {
	for i := range available {
		loads[i] = min(left, available[i]*100/sum)
		left -= loads[i]
	}
	return left
}

// byHosts distributes by the numbers of hosts.
func (l *load) byHosts(levels []availability) {
	clear(l.healthy)
	clear(l.degraded)
	total := 0
	for i := range levels {
		total += levels[i].hosts
	}
	if total == 0 {
		l.healthy[0] = 100
		return
	}
	left, first := uint32(100), -1
	for i := range levels {
		if first < 0 && levels[i].hosts > 0 {
			first = i
		}
		l.healthy[i] = uint32(100 * levels[i].hosts / total)
		left -= l.healthy[i]
	}
	l.healthy[first] += left
}

// choose returns the priority for a hash, and whether its degraded hosts are meant.
func (l *load) choose(hash uint64) (priority int, degraded bool) {
	at, sum := uint32(hash%100+1), uint32(0)
	for i, part := range l.healthy {
		if sum += part; at <= sum {
			return i, false
		}
	}
	for i, part := range l.degraded {
		if sum += part; at <= sum {
			return i, true
		}
	}
	return 0, false // the sum is 100
}

// without returns the load when priorities that have been tried, as bits, are left out: what
// Envoy's previous_priorities makes of it. If nothing is available without them, all are used
// again; if nothing is available at all, it is the load itself.
func (l *load) without(tried uint64, levels []availability, overprovisioning uint32) load {
	var healthyRoom, degradedRoom, healthyLoad, degradedLoad [8]uint32
	n := len(levels)
	out := load{healthy: healthyLoad[:0], degraded: degradedLoad[:0], panic: l.panic}
	healthy, degraded := healthyRoom[:0], degradedRoom[:0]
	sum := uint32(0)
	for range 2 {
		healthy, degraded, sum = healthy[:0], degraded[:0], 0
		for i := range levels {
			h, d := uint32(0), uint32(0)
			if i >= 64 || tried>>i&1 == 0 {
				h = percentOf(levels[i].healthy, levels[i].total, overprovisioning)
				d = percentOf(levels[i].degraded, levels[i].total, overprovisioning)
			}
			healthy, degraded = append(healthy, h), append(degraded, d)
			sum += h + d
		}
		if sum > 0 {
			break
		}
		tried = 0
	}
	if sum == 0 {
		return *l
	}
	for range n {
		out.healthy, out.degraded = append(out.healthy, 0), append(out.degraded, 0)
	}
	out.distribute(healthy, degraded, min(sum, 100))
	return out
}
