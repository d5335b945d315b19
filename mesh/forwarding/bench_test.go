package forwarding

import (
	"net/netip"
	"testing"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// BenchmarkExchange is what a request of a browser and its answer cost, without routes: what is allocated is the
// request's ID, and what the client's address is joined to.
func BenchmarkExchange(b *testing.B) {
	request := message.Fields{
		{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
		{Name: "accept", Value: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
		{Name: "accept-language", Value: "en-US,en;q=0.5"},
		{Name: "accept-encoding", Value: "gzip, deflate, br"},
		{Name: "connection", Value: "keep-alive"},
		{Name: "cookie", Value: "session=0123456789abcdef"},
	}
	answer := message.Fields{
		{Name: "content-type", Value: "text/html"},
		{Name: "content-length", Value: "1024"},
		{Name: "server", Value: "backend"},
	}
	forward, vh := &config.Forward{Timeout: defaultTimeout}, &config.VirtualHost{}
	remote := netip.MustParseAddr("10.1.2.3")
	connection := &message.Connection{Remote: message.Address{Text: "10.1.2.3:40000", IP: remote, Port: 40000}}
	for name, h := range map[string]*config.HTTP{
		"default": {ServerName: "envoy", GenerateRequestID: true},
		"edge":    {ServerName: "envoy", GenerateRequestID: true, UseRemoteAddress: true},
	} {
		b.Run("config="+name, func(b *testing.B) {
			r := New(h, Options{})
			var s State
			ex := message.Exchange{Downstream: connection}
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				s.Reset()
				ex.Request = message.Request{Method: "GET", Scheme: "http", Authority: "a.test", Path: "/index.html", Fields: append(ex.Request.Fields[:0], request...)}
				if refusal := r.Check(&ex, http1.Head{Minor: 1, Connection: true}, &s); refusal != nil {
					b.Fatal(refusal.Details)
				}
				r.Request(&ex, &s, [2]uint64{i, i})
				if _, refusal := r.Plan(&ex, &s, vh, forward, nil); refusal != nil {
					b.Fatal(refusal.Details)
				}
				r.Retries(&ex, &s, nil)
				ex.Response = message.Response{Status: 200, Fields: append(ex.Response.Fields[:0], answer...)}
				r.Answer(&ex, &s, 0)
				CountAttempts(&ex, vh)
				r.Response(&ex, &s, 1024, testNow)
			}
		})
	}
}
