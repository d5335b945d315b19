package format_test

import (
	"net/netip"
	"time"

	"github.com/maglev-lb/maglev/mesh/message"
)

// The exchanges that testdata/envoy.txt was recorded from, as far as formats see them.

func address(s string) message.Address {
	ap := netip.MustParseAddrPort(s)
	return message.Address{Text: s, IP: ap.Addr(), Port: ap.Port()}
}

// get is answered by a backend whose cluster has an alt_stat_name and whose endpoint has
// a hostname, on a connection from 127.5.0.3 with use_remote_address.
func get() *message.Exchange {
	return &message.Exchange{
		Request: message.Request{
			Method: "GET", Scheme: "http", Authority: "v.test:80",
			Path: "/b/x?a=1&b=%41+c&e=&f&a=2&d=x%3D;y",
			Fields: message.Fields{
				{Name: "x-two", Value: "11"},
				{Name: "x-two", Value: "22"},
				{Name: "x-empty", Value: ""},
				{Name: "x-quote", Value: `a"b\c`},
				{Name: "x-odd", Value: "\xe9\xc3\xa9<&>/"},
				{Name: "x-tab", Value: "a\tb"},
				{Name: "x-forwarded-for", Value: "9.9.9.9,127.5.0.3"},
				{Name: "x-forwarded-proto", Value: "http"},
				{Name: "x-envoy-external-address", Value: "127.5.0.3"},
				{Name: "x-request-id", Value: "3c5c22e8-814c-4f96-be8c-1fd98acf5129"},
				{Name: "x-envoy-expected-rq-timeout-ms", Value: "15000"},
			},
		},
		Response: message.Response{
			Status: 200,
			Fields: message.Fields{
				{Name: "content-length", Value: "5"},
				{Name: "x-b", Value: "1"},
				{Name: "x-envoy-upstream-service-time", Value: "1"},
				{Name: "date", Value: "Fri, 27 Nov 2026 10:32:03 GMT"},
				{Name: "server", Value: "envoy"},
			},
		},
		Protocol: "HTTP/1.1",
		Downstream: &message.Connection{
			ID: 1, Local: address("127.0.0.1:23180"), Remote: address("127.5.0.3:44753"), Listener: "ingress",
		},
		Remote: address("127.5.0.3:44753"),
		Start:  time.Date(2026, 11, 27, 10, 32, 3, 811760000, time.UTC),
		Points: message.Points{
			RequestRead:       100 * time.Microsecond,
			UpstreamFirstSent: 554 * time.Microsecond,
			UpstreamSent:      554*time.Microsecond + 130,
			UpstreamFirstRead: 1760500 * time.Nanosecond,
			UpstreamRead:      1946 * time.Microsecond,
			FirstSent:         1925 * time.Microsecond,
			Sent:              2071996 * time.Nanosecond,
			End:               2080 * time.Microsecond,
		},
		BytesSent:         5,
		WireBytesReceived: 171, WireBytesSent: 137,
		HeaderBytesReceived: 112, HeaderBytesSent: 113,
		UpstreamBytesReceived: 51, UpstreamBytesSent: 334,
		UpstreamHeaderBytesReceived: 25, UpstreamHeaderBytesSent: 283,
		Details: "via_upstream",
		Route:   "rname", Cluster: "alt", ClusterAlt: "altname",
		Attempts: 1, Upstream: address("127.0.0.1:23181"), UpstreamLocal: address("127.0.0.1:48808"),
		UpstreamHost: "ep.test", UpstreamProto: "HTTP/1.1", UpstreamConn: 2,
	}
}

// as gives an exchange what tells it from get.
func as(ex *message.Exchange, id uint64, remote, start, requestID string) {
	ex.Downstream.ID = id
	ex.Downstream.Remote, ex.Remote = address(remote), address(remote)
	at, err := time.Parse(time.RFC3339Nano, start)
	if err != nil {
		panic(err)
	}
	ex.Start = at
	if requestID != "" {
		ex.Request.Fields.Set("x-request-id", requestID)
	}
}

func rewritten() *message.Exchange {
	ex := get()
	as(ex, 3, "127.5.0.3:60203", "2026-11-27T10:32:04.218485Z", "c5b1545e-7a9c-4808-a55d-6b1c81cd0f93")
	query := "?a=1&b=%41+c&e=&f&a=2&d=x%3D;y"
	ex.Request.Path, ex.Request.Authority = "/new/x"+query, "h.test"
	ex.Request.Fields.Add("x-envoy-original-path", "/rew/x"+query)
	ex.Request.Fields.Add("x-envoy-original-host", "v.test:80")
	ex.Points.End = 1500 * time.Microsecond
	ex.Points.UpstreamFirstRead = 1400 * time.Microsecond
	ex.WireBytesReceived, ex.UpstreamBytesSent, ex.UpstreamHeaderBytesSent = 173, 428, 375
	ex.Route, ex.Cluster, ex.ClusterAlt = "rew", "b", ""
	ex.UpstreamHost, ex.UpstreamConn, ex.UpstreamLocal = "", 4, address("127.0.0.1:48816")
	return ex
}

func direct() *message.Exchange {
	ex := get()
	as(ex, 5, "127.5.0.3:47083", "2026-11-27T10:32:04.624325Z", "6dba6265-fff5-4ea3-8213-cd52638dc30b")
	ex.Request.Path = "/direct?a=1&b=%41+c&e=&f&a=2&d=x%3D;y"
	ex.Request.Fields.Remove("x-envoy-expected-rq-timeout-ms")
	ex.Response.Fields = message.Fields{
		{Name: "content-length", Value: "2"},
		{Name: "content-type", Value: "text/plain"},
		{Name: "date", Value: "Fri, 27 Nov 2026 10:32:04 GMT"},
		{Name: "server", Value: "envoy"},
	}
	ex.Points = message.Points{RequestRead: 90 * time.Microsecond, Sent: 202179, End: 210 * time.Microsecond}
	ex.BytesSent, ex.WireBytesReceived, ex.WireBytesSent, ex.HeaderBytesSent = 2, 174, 118, 97
	ex.Details, ex.Route = "direct_response", "direct"
	ex.Local = &message.LocalReply{Body: "hi"}
	nowhere(ex)
	return ex
}

// nowhere makes an exchange one that reached no backend.
func nowhere(ex *message.Exchange) {
	ex.Cluster, ex.ClusterAlt = "", ""
	ex.Attempts, ex.Upstream, ex.UpstreamLocal = 0, message.Address{}, message.Address{}
	ex.UpstreamHost, ex.UpstreamProto, ex.UpstreamConn = "", "", 0
	ex.UpstreamBytesReceived, ex.UpstreamBytesSent = 0, 0
	ex.UpstreamHeaderBytesReceived, ex.UpstreamHeaderBytesSent = 0, 0
}

func grpc() *message.Exchange {
	ex := get()
	ex.Request.Fields = message.Fields{
		{Name: "content-type", Value: "application/grpc"},
		{Name: "content-length", Value: "0"},
		{Name: "x-forwarded-for", Value: "127.5.0.3"},
		{Name: "x-forwarded-proto", Value: "http"},
		{Name: "x-envoy-external-address", Value: "127.5.0.3"},
		{Name: "x-request-id", Value: ""},
		{Name: "x-envoy-expected-rq-timeout-ms", Value: "15000"},
	}
	as(ex, 7, "127.5.0.3:48039", "2026-11-27T10:32:05.430923Z", "3611ed8d-0a95-4e26-a9ab-637e20035269")
	ex.Request.Method, ex.Request.Authority, ex.Request.Path = "POST", "v.test", "/b/grpc"
	ex.Response.Fields = message.Fields{
		{Name: "content-type", Value: "application/grpc"},
		{Name: "grpc-status", Value: "5"},
		{Name: "grpc-message", Value: "x"},
		{Name: "content-length", Value: "0"},
		{Name: "x-envoy-upstream-service-time", Value: "0"},
		{Name: "date", Value: "Fri, 27 Nov 2026 10:32:05 GMT"},
		{Name: "server", Value: "envoy"},
	}
	ex.Points.UpstreamFirstRead, ex.Points.Sent, ex.Points.End = 473*time.Microsecond, 528801, 530*time.Microsecond
	ex.Points.UpstreamFirstSent, ex.Points.UpstreamSent = 228*time.Microsecond, 229*time.Microsecond
	ex.BytesSent = 0
	ex.WireBytesReceived, ex.WireBytesSent = 90, 189
	ex.HeaderBytesReceived, ex.HeaderBytesSent = 62, 170
	ex.UpstreamBytesReceived, ex.UpstreamBytesSent = 103, 271
	ex.UpstreamHeaderBytesReceived, ex.UpstreamHeaderBytesSent = 80, 246
	return ex
}

// refused is a request that the codec has answered with 400: nothing of it is known.
func refused() *message.Exchange {
	ex := get()
	as(ex, 8, "127.5.0.3:53485", "2026-11-27T10:32:05.833839Z", "")
	ex.Request = message.Request{}
	ex.Response.Status = 400
	ex.Response.Fields = message.Fields{
		{Name: "content-length", Value: "11"},
		{Name: "content-type", Value: "text/plain"},
		{Name: "date", Value: "Fri, 27 Nov 2026 10:32:05 GMT"},
		{Name: "server", Value: "envoy"},
		{Name: "connection", Value: "close"},
	}
	ex.Points = message.Points{Sent: 98184, End: 99 * time.Microsecond}
	ex.BytesSent, ex.WireBytesReceived, ex.WireBytesSent = 11, 7, 156
	ex.HeaderBytesReceived, ex.HeaderBytesSent = 0, 117
	ex.Flags, ex.Details, ex.Route = message.DownstreamProtocolError, "http1.codec_error", ""
	nowhere(ex)
	return ex
}

// ipv6 is get on a listener without use_remote_address.
func ipv6() *message.Exchange {
	ex := get()
	as(ex, 13, "[::1]:58864", "2026-11-27T10:32:07.346Z", "788bffd0-6341-45ce-819c-cafebff1012a")
	ex.Downstream.Local = address("[::1]:23182")
	forwarded(ex)
	return ex
}

func pipe() *message.Exchange {
	ex := get()
	as(ex, 14, "[::1]:1", "2026-11-27T10:32:07.647Z", "900bf1bb-5ad2-4e0f-a46e-dd71e350e1e7")
	ex.Downstream.Local = message.Address{Text: "/run/envoy.sock"}
	ex.Downstream.Remote = message.Address{Text: "/run/envoy.sock"}
	forwarded(ex)
	return ex
}

func forwarded(ex *message.Exchange) {
	ex.Remote = address("9.9.9.9:0")
	ex.Request.Fields.Set("x-forwarded-for", "9.9.9.9")
	ex.Request.Fields.Remove("x-envoy-external-address")
	ex.UpstreamBytesSent, ex.UpstreamHeaderBytesSent = 287, 236
	ex.Points.UpstreamFirstRead, ex.Points.Sent, ex.Points.End = 600*time.Microsecond, 662362, 663*time.Microsecond
}
