package format

import (
	"strings"

	"github.com/maglev-lb/maglev/mesh/message"
)

// A flag has a name of some letters and a long one.
type flag struct {
	flag        message.Flags
	short, long string
}

// flags are Envoy's response flags. The one that Envoy sets before others stands first.
var flags = []flag{
	{message.UpstreamRetryLimitExceeded, "URX", "UpstreamRetryLimitExceeded"},
	{message.NoHealthyUpstream, "UH", "NoHealthyUpstream"},
	{message.UpstreamConnectionFailure, "UF", "UpstreamConnectionFailure"},
	{message.UpstreamOverflow, "UO", "UpstreamOverflow"},
	{message.NoRoute, "NR", "NoRouteFound"},
	{message.NoCluster, "NC", "NoClusterFound"},
	{message.DurationTimeout, "DT", "DurationTimeout"},
	{message.FailedLocalHealthCheck, "LH", "FailedLocalHealthCheck"},
	{message.UpstreamRequestTimeout, "UT", "UpstreamRequestTimeout"},
	{message.LocalReset, "LR", "LocalReset"},
	{message.UpstreamRemoteReset, "UR", "UpstreamRemoteReset"},
	{message.UpstreamConnectionTermination, "UC", "UpstreamConnectionTermination"},
	{message.DelayInjected, "DI", "DelayInjected"},
	{message.FaultInjected, "FI", "FaultInjected"},
	{message.RateLimited, "RL", "RateLimited"},
	{message.Unauthorized, "UAEX", "UnauthorizedExternalService"},
	{message.RateLimitServiceError, "RLSE", "RateLimitServiceError"},
	{message.DownstreamConnectionTermination, "DC", "DownstreamConnectionTermination"},
	{message.StreamIdleTimeout, "SI", "StreamIdleTimeout"},
	{message.InvalidRequestHeaders, "IH", "InvalidEnvoyRequestHeaders"},
	{message.DownstreamProtocolError, "DPE", "DownstreamProtocolError"},
	{message.UpstreamProtocolError, "UPE", "UpstreamProtocolError"},
	{message.UpstreamMaxStreamDuration, "UMSDR", "UpstreamMaxStreamDurationReached"},
	{message.OverloadManager, "OM", "OverloadManagerTerminated"},
	{message.DNSFailure, "DF", "DnsResolutionFailed"},
	{message.DownstreamRemoteReset, "DR", "DownstreamRemoteReset"},
}

// FlagNamed returns the flag of a short name, such as "UH", and whether there is one.
func FlagNamed(short string) (message.Flags, bool) {
	for i := range flags {
		if flags[i].short == short {
			return flags[i].flag, true
		}
	}
	return 0, false
}

func appendShortFlags(b []byte, ex *message.Exchange) ([]byte, bool) {
	return appendFlags(b, ex.Flags, func(f *flag) string { return f.short }), true
}

func appendLongFlags(b []byte, ex *message.Exchange) ([]byte, bool) {
	return appendFlags(b, ex.Flags, func(f *flag) string { return f.long }), true
}

// appendFlags appends the names of flags, or "-" where there are none: that is a value,
// in JSON and in header fields too.
func appendFlags(b []byte, set message.Flags, name func(*flag) string) []byte {
	if set == 0 {
		return append(b, '-')
	}
	start := len(b)
	for i := range flags {
		if set&flags[i].flag == 0 {
			continue
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(b, name(&flags[i])...)
	}
	return b
}

// detailsValue is %RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%. As in Envoy another parameter
// has no effect.
func detailsValue(param string) (value, error) {
	if param == "ALLOW_WHITESPACES" {
		return text(func(ex *message.Exchange) string { return ex.Details }), nil
	}
	return written(func(b []byte, ex *message.Exchange) ([]byte, bool) {
		return appendNoBlanks(b, ex.Details), ex.Details != ""
	}), nil
}

// appendNoBlanks appends a text with underscores for blanks.
func appendNoBlanks(b []byte, s string) []byte {
	start := len(b)
	b = append(b, s...)
	if strings.ContainsAny(s, " \t\n\v\f\r") {
		for i := start; i < len(b); i++ {
			if c := b[i]; c == ' ' || '\t' <= c && c <= '\r' {
				b[i] = '_'
			}
		}
	}
	return b
}

func appendLocalReply(b []byte, ex *message.Exchange, u use) ([]byte, bool) {
	if u == inBody && ex.Local != nil {
		b = append(b, ex.Local.Body...)
	}
	return b, true
}

func appendLogType(b []byte, _ *message.Exchange, u use) ([]byte, bool) {
	if u == inLog {
		return append(b, "DownstreamEnd"...), true
	}
	return append(b, "NotSet"...), true
}
