package config

import "time"

// A Cluster is a set of backends.
type Cluster struct {
	Name                string
	AltStatName         string
	Discovery           Discovery
	Policy              Policy
	Maglev              Maglev
	LeastRequestChoices uint32     // choice_count, 2 by default
	SlowStart           *SlowStart // nil: none

	ConnectTimeout         time.Duration // 5 s by default
	ConnectionBufferLimit  uint32        // 1 MiB by default
	RequestBodyBufferLimit uint32

	Priorities                    []PriorityLevel // endpoints by priority, 0 first, none missing
	LocalityWeights               bool            // common_lb_config.locality_weighted_lb_config
	Overprovisioning              uint32          // percent, 140 by default
	WeightedPriorityHealth        bool
	PanicThreshold                float64 // percent, 50 by default
	FailTrafficOnPanic            bool
	UseHostname                   bool   // use_hostname_for_hashing
	BalanceFactor                 uint32 // hash_balance_factor in percent, 0: none
	IgnoreNewHostsUntilFirstCheck bool

	HealthChecks          []*HealthCheck
	IgnoreHealthOnRemoval bool        // ignore_health_on_host_removal
	Outlier               *Outlier    // nil: none
	Breakers              [2]Breakers // by Priority
	PerHostConnections    uint32      // per_host_thresholds max_connections, 0: no limit

	DNS DNS

	IdleTimeout              time.Duration // of pooled connections, 1 h by default, 0: none
	MaxConnectionDuration    time.Duration
	MaxRequestsPerConnection uint32 // 0: no limit
	MaxResponseHeaders       uint32 // max_headers_count, 100 by default
	MaxResponseHeadersKB     uint32 // 80 by default
	TrackRemaining           bool   // track_remaining of circuit breakers

	ProxyProtocol ProxyProtocol
	SourceAddress string // upstream_bind_config: an IP address, "" for any
	SourcePort    uint16
	TCPKeepalive  *Keepalive
}

// A Keepalive is upstream_connection_options.tcp_keepalive; 0 is the system's default.
type Keepalive struct {
	Probes         int
	Time, Interval time.Duration
}

// Discovery says where a cluster's endpoints come from.
type Discovery uint8

// The ways there are.
const (
	Static Discovery = iota
	StrictDNS
	LogicalDNS
)

// Policy is how a cluster balances.
type Policy uint8

// The ways there are.
const (
	RoundRobin Policy = iota
	LeastRequest
	Random
	MaglevPolicy
)

// Maglev says how a Maglev table is built.
type Maglev struct {
	TableSize uint32 // 65537 by default
}

// A SlowStart is slow_start_config.
type SlowStart struct {
	Window     time.Duration
	Aggression float64 // 1 by default
	MinPercent float64 // min_weight_percent, 10 by default
}

// PriorityLevel holds the endpoints of a priority.
type PriorityLevel struct{ Localities []Locality }

// A Locality is a group of endpoints.
type Locality struct {
	Region, Zone, SubZone string
	Weight                uint32 // load_balancing_weight, 0 if it has none
	Endpoints             []Endpoint
}

// An Endpoint is where a backend is.
type Endpoint struct {
	Address             SocketAddress
	Hostname            string
	Weight              uint32 // 1 by default
	Health              Health
	HashKey             string // metadata envoy.lb/hash_key, "" if it has none
	Canary              bool   // metadata envoy.lb/canary
	HealthCheckPort     uint16 // 0: the same
	HealthCheckAddress  *SocketAddress
	HealthCheckHostname string
	NoActiveCheck       bool // disable_active_health_check
}

// Health is an endpoint's health_status.
type Health uint8

// The states there are.
const (
	HealthUnknown Health = iota // taken for healthy
	Healthy
	Unhealthy // and TIMEOUT
	Draining
	Degraded
)

// A HealthCheck checks the endpoints.
type HealthCheck struct {
	Timeout, Interval                                                                                          time.Duration
	InitialJitter, IntervalJitter                                                                              time.Duration
	IntervalJitterPercent                                                                                      uint32
	UnhealthyThreshold, HealthyThreshold                                                                       uint32
	NoTrafficInterval, NoTrafficHealthyInterval, UnhealthyInterval, UnhealthyEdgeInterval, HealthyEdgeInterval time.Duration
	HTTP                                                                                                       *HTTPCheck // one of the two
	TCP                                                                                                        *TCPCheck
	AltPort                                                                                                    uint16
}

// An HTTPCheck asks for a path.
type HTTPCheck struct {
	Host, Path, Method string
	Send, Receive      [][]byte
	Expected           []Range // of statuses; 200 by default
	Retriable          []Range
	Add                []HeaderMutation
	Remove             []string
}

// A TCPCheck connects, and may send something and look at the answer.
type TCPCheck struct {
	Send    []byte
	Receive [][]byte
}

// An Outlier is outlier_detection. Percentages are from 0 to 100.
type Outlier struct {
	Consecutive5xx, ConsecutiveGateway, ConsecutiveLocal                                                                                    uint32
	Interval, BaseEjection, MaxEjection, MaxEjectionJitter                                                                                  time.Duration
	MaxEjectionPercent                                                                                                                      uint32
	EnforceConsecutive5xx, EnforceGateway, EnforceLocal                                                                                     uint32
	EnforceSuccessRate, EnforceLocalSuccessRate, SuccessRateMinHosts, SuccessRateVolume, SuccessRateStdevFactor                             uint32
	FailurePercentageThreshold, EnforceFailurePercentage, EnforceLocalFailurePercentage, FailurePercentageMinHosts, FailurePercentageVolume uint32
	SplitLocal                                                                                                                              bool // split_external_local_origin_errors
	AlwaysEjectOne                                                                                                                          bool
	SuccessfulCheckUnejects                                                                                                                 bool // true by default
}

// Breakers bound what a cluster has under way.
type Breakers struct {
	Connections, Pending, Requests, Retries uint32       // 1024, 1024, 1024, 3 by default
	Budget                                  *RetryBudget // nil: Retries
	TrackRemaining                          bool
}

// A RetryBudget bounds retries to a share of the requests.
type RetryBudget struct {
	Percent float64
	Min     uint32
}

// DNS says how names are resolved.
type DNS struct {
	Family                                   DNSFamily
	Refresh, FailureBase, FailureMax, Jitter time.Duration // 5 s by default
}

// DNSFamily says which addresses are used.
type DNSFamily uint8

// The ways there are.
const (
	DNSAuto DNSFamily = iota // IPv6 if there are any, else IPv4
	DNSV4Only
	DNSV6Only
	DNSV4Preferred
	DNSAll
)

// ProxyProtocol is the version of the PROXY protocol that connections to backends begin with.
type ProxyProtocol uint8

// The ways there are.
const (
	NoProxyProtocol ProxyProtocol = iota
	ProxyProtocolV1
	ProxyProtocolV2
)
