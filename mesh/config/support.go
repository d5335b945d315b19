package config

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	// The messages that may stand in a google.protobuf.Any have to be known by their names.
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/health_check/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/local_ratelimit/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/least_request/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/maglev/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/random/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/load_balancing_policies/round_robin/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/omit_canary_hosts/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/retry/host/previous_hosts/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
)

// everything stands for all fields of a message.
const everything = "*"

// supported are the fields that may be set, by message. All others are refused, and so are
// all messages in a google.protobuf.Any that are not named here.
//
// Some are supported because they have no effect here, as they have none in an Envoy
// with the rest of the configuration: a node's description where there is no control plane,
// metadata that no filter looks at, zone-aware routing without a local cluster. Of some
// fields only some values are supported, which enums below says and, of what is no enum,
// the code that reads them.
var supported = map[protoreflect.FullName]string{
	"envoy.config.bootstrap.v3.Bootstrap":                 "node static_resources admin layered_runtime stats_flush_interval stats_flush_on_admin",
	"envoy.config.bootstrap.v3.Bootstrap.StaticResources": "listeners clusters",
	"envoy.config.bootstrap.v3.Admin":                     "access_log access_log_path address",
	"envoy.config.bootstrap.v3.LayeredRuntime":            "layers",
	"envoy.config.bootstrap.v3.RuntimeLayer":              "name static_layer admin_layer",
	"envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer":   everything,

	"envoy.config.core.v3.Node":                        everything,
	"envoy.config.core.v3.BuildVersion":                everything,
	"envoy.config.core.v3.Extension":                   everything,
	"xds.core.v3.ContextParams":                        everything,
	"envoy.config.core.v3.Locality":                    everything,
	"envoy.config.core.v3.Metadata":                    "filter_metadata",
	"envoy.config.core.v3.Address":                     "socket_address pipe",
	"envoy.config.core.v3.SocketAddress":               "protocol address port_value",
	"envoy.config.core.v3.Pipe":                        everything,
	"envoy.config.core.v3.CidrRange":                   everything,
	"envoy.config.core.v3.TcpKeepalive":                everything,
	"envoy.config.core.v3.BindConfig":                  "source_address",
	"envoy.config.core.v3.DataSource":                  "filename inline_bytes inline_string environment_variable",
	"envoy.config.core.v3.HeaderValue":                 everything,
	"envoy.config.core.v3.HeaderValueOption":           everything,
	"envoy.config.core.v3.SubstitutionFormatString":    "text_format json_format text_format_source omit_empty_values content_type json_format_options",
	"envoy.config.core.v3.JsonFormatOptions":           everything,
	"envoy.config.core.v3.RuntimeDouble":               everything,
	"envoy.config.core.v3.RuntimeFeatureFlag":          everything,
	"envoy.config.core.v3.RuntimeFractionalPercent":    everything,
	"envoy.config.core.v3.RuntimeUInt32":               everything,
	"envoy.config.core.v3.SchemeHeaderTransformation":  "scheme_to_overwrite",
	"envoy.config.core.v3.TypedExtensionConfig":        everything,
	"envoy.config.core.v3.TransportSocket":             everything,
	"envoy.config.core.v3.ProxyProtocolConfig":         "version",
	"envoy.config.core.v3.HttpProtocolOptions":         "idle_timeout max_connection_duration max_headers_count max_response_headers_kb max_stream_duration headers_with_underscores_action max_requests_per_connection",
	"envoy.config.core.v3.Http1ProtocolOptions":        "allow_absolute_url accept_http_10 default_host_for_http_10 header_key_format enable_trailers override_stream_error_on_invalid_http_message",
	"envoy.config.core.v3.HealthCheck":                 "name timeout interval initial_jitter interval_jitter interval_jitter_percent unhealthy_threshold healthy_threshold alt_port reuse_connection http_health_check tcp_health_check no_traffic_interval no_traffic_healthy_interval unhealthy_interval unhealthy_edge_interval healthy_edge_interval",
	"envoy.config.core.v3.HealthCheck.Payload":         everything,
	"envoy.config.core.v3.HealthCheck.HttpHealthCheck": "host path send receive request_headers_to_add request_headers_to_remove expected_statuses retriable_statuses codec_client_type method",
	"envoy.config.core.v3.HealthCheck.TcpHealthCheck":  "send receive",

	"envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat":                 "proper_case_words",
	"envoy.config.core.v3.Http1ProtocolOptions.HeaderKeyFormat.ProperCaseWords": everything,

	"envoy.config.listener.v3.Listener":         "name address stat_prefix filter_chains per_connection_buffer_limit_bytes metadata traffic_direction enable_reuse_port",
	"envoy.config.listener.v3.FilterChain":      "filter_chain_match filters metadata transport_socket transport_socket_connect_timeout name",
	"envoy.config.listener.v3.FilterChainMatch": "",
	"envoy.config.listener.v3.Filter":           "name typed_config",

	"envoy.extensions.filters.network.connection_limit.v3.ConnectionLimit": everything,

	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager": "codec_type stat_prefix route_config http_filters add_user_agent common_http_protocol_options http_protocol_options server_name server_header_transformation scheme_header_transformation max_request_headers_kb stream_idle_timeout request_timeout request_headers_timeout drain_timeout delayed_close_timeout access_log use_remote_address xff_num_trusted_hops internal_address_config skip_xff_append via generate_request_id preserve_external_request_id always_set_request_id_in_response forward_client_cert_details upgrade_configs normalize_path merge_slashes path_with_escaped_slashes_action request_id_extension local_reply_config strip_matching_host_port strip_any_host_port stream_error_on_invalid_http_message strip_trailing_host_dot append_x_forwarded_port",

	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.InternalAddressConfig": everything,
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.UpgradeConfig":         "upgrade_type enabled",
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter":                                  "name typed_config is_optional",
	"envoy.extensions.filters.network.http_connection_manager.v3.RequestIDExtension":                          everything,
	"envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig":                            everything,
	"envoy.extensions.filters.network.http_connection_manager.v3.ResponseMapper":                              everything,

	"envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig":         everything,
	"envoy.extensions.filters.http.router.v3.Router":                  "dynamic_stats start_child_span suppress_envoy_headers strict_check_headers respect_expected_rq_timeout",
	"envoy.extensions.filters.http.health_check.v3.HealthCheck":       "pass_through_mode cluster_min_healthy_percentages headers",
	"envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit": "stat_prefix status token_bucket filter_enabled filter_enforced request_headers_to_add_when_not_enforced response_headers_to_add stage local_rate_limit_per_downstream_connection enable_x_ratelimit_headers rate_limited_as_resource_exhausted",

	"envoy.extensions.access_loggers.file.v3.FileAccessLog":     everything,
	"envoy.extensions.access_loggers.stream.v3.StdoutAccessLog": everything,
	"envoy.extensions.access_loggers.stream.v3.StderrAccessLog": everything,

	"envoy.config.accesslog.v3.AccessLog":            everything,
	"envoy.config.accesslog.v3.AccessLogFilter":      "status_code_filter duration_filter not_health_check_filter runtime_filter and_filter or_filter header_filter response_flag_filter",
	"envoy.config.accesslog.v3.StatusCodeFilter":     everything,
	"envoy.config.accesslog.v3.DurationFilter":       everything,
	"envoy.config.accesslog.v3.ComparisonFilter":     everything,
	"envoy.config.accesslog.v3.NotHealthCheckFilter": everything,
	"envoy.config.accesslog.v3.RuntimeFilter":        everything,
	"envoy.config.accesslog.v3.AndFilter":            everything,
	"envoy.config.accesslog.v3.OrFilter":             everything,
	"envoy.config.accesslog.v3.HeaderFilter":         everything,
	"envoy.config.accesslog.v3.ResponseFlagFilter":   everything,

	"envoy.config.route.v3.RouteConfiguration": "name virtual_hosts internal_only_headers response_headers_to_add response_headers_to_remove request_headers_to_add request_headers_to_remove most_specific_header_mutations_wins validate_clusters max_direct_response_body_size_bytes request_mirror_policies ignore_port_in_host_matching ignore_path_parameters_in_path_matching typed_per_filter_config metadata",
	"envoy.config.route.v3.VirtualHost":        "name domains routes require_tls request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove typed_per_filter_config include_request_attempt_count include_attempt_count_in_response retry_policy per_request_buffer_limit_bytes request_body_buffer_limit request_mirror_policies metadata",
	"envoy.config.route.v3.Route":              "name match route redirect direct_response metadata typed_per_filter_config request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove per_request_buffer_limit_bytes stat_prefix request_body_buffer_limit",
	"envoy.config.route.v3.RouteMatch":         "prefix path safe_regex path_separated_prefix case_sensitive runtime_fraction headers query_parameters grpc",

	"envoy.config.route.v3.RouteMatch.GrpcRouteMatchOptions": everything,
	"envoy.config.route.v3.HeaderMatcher":                    everything,
	"envoy.config.route.v3.QueryParameterMatcher":            everything,
	"envoy.config.route.v3.RouteAction":                      "cluster cluster_header weighted_clusters cluster_not_found_response_code prefix_rewrite regex_rewrite host_rewrite_literal auto_host_rewrite host_rewrite_header host_rewrite_path_regex append_x_forwarded_host timeout idle_timeout retry_policy request_mirror_policies priority hash_policy max_grpc_timeout grpc_timeout_offset upgrade_configs max_stream_duration",
	"envoy.config.route.v3.RouteAction.UpgradeConfig":        "upgrade_type enabled",
	"envoy.config.route.v3.RouteAction.RequestMirrorPolicy":  "cluster cluster_header runtime_fraction trace_sampled disable_shadow_host_suffix_append",
	"envoy.config.route.v3.RouteAction.MaxStreamDuration":    everything,
	"envoy.config.route.v3.WeightedCluster":                  "clusters total_weight header_name use_hash_policy",
	"envoy.config.route.v3.WeightedCluster.ClusterWeight":    "name cluster_header weight request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove typed_per_filter_config host_rewrite_literal",
	"envoy.config.route.v3.RedirectAction":                   "https_redirect scheme_redirect host_redirect port_redirect path_redirect prefix_rewrite regex_rewrite response_code strip_query",
	"envoy.config.route.v3.DirectResponseAction":             everything,

	"envoy.config.route.v3.RouteAction.HashPolicy":                      "header cookie connection_properties query_parameter terminal",
	"envoy.config.route.v3.RouteAction.HashPolicy.Header":               everything,
	"envoy.config.route.v3.RouteAction.HashPolicy.Cookie":               everything,
	"envoy.config.route.v3.RouteAction.HashPolicy.CookieAttribute":      everything,
	"envoy.config.route.v3.RouteAction.HashPolicy.ConnectionProperties": everything,
	"envoy.config.route.v3.RouteAction.HashPolicy.QueryParameter":       everything,

	"envoy.config.route.v3.RetryPolicy":                                         "retry_on num_retries per_try_timeout per_try_idle_timeout retry_host_predicate host_selection_retry_max_attempts retriable_status_codes retry_back_off rate_limited_retry_back_off retriable_headers retriable_request_headers",
	"envoy.config.route.v3.RetryPolicy.RetryPriority":                           everything,
	"envoy.config.route.v3.RetryPolicy.RetryHostPredicate":                      everything,
	"envoy.config.route.v3.RetryPolicy.RetryBackOff":                            everything,
	"envoy.config.route.v3.RetryPolicy.RateLimitedRetryBackOff":                 everything,
	"envoy.config.route.v3.RetryPolicy.ResetHeader":                             everything,
	"envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate":      everything,
	"envoy.extensions.retry.host.omit_canary_hosts.v3.OmitCanaryHostsPredicate": everything,

	"envoy.config.cluster.v3.Cluster":                      "name alt_stat_name type connect_timeout per_connection_buffer_limit_bytes lb_policy load_assignment health_checks max_requests_per_connection circuit_breakers common_http_protocol_options http_protocol_options typed_extension_protocol_options dns_refresh_rate dns_jitter dns_failure_refresh_rate dns_lookup_family outlier_detection upstream_bind_config maglev_lb_config least_request_lb_config round_robin_lb_config common_lb_config transport_socket metadata upstream_connection_options ignore_health_on_host_removal load_balancing_policy",
	"envoy.config.cluster.v3.Cluster.RefreshRate":          everything,
	"envoy.config.cluster.v3.Cluster.MaglevLbConfig":       everything,
	"envoy.config.cluster.v3.Cluster.LeastRequestLbConfig": "choice_count active_request_bias slow_start_config",
	"envoy.config.cluster.v3.Cluster.RoundRobinLbConfig":   everything,
	"envoy.config.cluster.v3.Cluster.SlowStartConfig":      everything,
	"envoy.config.cluster.v3.Cluster.CommonLbConfig":       "healthy_panic_threshold zone_aware_lb_config locality_weighted_lb_config ignore_new_hosts_until_first_hc consistent_hashing_lb_config",

	"envoy.config.cluster.v3.Cluster.CommonLbConfig.ZoneAwareLbConfig":         everything,
	"envoy.config.cluster.v3.Cluster.CommonLbConfig.LocalityWeightedLbConfig":  everything,
	"envoy.config.cluster.v3.Cluster.CommonLbConfig.ConsistentHashingLbConfig": everything,

	"envoy.config.cluster.v3.LoadBalancingPolicy":                    everything,
	"envoy.config.cluster.v3.LoadBalancingPolicy.Policy":             everything,
	"envoy.config.cluster.v3.TrackClusterStats":                      "timeout_budgets",
	"envoy.config.cluster.v3.UpstreamConnectionOptions":              "tcp_keepalive",
	"envoy.config.cluster.v3.CircuitBreakers":                        everything,
	"envoy.config.cluster.v3.CircuitBreakers.Thresholds":             "priority max_connections max_pending_requests max_requests max_retries retry_budget track_remaining",
	"envoy.config.cluster.v3.CircuitBreakers.Thresholds.RetryBudget": "budget_percent min_retry_concurrency",
	"envoy.config.cluster.v3.OutlierDetection":                       "consecutive_5xx interval base_ejection_time max_ejection_percent enforcing_consecutive_5xx enforcing_success_rate success_rate_minimum_hosts success_rate_request_volume success_rate_stdev_factor consecutive_gateway_failure enforcing_consecutive_gateway_failure split_external_local_origin_errors consecutive_local_origin_failure enforcing_consecutive_local_origin_failure enforcing_local_origin_success_rate failure_percentage_threshold enforcing_failure_percentage enforcing_failure_percentage_local_origin failure_percentage_minimum_hosts failure_percentage_request_volume max_ejection_time max_ejection_time_jitter successful_active_health_check_uneject_host always_eject_one_host",

	"envoy.config.endpoint.v3.ClusterLoadAssignment":        "cluster_name endpoints policy",
	"envoy.config.endpoint.v3.ClusterLoadAssignment.Policy": "overprovisioning_factor weighted_priority_health",
	"envoy.config.endpoint.v3.LocalityLbEndpoints":          "locality metadata lb_endpoints load_balancing_weight priority",
	"envoy.config.endpoint.v3.LbEndpoint":                   "endpoint health_status metadata load_balancing_weight",
	"envoy.config.endpoint.v3.Endpoint":                     "address health_check_config hostname",
	"envoy.config.endpoint.v3.Endpoint.HealthCheckConfig":   everything,
	"envoy.config.endpoint.v3.Endpoint.AdditionalAddress":   everything,

	"envoy.extensions.load_balancing_policies.maglev.v3.Maglev":              everything,
	"envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin":     everything,
	"envoy.extensions.load_balancing_policies.random.v3.Random":              everything,
	"envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest": "choice_count active_request_bias slow_start_config locality_lb_config",

	"envoy.extensions.load_balancing_policies.common.v3.ConsistentHashingLbConfig":                 "use_hostname_for_hashing hash_balance_factor",
	"envoy.extensions.load_balancing_policies.common.v3.SlowStartConfig":                           everything,
	"envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig":                          everything,
	"envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.LocalityWeightedLbConfig": everything,
	"envoy.extensions.load_balancing_policies.common.v3.LocalityLbConfig.ZoneAwareLbConfig":        "routing_enabled min_cluster_size fail_traffic_on_panic",

	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions":                    "common_http_protocol_options explicit_http_config use_downstream_protocol_config",
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.ExplicitHttpConfig": "http_protocol_options",

	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions.UseDownstreamHttpConfig": "http_protocol_options",

	"envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer":                          everything,
	"envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport": "config transport_socket",

	"envoy.type.matcher.v3.StringMatcher": "exact prefix suffix safe_regex contains ignore_case",
}

// supportedValues are the names that values of an enum may have, by enum; all others of
// it are refused. Enums that are not here are supported whole.
var supportedValues = map[protoreflect.FullName]string{
	"envoy.config.cluster.v3.Cluster.LbPolicy":      "ROUND_ROBIN LEAST_REQUEST RANDOM MAGLEV LOAD_BALANCING_POLICY_CONFIG",
	"envoy.config.cluster.v3.Cluster.DiscoveryType": "STATIC STRICT_DNS LOGICAL_DNS",
	"envoy.config.core.v3.SocketAddress.Protocol":   "TCP",
	"envoy.type.v3.CodecClientType":                 "HTTP1",

	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.CodecType":                "AUTO HTTP1",
	"envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager.ForwardClientCertDetails": "SANITIZE",
}

// hints say what to use in place of what is not supported.
var hints = map[string]string{
	"RING_HASH": "use MAGLEV, which spreads keys more evenly and keeps them as well",
}
