package filter

import (
	"encoding/json"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// testdata/filters.json was recorded from Envoy 1.40.0 as the tables of package forwarding were (see its
// golden_test.go): each configuration is a listener, and its requests were sent one after the other,
// each on a connection of its own. Route /own has a limit of its own.
type recording struct {
	Configs map[string]*struct {
		Filters []recordedFilter
		VH      struct {
			Routes []struct {
				Typed map[string]recordedConfig `json:"typed_per_filter_config"`
			}
			ResponseHeaders []recordedHeader `json:"response_headers_to_add"`
			Attempts        bool             `json:"include_attempt_count_in_response"`
		}
	}
	Cases []struct {
		Config, Request string
		Upstream        *string
		Answer, Log     string
	}
}

type recordedFilter struct {
	Typed recordedConfig `json:"typed_config"`
}

type recordedConfig struct {
	Type       string `json:"@type"`
	StatPrefix string `json:"stat_prefix"`
	Bucket     *struct {
		Max      uint32 `json:"max_tokens"`
		PerFill  uint32 `json:"tokens_per_fill"`
		Interval string `json:"fill_interval"`
	} `json:"token_bucket"`
	Enabled       *recordedShare   `json:"filter_enabled"`
	Enforced      *recordedShare   `json:"filter_enforced"`
	Response      []recordedHeader `json:"response_headers_to_add"`
	Request       []recordedHeader `json:"request_headers_to_add_when_not_enforced"`
	Draft         string           `json:"enable_x_ratelimit_headers"`
	Exhausted     bool             `json:"rate_limited_as_resource_exhausted"`
	PerConnection bool             `json:"local_rate_limit_per_downstream_connection"`
	Status        struct{ Code any }
	Headers       []struct {
		Name   string
		String *struct{ Exact, Prefix *string } `json:"string_match"`
	}
	MinHealthy map[string]struct{ Value float64 } `json:"cluster_min_healthy_percentages"`
}

type recordedShare struct {
	Default struct{ Numerator uint32 } `json:"default_value"`
}

func (s *recordedShare) config() config.Fraction {
	if s == nil {
		return config.Fraction{}
	}
	return config.Fraction{Numerator: s.Default.Numerator, Denominator: 100}
}

type recordedHeader struct {
	Header struct{ Key, Value string }
	Action string `json:"append_action"`
}

func mutations(t *testing.T, all []recordedHeader) (out []config.HeaderMutation) {
	for _, h := range all {
		value, err := format.Parse(h.Header.Value)
		require.NoError(t, err)
		m := config.HeaderMutation{Name: h.Header.Key, Value: value}
		if strings.HasPrefix(h.Action, "OVERWRITE") {
			m.Action = config.OverwriteOrAdd
		}
		out = append(out, m)
	}
	return out
}

func (c *recordedConfig) rateLimit(t *testing.T) *config.LocalRateLimit {
	l := &config.LocalRateLimit{
		StatPrefix: c.StatPrefix, Enabled: c.Enabled.config(), Enforced: c.Enforced.config(), Status: 429,
		ResponseHeaders: mutations(t, c.Response), RequestHeaders: mutations(t, c.Request),
		PerConnection: c.PerConnection, RateLimitHeaders: c.Draft != "", RateLimitedAsResourceExhausted: c.Exhausted,
	}
	if c.Bucket != nil {
		interval, err := time.ParseDuration(c.Bucket.Interval)
		require.NoError(t, err)
		l.Bucket = &config.TokenBucket{MaxTokens: c.Bucket.Max, TokensPerFill: c.Bucket.PerFill, FillInterval: interval}
	}
	switch c.Status.Code {
	case "Forbidden":
		l.Status = 403
	case "ServiceUnavailable":
		l.Status = 503
	case 200.0:
		l.Status = 200
	}
	return l
}

func (c *recordedConfig) config(t *testing.T) config.Filter {
	if strings.Contains(c.Type, "local_ratelimit") {
		return c.rateLimit(t)
	}
	h := &config.HealthCheckFilter{MinHealthy: map[string]float64{}}
	for _, m := range c.Headers {
		match := config.HeaderMatch{Name: m.Name}
		if m.String != nil {
			match.String = &config.StringMatch{Exact: m.String.Exact, Prefix: m.String.Prefix}
		}
		h.Headers = append(h.Headers, match)
	}
	for name, v := range c.MinHealthy {
		h.MinHealthy[name] = v.Value
	}
	return h
}

// clusters are those of the recording.
func clusters(name string) (healthy, total int, ok bool) {
	switch name {
	case "c":
		return 1, 1, true
	case "half":
		return 1, 2, true
	case "empty":
		return 0, 0, true
	}
	return 0, 0, false
}

func TestRecorded(t *testing.T) {
	b, err := os.ReadFile("testdata/filters.json")
	require.NoError(t, err)
	var rec recording
	require.NoError(t, json.Unmarshal(b, &rec))
	start := time.Now()
	chains := map[string]*Chain{}
	own := map[string]*config.LocalRateLimit{}
	for name, c := range rec.Configs {
		h := &config.HTTP{Routes: &config.RouteConfig{}}
		for i := range c.Filters {
			h.Filters = append(h.Filters, c.Filters[i].Typed.config(t))
		}
		for _, r := range c.VH.Routes {
			if typed, ok := r.Typed["rl"]; ok {
				own[name] = typed.rateLimit(t)
				h.Routes.VirtualHosts = append(h.Routes.VirtualHosts, &config.VirtualHost{Routes: []*config.Route{{RateLimit: own[name]}}})
			}
		}
		chains[name] = New(h, Options{NodeCluster: "nodeclu", Hosts: clusters, Start: start})
	}
	rules := forwarding.New(&config.HTTP{ServerName: "envoy", GenerateRequestID: true}, forwarding.Options{})
	for i, c := range rec.Cases {
		t.Run(strconv.Itoa(i)+"/"+c.Config, func(t *testing.T) {
			cfg, chain := rec.Configs[c.Config], chains[c.Config]
			remote := netip.MustParseAddrPort("127.5.0.7:40000")
			ex := message.Exchange{Downstream: &message.Connection{Remote: message.Address{Text: remote.String(), IP: remote.Addr()}}}
			var parser http1.Parser
			_, head, err := parser.Request([]byte(c.Request), &ex.Request)
			require.NoError(t, err)
			var fs forwarding.State
			require.Nil(t, rules.Check(&ex, head, &fs))
			rules.Request(&ex, &fs, [2]uint64{})
			var limit *config.LocalRateLimit
			if ex.Request.Path == "/own" {
				limit = own[c.Config]
			}
			var s State
			reply := chain.Request(&ex, &s, Input{RateLimit: limit, Connection: new(Connection), Now: start})
			log := strings.Split(c.Log, " ")
			addFields := func() {
				for _, h := range cfg.VH.ResponseHeaders {
					ex.Response.Fields.Add(h.Header.Key, h.Header.Value)
				}
			}
			if reply != nil {
				require.Nil(t, c.Upstream, "answered what Envoy passes on")
				addFields()
				reply.AddHeaders(&ex)
				body, _ := rules.LocalReply(&ex, &fs, &reply.Reply)
				chain.Response(&ex, &s, start)
				framing := rules.Response(&ex, &fs, http1.Body(len(body)), start)
				close := head.Body != http1.NoBody && !reply.AfterBody
				assert.Equal(t, normal(c.Answer), normal(text(&ex, framing, close)+body))
				assert.Equal(t, log[1], ex.Details)
				return
			}
			require.NotNil(t, c.Upstream, "passed on what Envoy answers with %q", c.Answer)
			_, refusal := rules.Plan(&ex, &fs, nil, &config.Forward{Timeout: 15 * time.Second}, nil)
			require.Nil(t, refusal)
			got, _, _ := strings.Cut(string(http1.AppendRequest(nil, &ex.Request, head.Body)), "\r\n\r\n")
			want, _, _ := strings.Cut(*c.Upstream, "\r\n\r\n")
			assert.Equal(t, want, strings.ReplaceAll(got, "00000000-0000-4000-8000-000000000000", "<uuid 4>"))
			ex.Response = message.Response{Status: 200, Fields: message.Fields{{Name: "content-length", Value: "2"}}}
			rules.Answer(&ex, &fs, 0)
			addFields()
			forwarding.CountAttempts(&ex, &config.VirtualHost{AttemptsInResponse: cfg.VH.Attempts})
			chain.Response(&ex, &s, start)
			framing := rules.Response(&ex, &fs, 2, start)
			want, _, _ = strings.Cut(c.Answer, "\r\n\r\n")
			assert.Equal(t, normal(want+"\r\n\r\n"), normal(text(&ex, framing, false)))
		})
	}
}

// text writes the head of an answer.
func text(ex *message.Exchange, body http1.Body, close bool) string {
	b := "HTTP/1.1 " + strconv.Itoa(ex.Response.Status) + "\r\n"
	for _, f := range ex.Response.Fields {
		b += f.Name + ": " + f.Value + "\r\n"
	}
	if close {
		b += "connection: close\r\n"
	}
	switch {
	case body == http1.InChunks:
		b += "transfer-encoding: chunked\r\n"
	case forwarding.NeedsLength(ex, body):
		b += "content-length: 0\r\n"
	}
	return b + "\r\n"
}

var varies = regexp.MustCompile(`(date|x-ratelimit-reset): [^\r]*|^HTTP/1.1 (\d+)[^\r]*`)

func normal(s string) string { return varies.ReplaceAllString(s, "$1$2") }
