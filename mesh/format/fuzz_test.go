package format_test

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/message"
)

// FuzzParse has any text for a format and any bytes in what it writes: whatever is accepted
// is written, on one line where it is a field, and as JSON where it stands in JSON.
func FuzzParse(f *testing.F) {
	recorded, err := os.ReadFile("testdata/envoy.txt")
	require.NoError(f, err)
	for line := range strings.Lines(string(recorded)) {
		text, _, _ := strings.Cut(line, "\t")
		f.Add(text, "a\"\n\xff%4")
	}
	f.Add("%REQ(a?b):3%%START_TIME(%5a%^Z%%f)%%", "/?\x00")
	f.Fuzz(func(t *testing.T, text, odd string) {
		parsed, err := format.Parse(text)
		j, jsonErr := format.ParseJSON(map[string]any{"a": text, "b": []any{"x" + text}}, true)
		if (err == nil) != (jsonErr == nil) {
			t.Fatalf("%q: as a text: %v, in JSON: %v", text, err, jsonErr)
		}
		if err != nil {
			return
		}
		static, isStatic := parsed.Static()
		for _, ex := range []*message.Exchange{oddExchange(odd), new(message.Exchange)} {
			line := parsed.Append([]byte("before "), ex, "-")
			if !bytes.HasPrefix(line, []byte("before ")) {
				t.Fatalf("%q: what was there is lost: %q", text, line)
			}
			if isStatic && string(line) != "before "+static {
				t.Fatalf("%q: %q is not static", text, line)
			}
			field := parsed.AppendHeader(nil, ex)
			if bytes.ContainsAny(field, "\r\n\x00") {
				t.Fatalf("%q: a field of several lines: %q", text, field)
			}
			for _, object := range [][]byte{j.Append(nil, ex), j.AppendBody(nil, ex)} {
				if !json.Valid(object) || bytes.ContainsAny(object, "\r\n") {
					t.Fatalf("%q: not a line of JSON: %q", text, object)
				}
			}
		}
	})
}

// oddExchange has odd bytes wherever there may be any.
func oddExchange(odd string) *message.Exchange {
	address := message.Address{Text: odd, IP: netip.MustParseAddr("fe80::1%" + "zone"), Port: 1}
	fields := message.Fields{
		{Name: "a", Value: odd}, {Name: "content-type", Value: "application/grpc"}, {Name: "grpc-status", Value: odd},
		{Name: "x-envoy-original-path", Value: odd}, {Name: "x-request-id", Value: odd},
	}
	return &message.Exchange{
		Request:    message.Request{Method: odd, Scheme: odd, Authority: odd, Path: "/?" + odd + "&a=" + odd, Fields: fields},
		Response:   message.Response{Status: 1234, Fields: fields, Trailers: fields},
		Protocol:   odd,
		Downstream: &message.Connection{ID: 1<<64 - 1, Local: address, Remote: message.Address{Text: odd}, Listener: odd},
		Remote:     address,
		Start:      time.Unix(-1<<40, 999999999),
		Points:     message.Points{RequestRead: -1, UpstreamFirstRead: 1 << 62, End: 1 << 62},
		Flags:      1<<32 - 1,
		BytesSent:  1<<64 - 1,
		Details:    odd, ConnectionEnd: odd, TransportFailure: odd,
		Route: odd, Cluster: odd, ClusterAlt: odd, Attempts: -1,
		Upstream: address, UpstreamLocal: address, UpstreamHost: odd, UpstreamProto: odd, UpstreamConn: 1,
		Local: &message.LocalReply{Body: odd},
	}
}
