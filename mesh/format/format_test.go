package format_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/message"
)

func parse(t testing.TB, text string) *format.Format {
	t.Helper()
	f, err := format.Parse(text)
	require.NoError(t, err, text)
	return f
}

// TestDefaultLog has the line that Envoy wrote for a request with a quote in a field.
func TestDefaultLog(t *testing.T) {
	ex := get()
	ex.Request = message.Request{Method: "GET", Scheme: "http", Authority: "v.test", Path: "/new", Fields: message.Fields{
		{Name: "user-agent", Value: `ua"q`},
		{Name: "x-envoy-original-path", Value: "/b/x"},
		{Name: "x-request-id", Value: "c27b3015-603e-409a-88fc-d80c88074216"},
	}}
	ex.Start = time.Date(2026, 11, 27, 11, 33, 46, 11999999, time.FixedZone("CET", 3600))
	ex.Points.End = 6900 * time.Microsecond
	ex.Response.Fields.Set("x-envoy-upstream-service-time", "4")
	assert.Equal(t, `[2026-11-27T10:33:46.011Z] "GET /b/x HTTP/1.1" 200 - 0 5 6 4 "-" "ua"q" `+
		`"c27b3015-603e-409a-88fc-d80c88074216" "v.test" "127.0.0.1:23181"`+"\n",
		string(format.DefaultLog().Append(nil, ex, "-")))
}

// TestAbsent has what an absent value is in a text.
func TestAbsent(t *testing.T) {
	f := parse(t, "x%REQ(none)%y%REQ(x-empty)%z%RESPONSE_FLAGS%")
	assert.Equal(t, "x-yz-", string(f.Append(nil, get(), "-")))
	assert.Equal(t, "xyz-", string(f.Append(nil, get(), "")))
	assert.Equal(t, "xyz-", string(f.AppendHeader(nil, get())))
}

// TestUse has the operators that differ between logs, fields and bodies.
func TestUse(t *testing.T) {
	f := parse(t, "[%LOCAL_REPLY_BODY%] %REQ(none)% %RESPONSE_CODE% %ACCESS_LOG_TYPE%")
	ex := direct()
	assert.Equal(t, "[] - 200 DownstreamEnd", string(f.Append(nil, ex, "-")))
	assert.Equal(t, "[]  200 NotSet", string(f.AppendHeader(nil, ex)))
	assert.Equal(t, "[hi] - 200 NotSet", string(f.AppendBody(nil, ex, "-")))
	ex.Local = nil
	assert.Equal(t, "[] - 200 NotSet", string(f.AppendBody(nil, ex, "-")))
}

// TestHeaderIsOneLine has what would end a field early.
func TestHeaderIsOneLine(t *testing.T) {
	t.Setenv("LINES", "a\r\nb: c\nd")
	f := parse(t, "<%ENVIRONMENT(LINES)%>")
	assert.Equal(t, "x<a  b: c d>", string(f.AppendHeader([]byte("x"), get())))
	assert.Equal(t, "<a\r\nb: c\nd>", string(f.Append(nil, get(), "")))
}

// TestEnvironment has a variable that is not set, which is "-" in header fields too.
func TestEnvironment(t *testing.T) {
	t.Setenv("LATER", "first")
	f := parse(t, "%ENVIRONMENT(MESH_TEST_NONE)% %ENVIRONMENT(LATER)%")
	t.Setenv("LATER", "second")
	assert.Equal(t, "- first", string(f.AppendHeader(nil, get())))
}

func TestUniqueID(t *testing.T) {
	f := parse(t, "%UNIQUE_ID%")
	version4 := regexp.MustCompile("^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
	first, second := string(f.Append(nil, get(), "-")), string(f.Append(nil, get(), "-"))
	assert.Regexp(t, version4, first)
	assert.NotEqual(t, first, second)
}

// TestFlags has several flags, in the order that Envoy sets them.
func TestFlags(t *testing.T) {
	ex := get()
	ex.Flags = message.UpstreamConnectionFailure | message.UpstreamRetryLimitExceeded
	assert.Equal(t, "URX,UF UpstreamRetryLimitExceeded,UpstreamConnectionFailure",
		string(parse(t, "%RESPONSE_FLAGS% %RESPONSE_FLAGS_LONG%").Append(nil, ex, "-")))

	// Every flag has its name, and is found by it.
	all := message.DownstreamRemoteReset<<1 - 1
	ex.Flags = all
	var found message.Flags
	for name := range strings.SplitSeq(string(parse(t, "%RESPONSE_FLAGS%").Append(nil, ex, "-")), ",") {
		flag, ok := format.FlagNamed(name)
		assert.True(t, ok, name)
		found |= flag
	}
	assert.Equal(t, all, found)
	_, ok := format.FlagNamed("uh")
	assert.False(t, ok)
}

// TestGRPCStatus has what Envoy made of statuses of all kinds.
func TestGRPCStatus(t *testing.T) {
	f := parse(t, "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS_NUMBER%")
	for status, want := range map[string]string{
		"0": "OK OK 0", "1": "Canceled CANCELLED 1", "4": "DeadlineExceeded DEADLINE_EXCEEDED 4",
		"16": "Unauthenticated UNAUTHENTICATED 16", "17": "17 17 17", "99": "99 99 99", "05": "NotFound NOT_FOUND 5",
		"x": "-1 -1 -1", "-1": "-1 -1 -1", "": "Unknown UNKNOWN 2",
	} {
		ex := grpc()
		ex.Response.Fields.Set("grpc-status", status)
		assert.Equal(t, want, string(f.Append(nil, ex, "-")), status)
	}
	for status, want := range map[int]string{
		200: "Unknown UNKNOWN 2", 400: "Internal INTERNAL 13", 401: "Unauthenticated UNAUTHENTICATED 16",
		403: "PermissionDenied PERMISSION_DENIED 7", 404: "Unimplemented UNIMPLEMENTED 12",
		429: "Unavailable UNAVAILABLE 14", 503: "Unavailable UNAVAILABLE 14", 0: "- - -",
	} {
		ex := grpc()
		ex.Response = message.Response{Status: status}
		assert.Equal(t, want, string(f.Append(nil, ex, "-")), status)
	}
	for kind, want := range map[string]string{
		"application/grpc": "NotFound", "application/grpc+proto": "NotFound", "application/grpc;x": "-",
		"application/grpcx": "-", "Application/grpc": "-", "application/grpc-web": "-",
	} {
		ex := grpc()
		ex.Request.Fields.Set("content-type", kind)
		assert.Equal(t, want, string(parse(t, "%GRPC_STATUS%").Append(nil, ex, "-")), kind)
	}
	ex := grpc()
	ex.Response.Trailers = message.Fields{{Name: "grpc-status", Value: "7"}, {Name: "x-t", Value: "v"}}
	assert.Equal(t, "PermissionDenied v 16", string(parse(t, "%GRPC_STATUS% %TRAILER(X-T)% %RESPONSE_TRAILERS_BYTES%").Append(nil, ex, "-")))
}

// TestQuery has what Envoy made of queries of all kinds.
func TestQuery(t *testing.T) {
	f := parse(t, "%QUERY_PARAMS%|%QUERY_PARAMS(DECODED)%|%QUERY_PARAM(a)%|%QUERY_PARAM(b c)%")
	for _, c := range [][2]string{
		{"/b", "-|-|-|-"},
		{"/b?", "||-|-"},
		{"/b?a", "a|a||-"},
		{"/b?&&a=", "&&a=|&&a=||-"},
		{"/b?a=b=c&a=2", "a=b=c&a=2|a=b=c&a=2|b=c|-"},
		{"/b?%61=1", "%61=1|a=1|1|-"},
		{"/b?b%20c=%zz%4", "b%20c=%zz%4|b%20c=zz%4|-|%zz%4"},
		{"/b?a=%00%c3%a9%ff", "a=%00%c3%a9%ff|a=%00%c3%a9%ff|\x00é\xff|-"},
		{"/b?x?y=1&a=?", "x?y=1&a=?|x?y=1&a=?|?|-"},
		{"/b?a=%", "a=%|a=%|%|-"},
		{"/b?a=%g1", "a=%g1|a=g1|%g1|-"},
		{"/b?a=%%41", "a=%%41|a=A|%A|-"},
		{"/b?a=%2541", "a=%2541|a=%41|%41|-"},
		{"/b?a=%%%", "a=%%%|a=%%|%%%|-"},
		{"/b?a=%E9", "a=%E9|a=%E9|\xe9|-"},
		{"/b?a=%ag%41", "a=%ag%41|a=agA|%agA|-"},
	} {
		ex := get()
		ex.Request.Path = c[0]
		assert.Equal(t, c[1], string(f.Append(nil, ex, "-")), c[0])
	}
}

// TestOriginals has what a client may send as if something had been rewritten.
func TestOriginals(t *testing.T) {
	f := parse(t, "%PATH% %PATH(NQ:ORIG)% %QUERY_PARAMS% %REQUESTED_SERVER_NAME(HOST_FIRST)%")
	ex := get()
	ex.Request.Path = "/p?a=1"
	ex.Request.Fields = message.Fields{{Name: "x-envoy-original-path", Value: "/o?a=9"}, {Name: "x-envoy-original-host", Value: "oh"}}
	assert.Equal(t, "/o?a=9 /o a=1 oh", string(f.Append(nil, ex, "-")))
	ex.Request.Fields = message.Fields{{Name: "x-envoy-original-path"}, {Name: "x-envoy-original-host"}}
	assert.Equal(t, "/p?a=1 - a=1 ", string(f.Append(nil, ex, "-")))
}

// TestFailedConnect has an exchange whose host was chosen and could not be reached.
func TestFailedConnect(t *testing.T) {
	ex := get()
	ex.Response.Status = 503
	ex.Flags = message.UpstreamConnectionFailure
	ex.TransportFailure = "delayed connect error: Connection refused"
	ex.Details = "upstream_reset_before_response_started{remote_connection_failure|delayed connect error: Connection refused}"
	ex.UpstreamConn, ex.UpstreamProto, ex.UpstreamLocal = 0, "", message.Address{}
	assert.Equal(t, "127.0.0.1:23181 ep.test - - - - - - delayed_connect_error:_Connection_refused",
		string(parse(t, "%UPSTREAM_HOST% %UPSTREAM_HOST_NAME% %UPSTREAM_REMOTE_ADDRESS% %UPSTREAM_REMOTE_PORT% "+
			"%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(8)% %UPSTREAM_PROTOCOL% %UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT% "+
			"%UPSTREAM_HOST_NAMES_ATTEMPTED% %UPSTREAM_TRANSPORT_FAILURE_REASON%").Append(nil, ex, "-")))
	assert.Equal(t, "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
		string(parse(t, "%RESPONSE_CODE_DETAILS%").Append(nil, ex, "-")))
}

func TestHostNameWithoutPort(t *testing.T) {
	f := parse(t, "%UPSTREAM_HOST_NAME_WITHOUT_PORT%")
	for name, want := range map[string]string{"host.test:99": "host.test", "[::5]:99": "[::5]", "[::5]": "[::5]", "a:b": "a:b", "a:": "a:"} {
		ex := get()
		ex.UpstreamHost = name
		assert.Equal(t, want, string(f.Append(nil, ex, "-")))
	}
}

// TestUnderWay has durations of an exchange that is not over.
func TestUnderWay(t *testing.T) {
	ex := get()
	ex.Start = time.Now().Add(-time.Hour)
	ex.Points = message.Points{}
	got := string(parse(t, "%DURATION% %REQUEST_DURATION% %RESPONSE_TX_DURATION% %COMMON_DURATION(DS_RX_BEG:DS_RX_BEG)%").Append(nil, ex, "-"))
	assert.Regexp(t, `^36\d{5} - - 0$`, got)
	ex.Start = time.Time{}
	assert.Equal(t, "0", string(parse(t, "%DURATION%").Append(nil, ex, "-")))
	ex.Points.UpstreamRead, ex.Points.UpstreamFirstRead = 1, 2
	assert.Equal(t, "-", string(parse(t, "%COMMON_DURATION(US_RX_BEG:US_RX_END:ns)%").Append(nil, ex, "-")))
}

// TestNothingKnown has every operator write an exchange of which nothing is known.
func TestNothingKnown(t *testing.T) {
	assert.Equal(t, "- - 0 0 - 0 - - - 0", string(parse(t, "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% "+
		"%CONNECTION_ID% %RESPONSE_CODE% %RESP(:STATUS)% %REQUEST_HEADERS_BYTES% %LISTENER_NAME% "+
		"%DOWNSTREAM_DIRECT_REMOTE_PORT% %DOWNSTREAM_REMOTE_ADDRESS% %UPSTREAM_CONNECTION_ID%").Append(nil, new(message.Exchange), "-")))
}
