package cluster

import "github.com/maglev-lb/maglev/mesh/stats"

// Stats are the statistics of a cluster, cluster.NAME, under Envoy's names. Those that this
// package counts are at the end; the others are for whoever sends requests and makes connections.
type Stats struct {
	Requests       stats.Counter `stat:"upstream_rq_total"`
	ActiveRequests stats.Gauge   `stat:"upstream_rq_active"` // the bound of hash_balance_factor reads it
	Pending        stats.Counter `stat:"upstream_rq_pending_total"`
	ActivePending  stats.Gauge   `stat:"upstream_rq_pending_active"`

	Answers         stats.CodeCounters `stat:"upstream_rq"`
	ExternalAnswers stats.CodeCounters `stat:"external.upstream_rq"`
	InternalAnswers stats.CodeCounters `stat:"internal.upstream_rq"`
	RetriedAnswers  stats.CodeCounters `stat:"retry.upstream_rq"`
	Time            stats.Histogram    `stat:"upstream_rq_time"`

	PendingOverflow stats.Counter `stat:"upstream_rq_pending_overflow"`
	PendingFailure  stats.Counter `stat:"upstream_rq_pending_failure_eject"`
	ActiveOverflow  stats.Counter `stat:"upstream_rq_active_overflow"`
	Cancelled       stats.Counter `stat:"upstream_rq_cancelled"`
	MaintenanceMode stats.Counter `stat:"upstream_rq_maintenance_mode"`
	Timeout         stats.Counter `stat:"upstream_rq_timeout"`
	MaxDuration     stats.Counter `stat:"upstream_rq_max_duration_reached"`
	PerTryTimeout   stats.Counter `stat:"upstream_rq_per_try_timeout"`
	PerTryIdle      stats.Counter `stat:"upstream_rq_per_try_idle_timeout"`
	ReceivedReset   stats.Counter `stat:"upstream_rq_rx_reset"`
	SentReset       stats.Counter `stat:"upstream_rq_tx_reset"`

	Retries          stats.Counter `stat:"upstream_rq_retry"`
	RetryLimit       stats.Counter `stat:"upstream_rq_retry_limit_exceeded"`
	RetryOverflow    stats.Counter `stat:"upstream_rq_retry_overflow"`
	RetrySuccess     stats.Counter `stat:"upstream_rq_retry_success"`
	RetryExponential stats.Counter `stat:"upstream_rq_retry_backoff_exponential"`
	RetryRateLimited stats.Counter `stat:"upstream_rq_retry_backoff_ratelimited"`
	Abandoned        stats.Counter `stat:"retry_or_shadow_abandoned"`

	Connections             stats.Counter   `stat:"upstream_cx_total"`
	HTTP1Connections        stats.Counter   `stat:"upstream_cx_http1_total"`
	HTTP2Connections        stats.Counter   `stat:"upstream_cx_http2_total"`
	HTTP3Connections        stats.Counter   `stat:"upstream_cx_http3_total"`
	ActiveConnections       stats.Gauge     `stat:"upstream_cx_active"`
	ConnectFail             stats.Counter   `stat:"upstream_cx_connect_fail"`
	ConnectTimeout          stats.Counter   `stat:"upstream_cx_connect_timeout"`
	ConnectAttemptsExceeded stats.Counter   `stat:"upstream_cx_connect_attempts_exceeded"`
	ConnectTime             stats.Histogram `stat:"upstream_cx_connect_ms"`
	ConnectionLength        stats.Histogram `stat:"upstream_cx_length_ms"`
	PoolOverflow            stats.Counter   `stat:"upstream_cx_pool_overflow"`
	NoneHealthy             stats.Counter   `stat:"upstream_cx_none_healthy"`
	Destroyed               stats.Counter   `stat:"upstream_cx_destroy"`
	DestroyedLocal          stats.Counter   `stat:"upstream_cx_destroy_local"`
	DestroyedRemote         stats.Counter   `stat:"upstream_cx_destroy_remote"`
	DestroyedBusy           stats.Counter   `stat:"upstream_cx_destroy_with_active_rq"`
	DestroyedLocalBusy      stats.Counter   `stat:"upstream_cx_destroy_local_with_active_rq"`
	DestroyedRemoteBusy     stats.Counter   `stat:"upstream_cx_destroy_remote_with_active_rq"`
	ConnectionIdle          stats.Counter   `stat:"upstream_cx_idle_timeout"`
	ConnectionMaxRequests   stats.Counter   `stat:"upstream_cx_max_requests"`
	CloseNotify             stats.Counter   `stat:"upstream_cx_close_notify"`
	ProtocolError           stats.Counter   `stat:"upstream_cx_protocol_error"`
	Received                stats.Counter   `stat:"upstream_cx_rx_bytes_total"`
	Sent                    stats.Counter   `stat:"upstream_cx_tx_bytes_total"`

	// Counted here.
	HealthyPanic stats.Counter `stat:"lb_healthy_panic"` // picks that ignored health
	// Balancing by zones is not there, so these stay 0.
	LocalClusterNotOK   stats.Counter `stat:"lb_local_cluster_not_ok"`
	RecalculateZones    stats.Counter `stat:"lb_recalculate_zone_structures"`
	ZoneTooSmall        stats.Counter `stat:"lb_zone_cluster_too_small"`
	ZoneNoCapacityLeft  stats.Counter `stat:"lb_zone_no_capacity_left"`
	ZoneRoutingDirectly stats.Counter `stat:"lb_zone_routing_all_directly"`
	ZoneRoutingCross    stats.Counter `stat:"lb_zone_routing_cross_zone"`
	ZoneRoutingSampled  stats.Counter `stat:"lb_zone_routing_sampled"`

	MembershipChange   stats.Counter `stat:"membership_change"`
	MembershipTotal    stats.Gauge   `stat:"membership_total"`
	MembershipHealthy  stats.Gauge   `stat:"membership_healthy"`
	MembershipDegraded stats.Gauge   `stat:"membership_degraded"`
	MembershipExcluded stats.Gauge   `stat:"membership_excluded"`
	UpdateAttempt      stats.Counter `stat:"update_attempt"`
	UpdateSuccess      stats.Counter `stat:"update_success"`
	UpdateFailure      stats.Counter `stat:"update_failure"`
	UpdateEmpty        stats.Counter `stat:"update_empty"`
	UpdateNoRebuild    stats.Counter `stat:"update_no_rebuild"`
	DefaultSocket      stats.Counter `stat:"default.total_match_count"` // hosts made: all have the one transport socket
}

type maglevStats struct {
	Least stats.Gauge `stat:"min_entries_per_host"`
	Most  stats.Gauge `stat:"max_entries_per_host"`
}

type checkStats struct {
	Attempt        stats.Counter `stat:"attempt"`
	Success        stats.Counter `stat:"success"`
	Failure        stats.Counter `stat:"failure"`
	NetworkFailure stats.Counter `stat:"network_failure"`
	PassiveFailure stats.Counter `stat:"passive_failure"`
	VerifyCluster  stats.Counter `stat:"verify_cluster"`
	Healthy        stats.Gauge   `stat:"healthy"`
	Degraded       stats.Gauge   `stat:"degraded"`
}

// HostStats are counted for a host by whoever sends requests and makes connections. The
// balancers read ActiveRequests.
type HostStats struct {
	ActiveRequests    stats.Gauge   // rq_active
	PendingRequests   stats.Gauge   // rq_pending_active
	Requests          stats.Counter // rq_total
	Succeeded         stats.Counter // rq_success
	Failed            stats.Counter // rq_error
	TimedOut          stats.Counter // rq_timeout
	Connections       stats.Counter // cx_total
	ActiveConnections stats.Gauge   // cx_active
	ConnectFail       stats.Counter // cx_connect_fail
}
