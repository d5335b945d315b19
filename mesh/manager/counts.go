package manager

import (
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// counts are the statistics of a connection manager: http.PREFIX, under Envoy's names.
type counts struct {
	Requests        stats.Counter       `stat:"downstream_rq_total"`
	HTTP1Requests   stats.Counter       `stat:"downstream_rq_http1_total"`
	ActiveRequests  stats.Gauge         `stat:"downstream_rq_active"`
	Classes         stats.ClassCounters `stat:"downstream_rq"`
	Time            stats.Histogram     `stat:"downstream_rq_time"`
	Routed          stats.Counter       `stat:"rq_total"`
	NoRoute         stats.Counter       `stat:"no_route"`
	NoCluster       stats.Counter       `stat:"no_cluster"`
	Direct          stats.Counter       `stat:"rq_direct_response"`
	Redirects       stats.Counter       `stat:"rq_redirect"`
	ResetAfterStart stats.Counter       `stat:"rq_reset_after_downstream_response_started"`

	Timeout         stats.Counter `stat:"downstream_rq_timeout"`
	HeaderTimeout   stats.Counter `stat:"downstream_rq_header_timeout"`
	IdleTimeout     stats.Counter `stat:"downstream_rq_idle_timeout"`
	MaxDuration     stats.Counter `stat:"downstream_rq_max_duration_reached"`
	BadPath         stats.Counter `stat:"downstream_rq_failed_path_normalization"`
	NonRelativePath stats.Counter `stat:"downstream_rq_non_relative_path"`
	RedirectedPath  stats.Counter `stat:"downstream_rq_redirected_with_normalized_path"`
	ClientReset     stats.Counter `stat:"downstream_rq_rx_reset"`
	OwnReset        stats.Counter `stat:"downstream_rq_tx_reset"`
	EarlyAnswers    stats.Counter `stat:"downstream_rq_response_before_rq_complete"`
	UpgradesRefused stats.Counter `stat:"downstream_rq_ws_on_non_ws_route"`
	HealthChecks    stats.Counter `stat:"tracing.health_check"`

	Connections       stats.Counter   `stat:"downstream_cx_total"`
	HTTP1Connections  stats.Counter   `stat:"downstream_cx_http1_total"`
	ActiveConnections stats.Gauge     `stat:"downstream_cx_active"`
	ActiveHTTP1       stats.Gauge     `stat:"downstream_cx_http1_active"`
	Destroyed         stats.Counter   `stat:"downstream_cx_destroy"`
	DestroyedLocal    stats.Counter   `stat:"downstream_cx_destroy_local"`
	DestroyedRemote   stats.Counter   `stat:"downstream_cx_destroy_remote"`
	ConnectionLength  stats.Histogram `stat:"downstream_cx_length_ms"`
	Received          stats.Counter   `stat:"downstream_cx_rx_bytes_total"`
	Sent              stats.Counter   `stat:"downstream_cx_tx_bytes_total"`
	ConnectionIdle    stats.Counter   `stat:"downstream_cx_idle_timeout"`
	ConnectionAge     stats.Counter   `stat:"downstream_cx_max_duration_reached"`
	ConnectionFull    stats.Counter   `stat:"downstream_cx_max_requests_reached"`
	DelayedClose      stats.Counter   `stat:"downstream_cx_delayed_close_timeout"`
	ProtocolError     stats.Counter   `stat:"downstream_cx_protocol_error"`
	Upgrades          stats.Counter   `stat:"downstream_cx_upgrades_total"`
	ActiveUpgrades    stats.Gauge     `stat:"downstream_cx_upgrades_active"`
}

// listenerCounts are listener.ADDRESS.http.PREFIX.
type listenerCounts struct {
	Classes stats.ClassCounters `stat:"downstream_rq"`
}

// routeCounts are vhost.HOST.route.PREFIX, of a route that has a stat_prefix.
type routeCounts struct {
	Requests      stats.Counter      `stat:"upstream_rq_total"`
	Answers       stats.CodeCounters `stat:"upstream_rq"`
	Time          stats.Histogram    `stat:"upstream_rq_time"`
	Timeout       stats.Counter      `stat:"upstream_rq_timeout"`
	Retries       stats.Counter      `stat:"upstream_rq_retry"`
	RetryLimit    stats.Counter      `stat:"upstream_rq_retry_limit_exceeded"`
	RetryOverflow stats.Counter      `stat:"upstream_rq_retry_overflow"`
	RetrySuccess  stats.Counter      `stat:"upstream_rq_retry_success"`
}

// noRouteCounts are those that nobody reads.
var noRouteCounts = new(routeCounts)

// countRoutes makes the statistics of the routes that have a stat_prefix.
func countRoutes(store *stats.Store, c *config.RouteConfig) map[*config.Route]*routeCounts {
	all := make(map[*config.Route]*routeCounts)
	for _, h := range c.VirtualHosts {
		for _, r := range h.Routes {
			if r.StatPrefix != "" {
				all[r] = stats.Group[routeCounts](store.Route(h.Name, r.StatPrefix))
			}
		}
	}
	return all
}
