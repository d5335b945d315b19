package admin

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
)

// A ListenerStatus is a listener that serves.
type ListenerStatus struct {
	Name    string
	Address config.SocketAddress // with the port it has, if 0 was configured
}

// A ClusterStatus is a cluster as it is now.
type ClusterStatus struct {
	Name     string
	StatName string             // alt_stat_name, or "" for Name
	Breakers [2]config.Breakers // by config.Priority
	Outlier  *OutlierStatus     // nil: no outlier detection
	Hosts    []HostStatus
}

// An OutlierStatus is what outlier detection found of a cluster. -1 means that there is no such
// figure, for want of requests.
type OutlierStatus struct {
	SuccessRateAverage, SuccessRateThreshold           float64 // percent
	LocalSuccessRateAverage, LocalSuccessRateThreshold float64
}

// A HostStatus is an endpoint of a cluster as it is now.
type HostStatus struct {
	Address               config.SocketAddress
	Hostname              string
	Region, Zone, SubZone string
	Weight                uint32
	Priority              uint32
	Canary                bool
	Health                HealthFlags

	ConnectionsActive, ConnectionsFailed, ConnectionsTotal int64
	RequestsActive, RequestsPending                        int64
	RequestsFailed, RequestsSucceeded, RequestsTimedOut    int64
	RequestsTotal                                          int64

	SuccessRate, LocalSuccessRate float64 // percent; -1: not known
}

// HealthFlags are the reasons why a host is not healthy. 0 is healthy.
type HealthFlags uint16

// The reasons there are.
const (
	FailedActiveCheck HealthFlags = 1 << iota
	FailedOutlierCheck
	FailedByConfig // health_status UNHEALTHY or TIMEOUT
	DegradedByActiveCheck
	DegradedByConfig        // health_status DEGRADED
	PendingRemoval          // gone from DNS, and still in use
	PendingActiveCheck      // not checked yet
	ExcludedByImmediateFail // x-envoy-immediate-health-check-fail
	ActiveCheckTimeout
	DrainingByConfig // health_status DRAINING
)

// flagNames are Envoy's names of the flags, in their order.
var flagNames = [...]string{
	"/failed_active_hc", "/failed_outlier_check", "/failed_eds_health", "/degraded_active_hc", "/degraded_eds_health",
	"/pending_dynamic_removal", "/pending_active_hc", "/excluded_via_immediate_hc_fail", "/active_hc_timeout", "/eds_status_draining",
}

// String returns the flags as Envoy's /clusters has them: "healthy", or
// "/failed_active_hc/active_hc_timeout".
func (f HealthFlags) String() string {
	var b strings.Builder
	for i, name := range flagNames {
		if f&(1<<i) != 0 {
			b.WriteString(name)
		}
	}
	if b.Len() == 0 {
		return "healthy"
	}
	return b.String()
}

// addressText returns an address as Envoy prints it: 127.0.0.1:80, [::1]:80, or a path.
func addressText(a config.SocketAddress) string {
	if a.Pipe != "" {
		return a.Pipe
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

func (h *handler) listeners(w http.ResponseWriter, r *http.Request) {
	var all []ListenerStatus
	if h.Listeners != nil {
		all = h.Listeners()
	}
	if r.URL.Query().Get("format") == "json" {
		writeJSON(w, newListenersJSON(all))
		return
	}
	for _, l := range all {
		fmt.Fprintf(w, "%s::%s\n", l.Name, addressText(l.Address))
	}
}

func (h *handler) clusters(w http.ResponseWriter, r *http.Request) {
	re, ok := filter(w, r.URL.Query().Get("filter"))
	if !ok {
		return
	}
	var all []ClusterStatus
	if h.Clusters != nil {
		for _, c := range h.Clusters() {
			if re == nil || re.MatchString(c.Name) {
				all = append(all, c)
			}
		}
	}
	if r.URL.Query().Get("format") == "json" {
		writeJSON(w, newClustersJSON(all))
		return
	}
	for i := range all {
		writeCluster(w, &all[i])
	}
}

func writeCluster(w io.Writer, c *ClusterStatus) {
	line := func(name string, value any) { fmt.Fprintf(w, "%s::%s::%v\n", c.Name, name, value) }
	line("observability_name", c.statName())
	if o := c.Outlier; o != nil {
		line("outlier::success_rate_average", o.SuccessRateAverage)
		line("outlier::success_rate_ejection_threshold", o.SuccessRateThreshold)
		line("outlier::local_origin_success_rate_average", o.LocalSuccessRateAverage)
		line("outlier::local_origin_success_rate_ejection_threshold", o.LocalSuccessRateThreshold)
	}
	for i, priority := range [...]string{"default_priority::", "high_priority::"} {
		line(priority+"max_connections", c.Breakers[i].Connections)
		line(priority+"max_pending_requests", c.Breakers[i].Pending)
		line(priority+"max_requests", c.Breakers[i].Requests)
		line(priority+"max_retries", c.Breakers[i].Retries)
	}
	line("added_via_api", false)
	for i := range c.Hosts {
		host := &c.Hosts[i]
		address := addressText(host.Address) + "::"
		line(address+"cx_active", host.ConnectionsActive)
		line(address+"cx_connect_fail", host.ConnectionsFailed)
		line(address+"cx_total", host.ConnectionsTotal)
		line(address+"rq_active", host.RequestsActive)
		line(address+"rq_error", host.RequestsFailed)
		line(address+"rq_pending_active", host.RequestsPending)
		line(address+"rq_success", host.RequestsSucceeded)
		line(address+"rq_timeout", host.RequestsTimedOut)
		line(address+"rq_total", host.RequestsTotal)
		line(address+"hostname", host.Hostname)
		line(address+"health_flags", host.Health)
		line(address+"weight", host.Weight)
		line(address+"region", host.Region)
		line(address+"zone", host.Zone)
		line(address+"sub_zone", host.SubZone)
		line(address+"canary", host.Canary)
		line(address+"priority", host.Priority)
		line(address+"success_rate", host.SuccessRate)
		line(address+"local_origin_success_rate", host.LocalSuccessRate)
	}
}

func (c *ClusterStatus) statName() string {
	if c.StatName != "" {
		return c.StatName
	}
	return c.Name
}
