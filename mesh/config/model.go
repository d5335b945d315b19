package config

import (
	"time"

	"github.com/maglev-lb/maglev/mesh/message"
)

// A Bootstrap is the whole of a checked configuration: whatever it says is supported, and whatever
// it refers to is there. It is not to be changed.
type Bootstrap struct {
	NodeID, NodeCluster string
	Listeners           []*Listener
	Clusters            []*Cluster // in the order of the file
	Admin               *Admin     // nil: none

	source string // the text that it was made from
}

// An Admin is the administration's listener.
type Admin struct{ Address SocketAddress }

// A SocketAddress is where something listens or connects to.
type SocketAddress struct {
	Host string // an IP address, or of an endpoint of a DNS cluster a host name; "" for a pipe
	Port uint16
	Pipe string // path of a Unix socket; "@..." is an abstract one
	Mode uint32 // of a pipe's file, 0 for the default
}

// A Listener accepts connections.
type Listener struct {
	Name                  string // "" if it has none
	StatPrefix            string // stat_prefix, "" for the address
	Address               SocketAddress
	ConnectionBufferLimit uint32 // per_connection_buffer_limit_bytes, 1 MiB by default
	// Chain is the one filter chain. One without an HTTP connection manager closes connections at once.
	Chain FilterChain
}

// A FilterChain is what connections go through.
type FilterChain struct {
	ConnectionLimit *ConnectionLimit // nil: none
	HTTP            *HTTP            // nil: connections are closed
}

// A ConnectionLimit is envoy.filters.network.connection_limit.
type ConnectionLimit struct {
	StatPrefix string
	Max        uint64
	Delay      time.Duration // before a connection above it is closed
}

// HTTP is an HTTP connection manager.
type HTTP struct {
	StatPrefix string
	Routes     *RouteConfig
	AccessLogs []*AccessLog

	ServerName   string // "envoy" by default
	ServerHeader ServerHeader
	Via          string
	AddUserAgent bool

	UseRemoteAddress    bool
	TrustedHops         uint32 // xff_num_trusted_hops
	SkipXFFAppend       bool
	InternalAddresses   []Prefix // internal_address_config cidr_ranges; nil: Envoy 1.40's default
	InternalUnix        bool
	Scheme              string // scheme_header_transformation.scheme_to_overwrite, "" for none
	AppendForwardedPort bool
	GenerateRequestID   bool // true by default
	PreserveRequestID   bool // preserve_external_request_id
	RequestIDInResponse bool // always_set_request_id_in_response
	PackRequestID       bool // request_id_extension.uuid pack_trace_reason, true by default (no visible effect without tracing but the id's 14th hex digit)

	IdleTimeout              time.Duration // of connections without a request; 1 h by default, 0: none
	MaxConnectionDuration    time.Duration // 0: none
	MaxRequestsPerConnection uint32        // 0: no limit
	StreamIdleTimeout        time.Duration // 5 min by default, 0: none
	RequestTimeout           time.Duration // until the request has been received whole, 0: none
	RequestHeadersTimeout    time.Duration // 0: none
	MaxStreamDuration        time.Duration // 0: none
	DrainTimeout             time.Duration // how long a connection that is to end has for one more request; 5 s by default
	DelayedCloseTimeout      time.Duration // 1 s by default, 0: no delay

	MaxRequestHeadersKB    uint32 // 60 by default
	MaxHeaders             uint32 // max_headers_count, 100 by default
	HeadersWithUnderscores Underscores
	AcceptHTTP10           bool
	DefaultHostForHTTP10   string
	HeaderCase             HeaderCase
	StreamErrorOnInvalid   bool // stream_error_on_invalid_http_message (also of http_protocol_options)

	Upgrades []Upgrade

	NormalizePath  bool
	MergeSlashes   bool
	EscapedSlashes EscapedSlashes

	StripPort        StripPort
	StripTrailingDot bool

	LocalReply *LocalReplyConfig // nil: none

	Filters []Filter // without the router, in their order
	Router  Router
}

// A Prefix is a range of addresses.
type Prefix struct {
	Addr string
	Bits int
}

// ServerHeader says what becomes of the answer's server field.
type ServerHeader uint8

// The ways there are.
const (
	OverwriteServer ServerHeader = iota
	AppendIfAbsentServer
	PassThroughServer
)

// Underscores says what becomes of fields with an underscore in their name.
type Underscores uint8

// The ways there are.
const (
	AllowUnderscores Underscores = iota
	RejectUnderscores
	DropUnderscores
)

// HeaderCase says in which case names of fields are written.
type HeaderCase uint8

// The ways there are.
const (
	LowerCase  HeaderCase = iota
	ProperCase            // proper_case_words
)

// EscapedSlashes is path_with_escaped_slashes_action.
type EscapedSlashes uint8

// The ways there are.
const (
	KeepEscapedSlashes EscapedSlashes = iota
	RejectEscapedSlashes
	RedirectEscapedSlashes // unescape and redirect
	UnescapeSlashes        // unescape and forward
)

// StripPort says which port is taken off the host.
type StripPort uint8

// The ways there are.
const (
	KeepPort          StripPort = iota
	StripMatchingPort           // the listener's own
	StripAnyPort
)

// An Upgrade is one of upgrade_configs.
type Upgrade struct {
	Type    string // in lower case: "websocket"
	Enabled bool
}

// A Router is the router filter.
type Router struct {
	SuppressEnvoyHeaders   bool
	StrictCheckHeaders     []string
	RespectExpectedTimeout bool
}

// A Filter is an HTTP filter before the router: *LocalRateLimit or *HealthCheckFilter.
type Filter interface{ isFilter() }

func (*LocalRateLimit) isFilter()    {}
func (*HealthCheckFilter) isFilter() {}

// A LocalRateLimit is envoy.filters.http.local_ratelimit.
type LocalRateLimit struct {
	StatPrefix                     string
	Bucket                         *TokenBucket     // nil: does nothing but what routes say
	Enabled                        Fraction         // filter_enabled: 0 by default
	Enforced                       Fraction         // filter_enforced: 0 by default
	Status                         int              // 429 by default
	ResponseHeaders                []HeaderMutation // response_headers_to_add
	RequestHeaders                 []HeaderMutation // request_headers_to_add_when_not_enforced
	PerConnection                  bool             // local_rate_limit_per_downstream_connection
	RateLimitHeaders               bool             // enable_x_ratelimit_headers DRAFT_VERSION_03
	RateLimitedAsResourceExhausted bool
}

// A TokenBucket lets MaxTokens through and TokensPerFill more each FillInterval.
type TokenBucket struct {
	MaxTokens, TokensPerFill uint32
	FillInterval             time.Duration
}

// A Fraction is a share of requests.
type Fraction struct{ Numerator, Denominator uint32 }

// A HealthCheckFilter is envoy.filters.http.health_check without pass-through: it answers itself.
type HealthCheckFilter struct {
	Headers []HeaderMatch // all of which a request has to meet
	// MinHealthy is how many percent of a cluster's hosts have to be healthy. Empty: the answer is always 200.
	MinHealthy map[string]float64
}

// A LocalReplyConfig changes what the proxy itself answers.
type LocalReplyConfig struct {
	Mappers []LocalReplyMapper
	Body    *BodyFormat // nil: the body as it is
}

// A LocalReplyMapper changes some of the answers.
type LocalReplyMapper struct {
	Filter  LogFilter // nil: all
	Status  int       // 0: as it is
	Body    *string   // nil: as it is
	Format  *BodyFormat
	Headers []HeaderMutation
}

// A LogFilter chooses exchanges: those to be logged, or those whose local reply is to be changed.
type LogFilter func(ex *message.Exchange) bool
