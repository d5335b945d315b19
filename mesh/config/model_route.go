package config

import (
	"regexp"
	"time"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/mesh/format"
)

// A RouteConfig is a table of routes.
type RouteConfig struct {
	Name                 string
	VirtualHosts         []*VirtualHost
	Headers              HeaderMutations
	MostSpecificWins     bool // most_specific_header_mutations_wins
	IgnorePort           bool // ignore_port_in_host_matching
	IgnorePathParameters bool // ignore_path_parameters_in_path_matching
	InternalOnlyHeaders  []string
}

// A VirtualHost holds the routes of some domains.
type VirtualHost struct {
	Name                   string
	Domains                []string // in lower case
	Routes                 []*Route
	RequireTLS             RequireTLS
	Headers                HeaderMutations
	Retry                  *RetryPolicy // nil: none
	Mirrors                []Mirror
	IncludeAttempts        bool            // include_request_attempt_count
	AttemptsInResponse     bool            // include_attempt_count_in_response
	RequestBodyBufferLimit *uint64         // per_request_buffer_limit_bytes
	RateLimit              *LocalRateLimit // typed_per_filter_config; nil: the filter's own
}

// RequireTLS says which requests are redirected to https.
type RequireTLS uint8

// The ways there are.
const (
	TLSNone RequireTLS = iota
	TLSExternalOnly
	TLSAll
)

// A Route matches requests and says what becomes of them: one of Cluster (an action that
// forwards), Redirect and Direct is not nil.
type Route struct {
	Name                   string
	Match                  RouteMatch
	Forward                *Forward
	Redirect               *Redirect
	Direct                 *DirectResponse
	Headers                HeaderMutations
	RequestBodyBufferLimit *uint64
	StatPrefix             string
	RateLimit              *LocalRateLimit
}

// A RouteMatch says which requests a route is for. One of the path's kinds is set.
type RouteMatch struct {
	Prefix, Path, PathPrefix *string        // prefix, path, path_separated_prefix
	Regex                    *regexp.Regexp // safe_regex, of the whole path without the query: anchored
	IgnoreCase               bool           // of Prefix, Path and PathPrefix
	Headers                  []HeaderMatch
	Query                    []QueryMatch
	GRPC                     bool
	Fraction                 *Fraction // runtime_fraction
}

// A StringMatch matches a text. One of its kinds is set.
type StringMatch struct {
	Exact, Prefix, Suffix, Contains *string
	Regex                           *regexp.Regexp // of the whole text: anchored
	IgnoreCase                      bool           // not of Regex
}

// A HeaderMatch matches a header: one of its kinds is set, or none, which is that it is present.
type HeaderMatch struct {
	Name           string // in lower case; "host" is ":authority"
	String         *StringMatch
	Range          *Range
	Present        *bool
	Invert         bool
	MissingAsEmpty bool // treat_missing_header_as_empty
}

// A Range is of integers, End excluded.
type Range struct{ Start, End int64 }

// A QueryMatch matches a parameter of the query: String, or that it is present (or not).
type QueryMatch struct {
	Name    string
	String  *StringMatch
	Present *bool // nil as String is: it is present
}

// A Forward sends requests to a cluster: one of Cluster, ClusterHeader and Weighted is set.
type Forward struct {
	Cluster        string
	ClusterHeader  string // in lower case
	Weighted       *WeightedClusters
	NotFoundStatus int // cluster_not_found_response_code: 503 by default, 404, 500

	PrefixRewrite       *string // nil or not empty
	RegexRewrite        *RegexRewrite
	HostRewrite         *string       // host_rewrite_literal
	HostRewriteHeader   string        // in lower case, "" for none
	HostRewritePath     *RegexRewrite // host_rewrite_path_regex
	AutoHostRewrite     bool          // the endpoint's hostname
	AppendForwardedHost bool          // append_x_forwarded_host

	Timeout           time.Duration  // 15 s by default, 0: none
	IdleTimeout       *time.Duration // nil: the manager's stream idle timeout, 0: none
	MaxStream         *MaxStream
	MaxGRPCTimeout    *time.Duration // the deprecated fields
	GRPCTimeoutOffset *time.Duration

	Retry    *RetryPolicy // nil: the virtual host's
	Hash     hashpolicy.List
	Mirrors  []Mirror
	Priority Priority
	Upgrades []Upgrade
}

// Priority is of a request's circuit breakers.
type Priority uint8

// The ones there are.
const (
	DefaultPriority Priority = iota
	HighPriority
)

// A MaxStream is max_stream_duration of a route.
type MaxStream struct {
	Max              *time.Duration // nil: the manager's; 0: none
	GRPCHeaderMax    *time.Duration // nil: grpc-timeout is not looked at; 0: as it says
	GRPCHeaderOffset time.Duration
}

// WeightedClusters are clusters that share the requests of a route.
type WeightedClusters struct {
	Clusters []WeightedCluster
	Total    uint64 // of the weights
	Header   string // header_name: whose number picks, in lower case, "" for none
	UseHash  bool   // use_hash_policy
}

// A WeightedCluster is one of them. One of Name and HeaderName is set.
type WeightedCluster struct {
	Name          string
	ClusterHeader string
	Weight        uint32
	Headers       HeaderMutations
	HostRewrite   *string
	RateLimit     *LocalRateLimit
}

// A RegexRewrite replaces what a pattern matches.
type RegexRewrite struct {
	Regex        *regexp.Regexp // not anchored
	Substitution string         // with \1 to \9 for groups, \0 for the whole, \\ for a backslash
}

// A Redirect answers with a Location.
type Redirect struct {
	HTTPS         bool
	Scheme        string // scheme_redirect
	Host          string
	Port          uint32
	Path          string // path_redirect, with ? its query replaces the request's
	PrefixRewrite *string
	RegexRewrite  *RegexRewrite
	Status        int // 301 by default
	StripQuery    bool
}

// A DirectResponse is an answer.
type DirectResponse struct {
	Status int
	Body   string
	Format *BodyFormat // nil: Body as it is
}

// A Mirror sends copies of requests to another cluster.
type Mirror struct {
	Cluster                 string
	ClusterHeader           string
	Fraction                Fraction // 100 % by default
	DisableShadowHostSuffix bool
}

// HeaderMutations change the headers of requests and of answers.
type HeaderMutations struct {
	Request        []HeaderMutation
	RequestRemove  []string // in lower case
	Response       []HeaderMutation
	ResponseRemove []string
}

// A HeaderMutation adds a field.
type HeaderMutation struct {
	Name      string // in lower case
	Value     *format.Format
	Action    AppendAction
	KeepEmpty bool
}

// AppendAction says what becomes of fields of the same name.
type AppendAction uint8

// The ways there are.
const (
	AppendOrAdd AppendAction = iota // APPEND_IF_EXISTS_OR_ADD
	AddIfAbsent
	OverwriteOrAdd
	OverwriteIfExists
)

// A RetryPolicy says when a request is tried again.
type RetryPolicy struct {
	On                        RetryOn
	Statuses                  []int         // retriable_status_codes
	Max                       uint32        // num_retries, 1 by default
	PerTry, PerTryIdle        time.Duration // 0: none
	BaseInterval, MaxInterval time.Duration // 25 ms and ten times that by default
	Headers                   []HeaderMatch // retriable_headers, of the answer
	RequestHeaders            []HeaderMatch // retriable_request_headers
	PreviousHosts             bool          // retry_host_predicate
	OmitCanary                bool
	HostAttempts              uint32        // host_selection_retry_max_attempts, 1 by default
	ResetHeaders              []ResetHeader // rate_limited_retry_back_off
	ResetMax                  time.Duration
}

// A ResetHeader is a header of the answer that says when to try again.
type ResetHeader struct {
	Name     string
	UnixTime bool
}

// RetryOn is a set of the reasons for another attempt.
type RetryOn uint32

// The reasons there are.
const (
	Retry5xx RetryOn = 1 << iota
	RetryGatewayError
	RetryReset
	RetryResetBeforeRequest
	RetryConnectFailure
	RetryEnvoyRateLimited
	RetryRetriable4xx
	RetryRefusedStream
	RetryStatusCodes // retriable-status-codes
	RetryHeaders     // retriable-headers
	RetryGRPCCancelled
	RetryGRPCDeadlineExceeded
	RetryGRPCResourceExhausted
	RetryGRPCUnavailable
	RetryGRPCInternal
	RetryHTTP3Connect

	// RetryOnGRPC are those that a grpc-status is.
	RetryOnGRPC = RetryGRPCCancelled | RetryGRPCDeadlineExceeded | RetryGRPCResourceExhausted |
		RetryGRPCUnavailable | RetryGRPCInternal
	// RetryOnHTTP are the others.
	RetryOnHTTP = ^RetryOnGRPC
)
