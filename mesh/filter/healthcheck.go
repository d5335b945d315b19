package filter

import (
	"maps"
	"slices"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// A healthCheck answers those who ask whether the proxy, and what it stands for, is well.
type healthCheck struct {
	config   *config.HealthCheckFilter
	clusters []string // of MinHealthy, in order
	o        *Options

	total, ok, failed, empty, unhealthy, unknown *stats.Counter
}

func newHealthCheck(c *config.HealthCheckFilter, prefix string, o *Options) *healthCheck {
	scope := o.Stats.HTTP(prefix).Scope("health_check")
	return &healthCheck{
		config: c, clusters: slices.Sorted(maps.Keys(c.MinHealthy)), o: o,
		total: scope.Counter("request_total"), ok: scope.Counter("ok"), failed: scope.Counter("failed"),
		empty:     scope.Counter("failed_cluster_empty"),
		unhealthy: scope.Counter("failed_cluster_unhealthy"),
		unknown:   scope.Counter("failed_cluster_not_found"),
	}
}

// The answers there are.
var (
	healthy        = &Reply{Reply: forwarding.Reply{Status: 200, Details: "health_check_ok"}, AfterBody: true}
	clusterHealthy = &Reply{Reply: forwarding.Reply{Status: 200, Details: "health_check_ok_cluster_healthy"}, AfterBody: true}
	clusterEmpty   = unhealthy("health_check_failed_cluster_empty")
	clusterBad     = unhealthy("health_check_failed_cluster_unhealthy")
	clusterUnknown = unhealthy("health_check_failed_no_cluster_found")
)

func unhealthy(details string) *Reply {
	return &Reply{Reply: forwarding.Reply{Status: 503, Details: details, Flags: message.FailedLocalHealthCheck}, AfterBody: true}
}

func (h *healthCheck) request(ex *message.Exchange, s *State) *Reply {
	for i := range h.config.Headers {
		if !h.config.Headers[i].MatchesRequest(&ex.Request) {
			return nil
		}
	}
	s.checked = true
	h.total.Inc()
	reply := h.judge()
	if reply.Status == 200 {
		h.ok.Inc()
	} else {
		h.failed.Inc()
	}
	return reply
}

// judge looks at the clusters. Of a cluster at least the whole number of percent has to be
// healthy.
func (h *healthCheck) judge() *Reply {
	if len(h.clusters) == 0 {
		return healthy
	}
	for _, name := range h.clusters {
		least := int(h.config.MinHealthy[name])
		well, total, ok := h.o.Hosts(name)
		switch {
		case !ok:
			h.unknown.Inc()
			return clusterUnknown
		case total == 0 && least > 0:
			h.empty.Inc()
			return clusterEmpty
		case 100*well < least*total:
			h.unhealthy.Inc()
			return clusterBad
		}
	}
	return clusterHealthy
}

func (h *healthCheck) response(ex *message.Exchange, s *State, _ time.Duration) {
	if s.checked {
		ex.Response.Fields.Set("x-envoy-upstream-healthchecked-cluster", h.o.NodeCluster)
	}
}
