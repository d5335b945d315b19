package message

import (
	"net/netip"
	"time"
)

// An Exchange is a request under way: the request and its answer as they stand, and what
// has come to be known of them so far. Formats of header fields and access logs are
// written from it, and rewrites and hash policies read it. It belongs to the
// goroutine of the client's connection, which uses it again for the next request.
type Exchange struct {
	Request  Request
	Response Response

	Protocol   string      // of the client's request: "HTTP/1.1", "HTTP/1.0"
	Downstream *Connection // that the request came by
	Remote     Address     // of the client, as far as x-forwarded-for is trusted; else that of the connection
	RequestID  string

	Start  time.Time
	Points Points

	BytesReceived uint64 // of the request's body
	BytesSent     uint64 // of the answer's body
	// Heads and bodies as on the wire, and the fields of heads alone. Envoy counts a
	// field that it sends with its CRLF, and one that it receives with one byte in its place.
	WireBytesReceived, WireBytesSent,
	HeaderBytesReceived, HeaderBytesSent uint64
	// The same of all attempts upstream.
	UpstreamBytesReceived, UpstreamBytesSent,
	UpstreamHeaderBytesReceived, UpstreamHeaderBytesSent uint64

	Flags            Flags  // what went wrong
	Details          string // how the answer came about: "via_upstream", "direct_response", "route_not_found"; see Envoy's response code details
	ConnectionEnd    string // why the client's connection was ended, "" if it was not
	TransportFailure string // why no connection to the upstream came about

	VirtualHost string // name of the one that was chosen
	Route       string // name of the one that was chosen
	Cluster     string // name of the one that was chosen
	ClusterAlt  string // its alt_stat_name, "" if it has none

	Attempts      int     // requests sent or tried upstream, retries included
	Upstream      Address // of the last one; zero if there was none
	UpstreamLocal Address // the near end of the connection to it
	UpstreamHost  string  // the hostname of the endpoint, "" if it has none
	UpstreamProto string  // "HTTP/1.1", "" if there was none
	UpstreamConn  uint64  // ID of the connection, 0 if there was none

	OwnStatus int         // of an answer of the proxy's own while its fields are made, before Response has it; else 0
	Local     *LocalReply // what the proxy itself answers with; nil if an upstream has
}

// A LocalReply is what is behind an answer that no upstream has given.
type LocalReply struct {
	Body string // as it would be without any format configured
}

// A Connection is what is known of a connection from a client.
type Connection struct {
	ID       uint64
	Local    Address
	Remote   Address // of the peer itself
	Listener string  // its name
}

// An Address is one of a socket. The zero Address is none.
type Address struct {
	Text string     // as Envoy writes it: "10.0.0.1:80", "[::1]:80", or the path of a pipe
	IP   netip.Addr // the zero Addr for a pipe
	Port uint16
}

// Points are when things have happened, since the Start of the exchange; 0 is not (yet). The names
// are Envoy's.
type Points struct {
	RequestRead, // DS_RX_END: the last byte of the request has been received
	UpstreamFirstSent, // US_TX_BEG: the first byte of it was sent on
	UpstreamSent, // US_TX_END: the last byte of it was sent on
	UpstreamFirstRead, // US_RX_BEG: the first byte of the answer was received
	UpstreamRead, // US_RX_END: the last one was
	FirstSent, // DS_TX_BEG: the first byte of the answer was sent to the client
	Sent, // DS_TX_END: the last byte of it was; 0 if it was cut short
	End time.Duration // the exchange is over, whichever way
}

// Flags say what went wrong with an exchange: Envoy's response flags.
type Flags uint32

// The flags there are, with their short names in an access log.
const (
	NoHealthyUpstream               Flags = 1 << iota // UH
	UpstreamConnectionFailure                         // UF
	UpstreamOverflow                                  // UO
	NoRoute                                           // NR
	UpstreamRetryLimitExceeded                        // URX
	NoCluster                                         // NC
	DurationTimeout                                   // DT
	FailedLocalHealthCheck                            // LH
	UpstreamRequestTimeout                            // UT
	LocalReset                                        // LR
	UpstreamRemoteReset                               // UR
	UpstreamConnectionTermination                     // UC
	DelayInjected                                     // DI
	FaultInjected                                     // FI
	RateLimited                                       // RL
	Unauthorized                                      // UAEX
	RateLimitServiceError                             // RLSE
	DownstreamConnectionTermination                   // DC
	StreamIdleTimeout                                 // SI
	InvalidRequestHeaders                             // IH
	DownstreamProtocolError                           // DPE
	UpstreamProtocolError                             // UPE
	UpstreamMaxStreamDuration                         // UMSDR
	OverloadManager                                   // OM
	DNSFailure                                        // DF
	DownstreamRemoteReset                             // DR
)
