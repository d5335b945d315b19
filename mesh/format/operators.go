package format

import (
	"github.com/maglev-lb/maglev/mesh/message"
)

// An operator makes values of its parameter.
type operator struct {
	takes takes
	make  func(param string) (value, error)
}

// takes says what an operator may be given.
type takes uint8

const (
	takesParam  takes = 1 << iota
	needsParam  takes = 1<<iota | takesParam
	takesLength takes = 1 << iota
)

// plain is an operator that is given nothing.
func plain(v value) operator {
	return operator{make: func(string) (value, error) { return v, nil }}
}

// operators are all there are, by name. Those of TLS are in absent.go.
var operators = map[string]operator{
	// The request and the answer.
	"REQ":                     fieldOperator(requestField),
	"REQUEST_HEADER":          fieldOperator(requestField),
	"RESP":                    fieldOperator(responseField),
	"RESPONSE_HEADER":         fieldOperator(responseField),
	"TRAILER":                 fieldOperator(trailerField),
	"RESPONSE_TRAILER":        fieldOperator(trailerField),
	"PATH":                    {takesParam | takesLength, pathValue},
	"QUERY_PARAM":             {needsParam | takesLength, queryParamValue},
	"QUERY_PARAMS":            {takesParam | takesLength, queryParamsValue},
	"REQUESTED_SERVER_NAME":   {takesParam, serverNameValue},
	"PROTOCOL":                plain(text(func(ex *message.Exchange) string { return ex.Protocol })),
	"REQUEST_HEADERS_BYTES":   plain(count(requestHeadersBytes)),
	"RESPONSE_HEADERS_BYTES":  plain(count(responseHeadersBytes)),
	"RESPONSE_TRAILERS_BYTES": plain(count(func(ex *message.Exchange) uint64 { return fieldsBytes(ex.Response.Trailers) })),
	"STREAM_ID":               plain(value{text: func(ex *message.Exchange) (string, bool) { return ex.Request.Fields.Get("x-request-id") }}),
	"UNIQUE_ID":               plain(written(appendUUID)),
	"GRPC_STATUS":             {takesParam, grpcStatusValue},
	"GRPC_STATUS_NUMBER":      plain(number(grpcStatus)),

	// How it went.
	"RESPONSE_CODE":                  plain(count(func(ex *message.Exchange) uint64 { return uint64(ex.Response.Status) })),
	"RESPONSE_CODE_DETAILS":          {takesParam, detailsValue},
	"RESPONSE_FLAGS":                 plain(written(appendShortFlags)),
	"RESPONSE_FLAGS_LONG":            plain(written(appendLongFlags)),
	"CONNECTION_TERMINATION_DETAILS": plain(text(func(ex *message.Exchange) string { return ex.ConnectionEnd })),
	"UPSTREAM_TRANSPORT_FAILURE_REASON": plain(written(func(b []byte, ex *message.Exchange) ([]byte, bool) {
		return appendNoBlanks(b, ex.TransportFailure), ex.TransportFailure != ""
	})),
	"CUSTOM_FLAGS":     plain(always("")),
	"LOCAL_REPLY_BODY": plain(value{write: appendLocalReply}),
	"ACCESS_LOG_TYPE":  plain(value{write: appendLogType}),

	// When.
	"START_TIME":           {takesParam, timeValue(startTime, defaultTime)},
	"START_TIME_LOCAL":     {takesParam, timeValue(startTimeLocal, defaultTimeLocal)},
	"EMIT_TIME":            {takesParam, timeValue(emitTime, defaultTime)},
	"EMIT_TIME_LOCAL":      {takesParam, timeValue(emitTimeLocal, defaultTimeLocal)},
	"DURATION":             plain(number(duration)),
	"REQUEST_DURATION":     plain(number(between("DS_RX_BEG", "DS_RX_END"))),
	"REQUEST_TX_DURATION":  plain(number(between("DS_RX_BEG", "US_TX_END"))),
	"RESPONSE_DURATION":    plain(number(between("DS_RX_BEG", "US_RX_BEG"))),
	"RESPONSE_TX_DURATION": plain(number(between("US_RX_BEG", "DS_TX_END"))),
	"COMMON_DURATION":      {needsParam, commonDurationValue},

	// How much.
	"BYTES_RECEIVED":                   plain(count(func(ex *message.Exchange) uint64 { return ex.BytesReceived })),
	"BYTES_SENT":                       plain(count(func(ex *message.Exchange) uint64 { return ex.BytesSent })),
	"DOWNSTREAM_WIRE_BYTES_RECEIVED":   plain(count(func(ex *message.Exchange) uint64 { return ex.WireBytesReceived })),
	"DOWNSTREAM_WIRE_BYTES_SENT":       plain(count(func(ex *message.Exchange) uint64 { return ex.WireBytesSent })),
	"DOWNSTREAM_HEADER_BYTES_RECEIVED": plain(count(func(ex *message.Exchange) uint64 { return ex.HeaderBytesReceived })),
	"DOWNSTREAM_HEADER_BYTES_SENT":     plain(count(func(ex *message.Exchange) uint64 { return ex.HeaderBytesSent })),
	"UPSTREAM_WIRE_BYTES_RECEIVED":     plain(count(func(ex *message.Exchange) uint64 { return ex.UpstreamBytesReceived })),
	"UPSTREAM_WIRE_BYTES_SENT":         plain(count(func(ex *message.Exchange) uint64 { return ex.UpstreamBytesSent })),
	"UPSTREAM_HEADER_BYTES_RECEIVED":   plain(count(func(ex *message.Exchange) uint64 { return ex.UpstreamHeaderBytesReceived })),
	"UPSTREAM_HEADER_BYTES_SENT":       plain(count(func(ex *message.Exchange) uint64 { return ex.UpstreamHeaderBytesSent })),
	// HTTP/1 compresses no headers.
	"DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED": plain(count(func(ex *message.Exchange) uint64 { return ex.HeaderBytesReceived })),
	"DOWNSTREAM_DECOMPRESSED_HEADER_BYTES_SENT":     plain(count(func(ex *message.Exchange) uint64 { return ex.HeaderBytesSent })),
	"UPSTREAM_DECOMPRESSED_HEADER_BYTES_RECEIVED":   plain(count(func(ex *message.Exchange) uint64 { return ex.UpstreamHeaderBytesReceived })),
	"UPSTREAM_DECOMPRESSED_HEADER_BYTES_SENT":       plain(count(func(ex *message.Exchange) uint64 { return ex.UpstreamHeaderBytesSent })),

	// Which way it went.
	"ROUTE_NAME":           plain(text(func(ex *message.Exchange) string { return ex.Route })),
	"UPSTREAM_CLUSTER":     plain(text(observedCluster)),
	"UPSTREAM_CLUSTER_RAW": plain(text(func(ex *message.Exchange) string { return ex.Cluster })),
	"UPSTREAM_PROTOCOL":    plain(text(func(ex *message.Exchange) string { return ex.UpstreamProto })),
	"UPSTREAM_REQUEST_ATTEMPT_COUNT": plain(count(func(ex *message.Exchange) uint64 {
		return uint64(ex.Attempts)
	})),
	"UPSTREAM_HOST":                                plain(text(func(ex *message.Exchange) string { return ex.Upstream.Text })),
	"UPSTREAM_HOST_NAME":                           plain(text(upstreamName)),
	"UPSTREAM_HOST_NAME_WITHOUT_PORT":              plain(text(func(ex *message.Exchange) string { return withoutPort(upstreamName(ex)) })),
	"UPSTREAM_CONNECTION_ID":                       plain(count(func(ex *message.Exchange) uint64 { return ex.UpstreamConn })),
	"CONNECTION_ID":                                plain(count(connectionID)),
	"LISTENER_NAME":                                plain(text(listenerName)),
	"DOWNSTREAM_LOCAL_ADDRESS":                     plain(text(addressText(downstreamLocal))),
	"DOWNSTREAM_LOCAL_PORT":                        plain(number(addressPort(downstreamLocal))),
	"DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":        addressOperator(downstreamLocal),
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS":              plain(text(addressText(downstreamLocal))),
	"DOWNSTREAM_DIRECT_LOCAL_PORT":                 plain(number(addressPort(downstreamLocal))),
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT": addressOperator(downstreamLocal),
	"DOWNSTREAM_REMOTE_ADDRESS":                    plain(text(addressText(downstreamRemote))),
	"DOWNSTREAM_REMOTE_PORT":                       plain(number(addressPort(downstreamRemote))),
	"DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT":       addressOperator(downstreamRemote),
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS":             plain(text(addressText(downstreamPeer))),
	"DOWNSTREAM_DIRECT_REMOTE_PORT":                plain(number(addressPort(downstreamPeer))),
	"DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT": addressOperator(
		downstreamPeer),
	"UPSTREAM_LOCAL_ADDRESS":               plain(text(addressText(upstreamLocal))),
	"UPSTREAM_LOCAL_PORT":                  plain(number(addressPort(upstreamLocal))),
	"UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT":  addressOperator(upstreamLocal),
	"UPSTREAM_REMOTE_ADDRESS":              plain(text(addressText(upstreamRemote))),
	"UPSTREAM_REMOTE_PORT":                 plain(number(addressPort(upstreamRemote))),
	"UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT": addressOperator(upstreamRemote),
	// Of all attempts Envoy names the last one here, if it had a connection.
	"UPSTREAM_HOSTS_ATTEMPTED":                   plain(text(addressText(upstreamRemote))),
	"UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT":      plain(written(addressIP(upstreamRemote))),
	"UPSTREAM_HOST_NAMES_ATTEMPTED":              plain(text(connected(upstreamName))),
	"UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT": plain(text(connected(func(ex *message.Exchange) string { return withoutPort(upstreamName(ex)) }))),
	"UPSTREAM_CONNECTION_IDS_ATTEMPTED":          plain(written(appendUpstreamConnection)),
	// IDs of endpoints are of internal listeners: those of sockets are empty.
	"DOWNSTREAM_LOCAL_ADDRESS_ENDPOINT_ID":        plain(always("")),
	"DOWNSTREAM_DIRECT_LOCAL_ADDRESS_ENDPOINT_ID": plain(always("")),
	"UPSTREAM_REMOTE_ADDRESS_ENDPOINT_ID": plain(value{text: func(ex *message.Exchange) (string, bool) {
		return "", ex.UpstreamConn != 0
	}}),

	// The process.
	"HOSTNAME":    {make: hostnameValue},
	"ENVIRONMENT": {needsParam | takesLength, environmentValue},
}
