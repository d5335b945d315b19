package admin

import (
	"strconv"

	"github.com/maglev-lb/maglev/mesh/config"
)

// The types here are those of envoy.admin.v3 as protobuf's JSON has them: 64-bit numbers are
// texts, and what is zero is left out.

type addressJSON struct {
	Socket *socketJSON `json:"socket_address,omitempty"`
	Pipe   *pipeJSON   `json:"pipe,omitempty"`
}

type socketJSON struct {
	Address string `json:"address"`
	Port    uint16 `json:"port_value"`
}

type pipeJSON struct {
	Path string `json:"path"`
}

func newAddressJSON(a config.SocketAddress) addressJSON {
	if a.Pipe != "" {
		return addressJSON{Pipe: &pipeJSON{a.Pipe}}
	}
	return addressJSON{Socket: &socketJSON{a.Host, a.Port}}
}

type listenersJSON struct {
	Listeners []listenerJSON `json:"listener_statuses,omitempty"`
}

type listenerJSON struct {
	Name    string      `json:"name,omitempty"`
	Address addressJSON `json:"local_address"`
}

func newListenersJSON(all []ListenerStatus) listenersJSON {
	var out listenersJSON
	for _, l := range all {
		out.Listeners = append(out.Listeners, listenerJSON{l.Name, newAddressJSON(l.Address)})
	}
	return out
}

type clustersJSON struct {
	Clusters []clusterJSON `json:"cluster_statuses,omitempty"`
}

type clusterJSON struct {
	Name           string       `json:"name"`
	Threshold      *percentJSON `json:"success_rate_ejection_threshold,omitempty"`
	Hosts          []hostJSON   `json:"host_statuses,omitempty"`
	LocalThreshold *percentJSON `json:"local_origin_success_rate_ejection_threshold,omitempty"`
	Breakers       breakersJSON `json:"circuit_breakers"`
	StatName       string       `json:"observability_name"`
}

type percentJSON struct {
	Value float64 `json:"value"`
}

// newPercent returns nil for -1.
func newPercent(v float64) *percentJSON {
	if v < 0 {
		return nil
	}
	return &percentJSON{v}
}

type breakersJSON struct {
	Thresholds []thresholdJSON `json:"thresholds"`
}

type thresholdJSON struct {
	Priority    string `json:"priority,omitempty"`
	Connections uint32 `json:"max_connections"`
	Pending     uint32 `json:"max_pending_requests"`
	Requests    uint32 `json:"max_requests"`
	Retries     uint32 `json:"max_retries"`
}

type hostJSON struct {
	Address          addressJSON  `json:"address"`
	Stats            []statJSON   `json:"stats"`
	Health           healthJSON   `json:"health_status"`
	SuccessRate      *percentJSON `json:"success_rate,omitempty"`
	Weight           uint32       `json:"weight"`
	Hostname         string       `json:"hostname,omitempty"`
	Priority         uint32       `json:"priority,omitempty"`
	LocalSuccessRate *percentJSON `json:"local_origin_success_rate,omitempty"`
	Locality         localityJSON `json:"locality"`
}

type healthJSON struct {
	FailedActiveCheck   bool   `json:"failed_active_health_check,omitempty"`
	FailedOutlierCheck  bool   `json:"failed_outlier_check,omitempty"`
	DegradedActiveCheck bool   `json:"failed_active_degraded_check,omitempty"`
	PendingRemoval      bool   `json:"pending_dynamic_removal,omitempty"`
	PendingActiveCheck  bool   `json:"pending_active_hc,omitempty"`
	Excluded            bool   `json:"excluded_via_immediate_hc_fail,omitempty"`
	ActiveCheckTimeout  bool   `json:"active_hc_timeout,omitempty"`
	Configured          string `json:"eds_health_status"`
}

type statJSON struct {
	Type  string `json:"type,omitempty"`
	Value string `json:"value,omitempty"`
	Name  string `json:"name"`
}

type localityJSON struct {
	Region  string `json:"region,omitempty"`
	Zone    string `json:"zone,omitempty"`
	SubZone string `json:"sub_zone,omitempty"`
}

func newClustersJSON(all []ClusterStatus) clustersJSON {
	var out clustersJSON
	for _, c := range all {
		one := clusterJSON{Name: c.Name, StatName: c.statName()}
		if c.Outlier != nil {
			one.Threshold = newPercent(c.Outlier.SuccessRateThreshold)
			one.LocalThreshold = newPercent(c.Outlier.LocalSuccessRateThreshold)
		}
		for i, priority := range [...]string{"", "HIGH"} {
			b := c.Breakers[i]
			one.Breakers.Thresholds = append(one.Breakers.Thresholds, thresholdJSON{priority, b.Connections, b.Pending, b.Requests, b.Retries})
		}
		for i := range c.Hosts {
			one.Hosts = append(one.Hosts, newHostJSON(&c.Hosts[i]))
		}
		out.Clusters = append(out.Clusters, one)
	}
	return out
}

func newHostJSON(h *HostStatus) hostJSON {
	out := hostJSON{
		Address:          newAddressJSON(h.Address),
		Health:           newHealthJSON(h.Health),
		SuccessRate:      newPercent(h.SuccessRate),
		Weight:           h.Weight,
		Hostname:         h.Hostname,
		Priority:         h.Priority,
		LocalSuccessRate: newPercent(h.LocalSuccessRate),
		Locality:         localityJSON{h.Region, h.Zone, h.SubZone},
	}
	stat := func(kind, name string, value int64) {
		text := ""
		if value != 0 {
			text = strconv.FormatInt(value, 10)
		}
		out.Stats = append(out.Stats, statJSON{kind, text, name})
	}
	stat("", "cx_connect_fail", h.ConnectionsFailed)
	stat("", "cx_total", h.ConnectionsTotal)
	stat("", "rq_error", h.RequestsFailed)
	stat("", "rq_success", h.RequestsSucceeded)
	stat("", "rq_timeout", h.RequestsTimedOut)
	stat("", "rq_total", h.RequestsTotal)
	stat("GAUGE", "cx_active", h.ConnectionsActive)
	stat("GAUGE", "rq_active", h.RequestsActive)
	stat("GAUGE", "rq_pending_active", h.RequestsPending)
	return out
}

func newHealthJSON(f HealthFlags) healthJSON {
	out := healthJSON{
		FailedActiveCheck:   f&FailedActiveCheck != 0,
		FailedOutlierCheck:  f&FailedOutlierCheck != 0,
		DegradedActiveCheck: f&DegradedByActiveCheck != 0,
		PendingRemoval:      f&PendingRemoval != 0,
		PendingActiveCheck:  f&PendingActiveCheck != 0,
		Excluded:            f&ExcludedByImmediateFail != 0,
		ActiveCheckTimeout:  f&ActiveCheckTimeout != 0,
		Configured:          "HEALTHY",
	}
	switch {
	case f&FailedByConfig != 0:
		out.Configured = "UNHEALTHY"
	case f&DrainingByConfig != 0:
		out.Configured = "DRAINING"
	case f&DegradedByConfig != 0:
		out.Configured = "DEGRADED"
	}
	return out
}
