package forwarding

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

const defaultTimeout = 15 * time.Second

func TestAllocations(t *testing.T) {
	// A default GET costs the ID of the request, and no more.
	r := New(&config.HTTP{ServerName: "envoy", GenerateRequestID: true}, Options{})
	var s State
	ex := message.Exchange{Downstream: &message.Connection{}}
	forward := &config.Forward{Timeout: defaultTimeout}
	once := func() {
		s.Reset()
		ex.Request = message.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/", Fields: append(ex.Request.Fields[:0], message.Field{Name: "accept", Value: "*/*"})}
		r.Check(&ex, http1.Head{Minor: 1}, &s)
		r.Request(&ex, &s, testRandom)
		r.Plan(&ex, &s, nil, forward, nil)
		r.Retries(&ex, &s, nil)
		ex.Response = message.Response{Status: 200, Fields: ex.Response.Fields[:0]}
		r.Answer(&ex, &s, 0)
		r.Response(&ex, &s, 0, testNow)
	}
	once()
	assert.LessOrEqual(t, testing.AllocsPerRun(100, once), 1.0)
}

func TestUUID(t *testing.T) {
	assert.Equal(t, testID, uuid(testRandom))
	assert.Equal(t, "00000000-0000-4000-8000-000000000000", uuid([2]uint64{}))
	assert.Equal(t, "ffffffff-ffff-4fff-bfff-ffffffffffff", uuid([2]uint64{1<<64 - 1, 1<<64 - 1}))
}

func TestClock(t *testing.T) {
	var c Clock
	at := time.Date(2026, 11, 27, 23, 59, 59, 999, time.FixedZone("", 3600))
	assert.Equal(t, "Fri, 27 Nov 2026 22:59:59 GMT", c.Date(at))
	assert.Equal(t, "Fri, 27 Nov 2026 22:59:59 GMT", c.Date(at.Add(999)))
	assert.Equal(t, "Fri, 27 Nov 2026 23:00:00 GMT", c.Date(at.Add(time.Second)))
}

func TestAddressesByText(t *testing.T) {
	for _, text := range []string{"10.0.0.1:80", "[2001:db8::1]:80"} {
		ap := netip.MustParseAddrPort(text)
		assert.Equal(t, ap.Addr().String(), ipText(message.Address{Text: text, IP: ap.Addr(), Port: ap.Port()}))
	}
	assert.Equal(t, "10.0.0.1", ipText(message.Address{IP: netip.MustParseAddr("10.0.0.1")}))
}

func TestClientByUnixSocket(t *testing.T) {
	h := &config.HTTP{UseRemoteAddress: true, InternalUnix: true, AppendForwardedPort: true, GenerateRequestID: true}
	ex := message.Exchange{Downstream: &message.Connection{Remote: message.Address{Text: "/run/a"}, Local: message.Address{Text: "/run/b"}}}
	ex.Request = message.Request{Method: "GET", Scheme: "http", Authority: "a", Path: "/"}
	var s State
	r := New(h, Options{})
	require.Nil(t, r.Check(&ex, http1.Head{Minor: 1}, &s))
	r.Request(&ex, &s, testRandom)
	assert.True(t, s.Internal)
	assert.Equal(t, message.Fields{{Name: "x-forwarded-proto", Value: "http"}, {Name: "x-envoy-internal", Value: "true"},
		{Name: "x-request-id", Value: testID}}, ex.Request.Fields)
}

func TestPercentEncode(t *testing.T) {
	assert.Equal(t, `a b "c" %25 %0A%7E%C3%A9`, percentEncode("a b \"c\" % \n~é"))
	assert.Equal(t, "", percentEncode(""))
}

func TestGRPCStatus(t *testing.T) {
	for status, want := range map[int]int{400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14, 200: 2, 500: 2, 418: 2} {
		assert.Equal(t, want, GRPCStatus(status), status)
	}
}

func TestGRPCTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5S": 5 * time.Second, "1H": time.Hour, "2M": 2 * time.Minute, "7m": 7 * time.Millisecond,
		"1u": time.Millisecond, "1001u": 2 * time.Millisecond, "1n": time.Millisecond, "0S": 0,
		"00000005S": 5 * time.Second, "99999999H": 1<<63 - 1,
		"": -1, "5": -1, "S": -1, "5s": -1, "-1S": -1, "+1S": -1, "1.5S": -1, "000000005S": -1, "5S,6S": -1,
	} {
		d, ok := grpcTimeout(message.Fields{{Name: "grpc-timeout", Value: text}})
		if want < 0 {
			assert.False(t, ok, text)
		} else {
			assert.True(t, ok, text)
			assert.Equal(t, want, d, text)
		}
	}
	for want, d := range map[string]time.Duration{"1m": time.Millisecond, "99999999m": 99999999 * time.Millisecond, "100000S": 100000 * time.Second,
		"1666668M": 1666668 * time.Minute, "0m": 0, "2562047H": 1<<63 - 1} {
		assert.Equal(t, want, grpcTimeoutText(d))
	}
}

func TestAgain(t *testing.T) {
	r := New(&config.HTTP{}, Options{})
	vh, f := &config.VirtualHost{IncludeAttempts: true}, &config.Forward{Timeout: defaultTimeout}
	var s State
	var ex message.Exchange
	p := Plan{Timeout: 10 * time.Second, PerTry: 4 * time.Second}
	for attempt, step := range []struct {
		elapsed time.Duration
		want    string
	}{
		{5 * time.Second, "4000"}, // the attempt's
		{8 * time.Second, "2000"}, // what is left
		{10 * time.Second, "1"},   // nothing is, but 0 would be no end
	} {
		r.Again(&ex, &s, vh, f, &p, attempt+2, step.elapsed)
		assert.Equal(t, message.Fields{{Name: "x-envoy-attempt-count", Value: strconv.Itoa(attempt + 2)},
			{Name: "x-envoy-expected-rq-timeout-ms", Value: step.want}}, ex.Request.Fields)
	}
}

func TestRetriableRequestHeaders(t *testing.T) {
	r := New(&config.HTTP{}, Options{})
	policy := &config.RetryPolicy{On: config.Retry5xx, Max: 2, RequestHeaders: []config.HeaderMatch{{Name: "x-again"}, {Name: "x-more"}}}
	var s State
	var ex message.Exchange
	assert.Zero(t, r.Retries(&ex, &s, policy).On)
	ex.Request.Fields.Add("x-more", "")
	ex.Request.Fields.Add("x-envoy-retry-on", "reset, nonsense,connect-failure")
	ex.Request.Fields.Add("x-envoy-max-retries", "5")
	retry := r.Retries(&ex, &s, policy)
	assert.Equal(t, config.Retry5xx|config.RetryReset|config.RetryConnectFailure, retry.On)
	assert.EqualValues(t, 5, retry.Max)
	assert.Equal(t, message.Fields{{Name: "x-more"}}, ex.Request.Fields)
}

// A body that may not be sent is none: a client could take it for the next answer.
func TestLocalReplyWithoutBody(t *testing.T) {
	for _, status := range []int{204, 304} {
		r := New(&config.HTTP{ServerName: "envoy"}, Options{})
		var s State
		ex := message.Exchange{Request: message.Request{Method: "GET"}}
		body, framing, _ := r.Refuse(&ex, &s, &Reply{Status: status, Body: "made"}, testNow)
		assert.Empty(t, body)
		assert.Equal(t, http1.NoBody, framing)
		assert.False(t, NeedsLength(&ex, framing))
	}
}

// A status of 400 closes, unless the client is thought to know what it does.
func TestLocalReplyCloses(t *testing.T) {
	for _, lenient := range []bool{false, true} {
		r := New(&config.HTTP{StreamErrorOnInvalid: lenient}, Options{})
		var s State
		var ex message.Exchange
		_, closes := r.LocalReply(&ex, &s, &Reply{Status: 400})
		assert.Equal(t, !lenient, closes)
	}
}

// Without a route that forwards, an upgrade is not refused: recorded were 404, and what filters answer.
func TestUpgradeWithoutRoute(t *testing.T) {
	r := New(&config.HTTP{}, Options{})
	assert.True(t, r.UpgradeAllowed(&State{Upgrade: "websocket"}, nil))
	assert.False(t, r.UpgradeAllowed(&State{Upgrade: "websocket"}, &config.Forward{}))
	assert.True(t, r.UpgradeAllowed(&State{}, &config.Forward{}))
}

func TestOverloaded(t *testing.T) {
	for _, suppress := range []bool{false, true} {
		var ex message.Exchange
		New(&config.HTTP{Router: config.Router{SuppressEnvoyHeaders: suppress}}, Options{}).Overloaded(&ex)
		assert.Equal(t, !suppress, ex.Response.Fields.Has("x-envoy-overloaded"))
	}
}

func FuzzRequest(f *testing.F) {
	f.Add("connection\x00x-foo, te\nx-foo\x001\nte\x00trailers", uint8(0), true)
	f.Add("x-forwarded-for\x00::1, 10.0.0.1\nx-forwarded-proto\x00https", uint8(3), false)
	f.Add("connection\x00upgrade, http2-settings\nupgrade\x00h2c\nhttp2-settings\x00AAA", uint8(7), true)
	f.Fuzz(func(t *testing.T, text string, bits uint8, upgrade bool) {
		h := &config.HTTP{
			UseRemoteAddress: bits&1 != 0, TrustedHops: uint32(bits >> 1 & 3), SkipXFFAppend: bits&8 != 0,
			StripPort: config.StripPort(bits >> 4 % 3), StripTrailingDot: bits&64 != 0, GenerateRequestID: true,
			HeadersWithUnderscores: config.Underscores(bits >> 5 % 3), ServerName: "envoy",
			InternalAddresses: []config.Prefix{{Addr: "10.0.0.0", Bits: 8}},
		}
		remote := netip.MustParseAddrPort("192.0.2.1:40000")
		ex := message.Exchange{Downstream: &message.Connection{Remote: message.Address{Text: remote.String(), IP: remote.Addr(), Port: remote.Port()}}}
		ex.Request = message.Request{Method: "GET", Scheme: "http", Authority: text, Path: "/" + text}
		named := false
		for line := range strings.SplitSeq(text, "\n") {
			name, value, _ := strings.Cut(line, "\x00")
			ex.Request.Fields.Add(strings.ToLower(name), value)
			named = named || strings.EqualFold(name, "connection")
		}
		var connections []string // what is named
		for _, f := range ex.Request.Fields {
			if f.Name == "connection" {
				connections = append(connections, strings.Split(f.Value, ",")...)
			}
		}
		r := New(h, Options{})
		var s State
		if refusal := r.Check(&ex, http1.Head{Minor: 1, Connection: named, Upgrade: upgrade}, &s); refusal != nil {
			r.Refuse(&ex, &s, refusal, testNow)
			assert.GreaterOrEqual(t, ex.Response.Status, 400)
			return
		}
		r.Request(&ex, &s, testRandom)
		r.Plan(&ex, &s, nil, &config.Forward{Timeout: defaultTimeout}, nil)
		r.Retries(&ex, &s, nil)
		seen := map[string]int{}
		for _, f := range ex.Request.Fields {
			seen[f.Name]++
		}
		for name, n := range seen {
			if message.JoinedInRequest(name) {
				assert.Equal(t, 1, n, name)
			}
		}
		assert.Equal(t, 1, seen["x-forwarded-proto"])
		for _, name := range []string{"transfer-encoding", "keep-alive", "proxy-connection", "x-envoy-retry-on", "x-envoy-max-retries"} {
			assert.Zero(t, seen[name], name)
		}
		if s.Upgrade != "" {
			return
		}
		assert.Zero(t, seen["connection"]+seen["upgrade"])
		for _, name := range connections {
			switch name = strings.ToLower(trim(name)); name {
			case "", "te", "http2-settings", "x-request-id", "x-envoy-internal", "x-envoy-external-address", "x-envoy-expected-rq-timeout-ms", "x-forwarded-port":
				// te has only trailers left; http2-settings alone means nothing; the others are the proxy's own
			default:
				assert.Zero(t, seen[name], "%q is named by Connection", name)
			}
		}
	})
}
