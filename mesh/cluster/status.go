package cluster

import "github.com/maglev-lb/maglev/mesh/config"

// A Status is a cluster at a moment, for people to look at.
type Status struct {
	Name     string
	StatName string // alt_stat_name, or "" for Name
	Breakers [2]config.Breakers
	Outlier  *OutlierStatus // nil: no outlier detection
	Hosts    []HostStatus   // by priority
}

// An OutlierStatus is what outlier detection has found in its last interval, in percent. -1
// means that there were too few requests.
type OutlierStatus struct {
	SuccessRateAverage, SuccessRateThreshold           float64
	LocalSuccessRateAverage, LocalSuccessRateThreshold float64
}

// A HostStatus is a host and its state.
type HostStatus struct {
	*Host
	Flags                         Flags
	SuccessRate, LocalSuccessRate float64 // of the last interval, in percent; -1: too few requests
}

// Status returns the state of the cluster.
func (c *Cluster) Status() Status {
	s := Status{Name: c.Config.Name, StatName: c.Config.AltStatName, Breakers: c.Config.Breakers}
	c.mu.Lock()
	defer c.mu.Unlock()
	if d := c.outlier; d != nil {
		s.Outlier = &OutlierStatus{
			SuccessRateAverage: d.external.average, SuccessRateThreshold: d.external.threshold,
			LocalSuccessRateAverage: d.local.average, LocalSuccessRateThreshold: d.local.threshold,
		}
	}
	for _, hosts := range c.hosts {
		for _, h := range hosts {
			s.Hosts = append(s.Hosts, HostStatus{
				Host: h, Flags: h.Flags(),
				SuccessRate: h.successRate((*monitor).externalRate), LocalSuccessRate: h.successRate((*monitor).localRate),
			})
		}
	}
	return s
}

// successRate returns the success rate of a host's last interval, if it had enough requests.
func (h *Host) successRate(of func(*monitor) *rate) float64 {
	if h.monitor == nil || h.monitor.ejected {
		return -1
	}
	c := h.monitor.outlier.config
	percent, volume := of(h.monitor).percent()
	if volume == 0 || volume < uint64(min(c.SuccessRateVolume, c.FailurePercentageVolume)) {
		return -1
	}
	return percent
}

// Healthy returns how many hosts are healthy, and how many there are: what the health_check
// filter asks.
func (c *Cluster) Healthy() (healthy, degraded, total int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, hosts := range c.hosts {
		for _, h := range hosts {
			switch f := h.Flags(); {
			case f.Healthy():
				healthy++
			case f.Degraded():
				degraded++
			}
			total++
		}
	}
	return healthy, degraded, total
}
