package route

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// Recorded from Envoy 1.40.0 as well.
func TestDirectResponseWithFormat(t *testing.T) {
	for _, c := range []struct {
		name               string
		direct             config.DirectResponse
		location, body, of string
	}{
		{"no format", config.DirectResponse{Status: 200, Body: "raw"}, "", "raw", ""},
		{"text", config.DirectResponse{Status: 200, Body: "raw", Format: &config.BodyFormat{
			Text: static("[%REQ(:path)%|%REQ(none)%|%LOCAL_REPLY_BODY%|%RESPONSE_CODE%]"),
		}}, "", "[/dt|-|raw|0]", ""},
		{"text with a type", config.DirectResponse{Status: 201, Format: &config.BodyFormat{Text: static("t"), ContentType: "x/y"}}, "http://old/dt", "t", "x/y"},
		{"empty", config.DirectResponse{Status: 399, Format: &config.BodyFormat{Text: static(""), ContentType: "x/y"}}, "http://old/dt", "", ""},
		{"omitted", config.DirectResponse{Status: 200, Format: &config.BodyFormat{Text: static("%REQ(none)%"), OmitEmpty: true}}, "", "", ""},
	} {
		table := New(&config.RouteConfig{VirtualHosts: []*config.VirtualHost{{
			Domains: []string{"*"}, Routes: []*config.Route{{Match: config.RouteMatch{Prefix: new("/")}, Direct: &c.direct}},
		}}})
		ex := &message.Exchange{Request: message.Request{Scheme: "http", Authority: "old", Path: "/dt"}}
		_, r := table.Match(ex, 0)
		status, location, body, contentType := r.Direct(nil, ex)
		assert.Equal(t, c.direct.Status, status, c.name)
		assert.Equal(t, c.location, location, c.name)
		assert.Equal(t, c.body, string(body), c.name)
		assert.Equal(t, c.of, contentType, c.name)
	}
}
