package http1_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

func TestRequests(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want message.Request
		head http1.Head
		rest string // behind the head
	}{
		"smallest": {
			"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
			message.Request{Method: "GET", Authority: "a", Path: "/"},
			http1.Head{Minor: 1}, "",
		},
		"fields": {
			"POST /a?b=%zz;c HTTP/1.1\r\nhOST:\ta:80 \r\nX-A:1\r\nx_b: \xe9 \"2\",\t3 \r\nX-A:\r\nContent-Length: 12\r\n\r\nGET / HTTP/1",
			message.Request{Method: "POST", Authority: "a:80", Path: "/a?b=%zz;c", Fields: message.Fields{
				{Name: "x-a", Value: "1"}, {Name: "x_b", Value: "\xe9 \"2\",\t3"}, {Name: "x-a", Value: ""}, {Name: "content-length", Value: "12"}}},
			http1.Head{Minor: 1, Body: 12}, "GET / HTTP/1",
		},
		"chunked": {
			"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ChunkeD\r\nConnection: Close , x-y\r\nExpect: 100-Continue\r\n\r\n0\r\n\r\n",
			message.Request{Method: "PUT", Authority: "a", Path: "/", Fields: message.Fields{
				{Name: "transfer-encoding", Value: "ChunkeD"}, {Name: "connection", Value: "Close , x-y"}, {Name: "expect", Value: "100-Continue"}}},
			http1.Head{Minor: 1, Body: http1.InChunks, Close: true, Continue: true, Connection: true}, "0\r\n\r\n",
		},
		"an empty line before": {
			"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
			message.Request{Method: "GET", Authority: "a", Path: "/"},
			http1.Head{Minor: 1}, "",
		},
		"HTTP/1.0": {
			"GET / HTTP/1.0\r\n\r\n",
			message.Request{Method: "GET", NoHost: true, Path: "/"},
			http1.Head{Close: true}, "",
		},
		"HTTP/1.0 that goes on": {
			"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
			message.Request{Method: "GET", NoHost: true, Path: "/", Fields: message.Fields{{Name: "connection", Value: "keep-alive"}}},
			http1.Head{Connection: true}, "",
		},
		"absolute form": {
			"GET HTTPS://b:8?q HTTP/1.1\r\nHost: a\r\n\r\n",
			message.Request{Method: "GET", Scheme: "https", Authority: "b:8", Path: "?q"},
			http1.Head{Minor: 1}, "",
		},
		"asterisk": {
			"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
			message.Request{Method: "OPTIONS", Authority: "a", Path: "*"},
			http1.Head{Minor: 1}, "",
		},
		"upgrade": {
			"GET /ws HTTP/1.1\r\nHost: [::1]:80\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n",
			message.Request{Method: "GET", Authority: "[::1]:80", Path: "/ws", Fields: message.Fields{
				{Name: "connection", Value: "keep-alive, Upgrade"}, {Name: "upgrade", Value: "websocket"}}},
			http1.Head{Minor: 1, Upgrade: true, Connection: true}, "",
		},
		"authority form": {
			"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
			message.Request{Method: "CONNECT", Authority: "a:443"},
			http1.Head{Minor: 1}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			requireRequest := func(p *http1.Parser, b []byte) {
				var r message.Request
				n, head, err := p.Request(b, &r)
				require.NoError(t, err)
				require.Equal(t, c.rest, string(b[n:]))
				require.Equal(t, fieldBytes(r.Fields, c.text), head.FieldBytes)
				head.FieldBytes = 0
				require.Equal(t, c.head, head)
				if len(c.want.Fields) == 0 && len(r.Fields) == 0 {
					r.Fields = nil
				}
				require.Equal(t, c.want, r)
			}
			requireRequest(new(http1.Parser), []byte(c.text))

			// A byte at a time, twice with one parser.
			var p http1.Parser
			for range 2 {
				b := []byte(c.text)
				for n := range len(c.text) - len(c.rest) {
					var r message.Request
					got, _, err := p.Request(b[:n], &r)
					require.NoError(t, err)
					require.Zero(t, got)
				}
				requireRequest(&p, b)
			}
		})
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	const host = "Host: a\r\n"
	for text, status := range map[string]int{
		// RFC 9112, section 2.2.
		"GET / HTTP/1.1\nHost: a\r\n\r\n":         400,
		"GET / HTTP/1.1\r\nHost: a\n\r\n":         400,
		"GET / HTTP/1.1\r\nHost: a\r\n\n":         400,
		"\nGET / HTTP/1.1\r\n" + host + "\r\n":    400,
		"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n":     400,
		"GET / HTTP/1.1\r\n\rHost: a\r\n\r\n":     400,
		"\r\n\r\nGET / HTTP/1.1\r\n\r\n":          400,
		"GET / HTTP/1.1\r\n Host: a\r\n\r\n":      400,
		"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n": 400,
		// Section 3.
		"GET  / HTTP/1.1\r\n" + host + "\r\n":          400,
		"GET / HTTP/1.1 \r\n" + host + "\r\n":          400,
		" GET / HTTP/1.1\r\n" + host + "\r\n":          400,
		"GET\t/ HTTP/1.1\r\n" + host + "\r\n":          400,
		"GET /a b HTTP/1.1\r\n" + host + "\r\n":        400,
		"GET / http/1.1\r\n" + host + "\r\n":           400,
		"GET / HTTP/1.1x\r\n" + host + "\r\n":          400,
		"GET / HTTP/11\r\n" + host + "\r\n":            400,
		"GET / HTTP/1.\xb9\r\n" + host + "\r\n":        400,
		"GET / HTTPS/1.1\r\n" + host + "\r\n":          400,
		"get / HTTP/1.1\r\n" + host + "\r\n":           400,
		"FOO / HTTP/1.1\r\n" + host + "\r\n":           400,
		"GET /#a HTTP/1.1\r\n" + host + "\r\n":         400,
		"GET /\xe9 HTTP/1.1\r\n" + host + "\r\n":       400,
		"GET /\x00 HTTP/1.1\r\n" + host + "\r\n":       400,
		"GET /\x7f HTTP/1.1\r\n" + host + "\r\n":       400,
		"GET a HTTP/1.1\r\n" + host + "\r\n":           400,
		"GET * HTTP/1.1\r\n" + host + "\r\n":           400,
		"GET ?a HTTP/1.1\r\n" + host + "\r\n":          400,
		"GET ftp://a/ HTTP/1.1\r\n" + host + "\r\n":    400,
		"GET http:///b HTTP/1.1\r\n" + host + "\r\n":   400,
		"GET http://\"/b HTTP/1.1\r\n" + host + "\r\n": 400,
		"CONNECT /a HTTP/1.1\r\n" + host + "\r\n":      400,
		"GET / HTTP/1.2\r\n" + host + "\r\n":           426,
		"GET / HTTP/2.0\r\n" + host + "\r\n":           426,
		"GET / HTTP/0.9\r\n" + host + "\r\n":           426,
		"GET /\r\n\r\n":                                426,
		// Section 5.
		"GET / HTTP/1.1\r\n" + host + "A : b\r\n\r\n":      400,
		"GET / HTTP/1.1\r\n" + host + "A\t: b\r\n\r\n":     400,
		"GET / HTTP/1.1\r\n" + host + ": b\r\n\r\n":        400,
		"GET / HTTP/1.1\r\n" + host + "A\r\n\r\n":          400,
		"GET / HTTP/1.1\r\n" + host + "A\x00: b\r\n\r\n":   400,
		"GET / HTTP/1.1\r\n" + host + "A\xe9: b\r\n\r\n":   400,
		"GET / HTTP/1.1\r\n" + host + "(A): b\r\n\r\n":     400,
		"GET / HTTP/1.1\r\n" + host + "A: b\x00c\r\n\r\n":  400,
		"GET / HTTP/1.1\r\n" + host + "A: b\rc\r\n\r\n":    400,
		"GET / HTTP/1.1\r\n" + host + "A: b\x7f\r\n\r\n":   400,
		"GET / HTTP/1.1\r\n" + host + "A: \x0bb\r\n\r\n":   400,
		"GET / HTTP/1.1\r\n" + host + "A: b\r\n c\r\n\r\n": 400,
		// Section 3.2.
		"GET / HTTP/1.1\r\n\r\n":                    400,
		"GET / HTTP/1.1\r\n" + host + host + "\r\n": 400,
		"GET / HTTP/1.0\r\n" + host + host + "\r\n": 400,
		"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n":      400,
		"GET / HTTP/1.1\r\nHost: a b\r\n\r\n":       400,
		"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n":       400,
		"GET / HTTP/1.1\r\nHost: \"a\"\r\n\r\n":     400,
		// Section 6.
		"GET / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc":                 400,
		"GET / HTTP/1.1\r\n" + host + "Content-Length: 3, 3\r\n\r\nabc":                                   400,
		"GET / HTTP/1.1\r\n" + host + "Content-Length: +3\r\n\r\nabc":                                     400,
		"GET / HTTP/1.1\r\n" + host + "Content-Length: -3\r\n\r\nabc":                                     400,
		"GET / HTTP/1.1\r\n" + host + "Content-Length: 0x3\r\n\r\nabc":                                    400,
		"GET / HTTP/1.1\r\n" + host + "Content-Length: 3 3\r\n\r\nabc":                                    400,
		"GET / HTTP/1.1\r\n" + host + "Content-Length:\r\n\r\n":                                           400,
		"GET / HTTP/1.1\r\n" + host + "Content-Length: 9999999999999999999\r\n\r\n":                       400,
		"GET / HTTP/1.1\r\n" + host + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n":           400,
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n":           400,
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\nContent-Length: 3\r\n\r\n":              400,
		"GET / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n":                                400,
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip\r\n\r\n":                                   501,
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: identity\r\n\r\n":                               501,
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding:\r\n\r\n":                                        501,
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: \x0bchunked\r\n\r\n":                            400,
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked, chunked\r\n\r\n":                       501,
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: gzip, chunked\r\n\r\n":                          501,
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n":  501,
		"GET / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n": 501,
		// Limits.
		"GET / HTTP/1.1\r\n" + host + "A: " + strings.Repeat("b", 60<<10) + "\r\n\r\n": 431,
		"GET /" + strings.Repeat("b", 60<<10) + " HTTP/1.1\r\n" + host + "\r\n":        431,
		"GET /" + strings.Repeat("b", 61<<10):                                          431,
		"GET / HTTP/1.1\r\n" + host + strings.Repeat("A: b\r\n", 100) + "\r\n":         431,
	} {
		refused := func(p *http1.Parser, b []byte) error {
			var r message.Request
			n, _, err := p.Request(b, &r)
			if err == nil {
				require.Zero(t, n, text)
			}
			return err
		}
		requireStatus := func(err error) {
			var e *http1.Error
			require.True(t, errors.As(err, &e), "%.100q: %v", text, err)
			require.Equal(t, status, e.Status, "%.100q: %v", text, err)
		}
		requireStatus(refused(new(http1.Parser), []byte(text)))

		var p http1.Parser
		var err error
		for n := 0; n <= len(text) && err == nil; n += 1 + n/1000 {
			err = refused(&p, []byte(text[:n]))
		}
		requireStatus(err)
	}
}

// What fits the limits exactly is taken.
func TestLimits(t *testing.T) {
	text := "GET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n"
	for _, c := range []struct {
		limits http1.Limits
		status int
	}{
		{http1.Limits{Bytes: len(text), Fields: 2}, 0},
		{http1.Limits{Bytes: len(text) - 1}, 431},
		{http1.Limits{Fields: 1}, 431},
	} {
		p := http1.Parser{Limits: c.limits}
		var r message.Request
		_, _, err := p.Request([]byte(text), &r)
		if c.status == 0 {
			require.NoError(t, err)
			continue
		}
		require.Equal(t, c.status, err.(*http1.Error).Status)
	}
}

func TestARequestAllocatesItsTextAlone(t *testing.T) {
	text := []byte("GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n")
	b := make([]byte, len(text))
	var p http1.Parser
	var r message.Request
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		copy(b, text)
		if n, _, err := p.Request(b, &r); n != len(b) || err != nil {
			t.Error(n, err)
		}
	}), 1.0)
}

// fieldBytes counts a head's fields, of which Host is in its text alone.
func fieldBytes(fields message.Fields, text string) (n int) {
	for _, f := range fields {
		n += len(f.Name) + len(f.Value) + 3
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "host") {
			n += len("host") + len(strings.Trim(value, " \t")) + 3
		}
	}
	return max(n, 3)
}
