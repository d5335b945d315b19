package forwarding

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// recordedReply is local_reply_config.
type recordedReply struct {
	Body    *recordedFormat `json:"body_format"`
	Mappers []struct {
		Filter struct {
			Status struct {
				Comparison struct {
					Value struct {
						Default int `json:"default_value"`
					}
				}
			} `json:"status_code_filter"`
		}
		Status  int             `json:"status_code"`
		Body    *recordedText   `json:"body"`
		Format  *recordedFormat `json:"body_format_override"`
		Headers []struct {
			Header struct{ Key, Value string }
			Action string `json:"append_action"`
		} `json:"headers_to_add"`
	}
}

type recordedText struct {
	Inline string `json:"inline_string"`
}

type recordedFormat struct {
	Text        *recordedText     `json:"text_format_source"`
	JSON        map[string]string `json:"json_format"`
	ContentType string            `json:"content_type"`
}

func (f *recordedFormat) config(t *testing.T) *config.BodyFormat {
	if f == nil {
		return nil
	}
	b := &config.BodyFormat{ContentType: f.ContentType}
	if f.Text != nil {
		var err error
		b.Text, err = format.Parse(f.Text.Inline)
		require.NoError(t, err)
	} else {
		fields := map[string]any{}
		for name, value := range f.JSON {
			fields[name] = value
		}
		var err error
		b.JSON, err = format.ParseJSON(fields, false)
		require.NoError(t, err)
	}
	return b
}

func (r *recordedReply) config(t *testing.T) *config.LocalReplyConfig {
	if r == nil {
		return nil
	}
	c := &config.LocalReplyConfig{Body: r.Body.config(t)}
	for _, m := range r.Mappers {
		status := m.Filter.Status.Comparison.Value.Default
		mapper := config.LocalReplyMapper{
			Filter: func(ex *message.Exchange) bool { return ex.Response.Status == status },
			Status: m.Status,
			Format: m.Format.config(t),
		}
		if m.Body != nil {
			mapper.Body = &m.Body.Inline
		}
		for _, h := range m.Headers {
			value, err := format.Parse(h.Header.Value)
			require.NoError(t, err)
			mutation := config.HeaderMutation{Name: h.Header.Key, Value: value}
			if strings.HasPrefix(h.Action, "OVERWRITE") {
				mutation.Action = config.OverwriteOrAdd
			}
			mapper.Headers = append(mapper.Headers, mutation)
		}
		c.Mappers = append(c.Mappers, mapper)
	}
	return c
}

// recordedReplies are what the routes of the recording answer, or the clusters that they forward to.
var recordedReplies = map[string]struct {
	Reply
	location string
	noFields bool // that the virtual host would add
	attempt  bool
}{
	"/nope":     {Reply: Reply{Status: 404, Details: "route_not_found", Flags: message.NoRoute}, noFields: true},
	"/direct":   {Reply: Reply{Status: 418, Body: "tea é \"q\"", Details: "direct_response"}},
	"/nobody":   {Reply: Reply{Status: 403, Details: "direct_response"}},
	"/redirect": {Reply: Reply{Status: 301, Details: "direct_response"}, location: "http://a/x"},
	"/created":  {Reply: Reply{Status: 201, Body: "made", Details: "direct_response"}, location: "http://a/created"},
	"/ctype":    {Reply: Reply{Status: 200, Body: "{}", Details: "direct_response"}},
	"/none":     {Reply: Reply{Status: 503, Body: "no healthy upstream", Details: "no_healthy_upstream", Flags: message.NoHealthyUpstream}, attempt: true},
	"/dead": {Reply: Reply{Status: 503, Body: "upstream connect error or disconnect/reset before headers. reset reason: remote connection failure",
		Details: "upstream_reset_before_response_started{remote_connection_failure|delayed_connect_error:_Connection_refused}",
		Flags:   message.UpstreamConnectionFailure}, attempt: true},
	"/hdr": {Reply: Reply{Status: 503, Details: "cluster_not_found", Flags: message.NoCluster}},
}

func TestRecordedLocalReplies(t *testing.T) {
	rec := load(t, "local.json")
	for i, c := range rec.Cases {
		t.Run(strconv.Itoa(i)+"/"+c.Config, func(t *testing.T) {
			hcm := rec.Configs[c.Config]
			p := newReplay(t, hcm, hcm.http(t), c.Source)
			var parser http1.Parser
			n, head, err := parser.Request([]byte(c.Request), &p.ex.Request)
			if err != nil {
				return
			}
			p.head = head
			path := p.ex.Request.Path
			_, refusal := p.request()
			log := strings.Split(c.Log, " ")
			if c.Upstream != nil || refusal == nil && log[1] == "via_upstream" {
				return // answered by the backend
			}
			if refusal == nil {
				known, ok := recordedReplies[path]
				if !ok { // 204 and 304 with a body, which is not sent here
					return
				}
				refusal = &known.Reply
				if head.Body != http1.NoBody && len(c.Request) > n {
					refusal.Close = true // before the body has been read
				} else if head.Body != http1.NoBody {
					refusal.Close = true
				}
				a := &p.ex.Response
				if known.location != "" {
					a.Fields.Add("location", known.location)
				}
				if path == "/ctype" {
					a.Fields.Add("content-type", "application/json")
				}
				if !known.noFields {
					a.Fields.Add("x-vh", "v")
				}
				if known.attempt {
					CountAttempts(&p.ex, &config.VirtualHost{AttemptsInResponse: true})
				}
			} else if refusal == RefusedUpgrade {
				p.ex.Response.Fields.Add("x-vh", "v")
			}
			assert.Equal(t, normal(c.Answer), normal(p.refuse(refusal)), c.Request)
			assert.Equal(t, log[1], p.ex.Details)
		})
	}
}
