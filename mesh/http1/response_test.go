package http1_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

func TestResponses(t *testing.T) {
	for text, c := range map[string]struct {
		method string
		status int
		head   http1.Head
	}{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n":                                {"GET", 200, http1.Head{Minor: 1, Body: 3}},
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n":                                {"HEAD", 200, http1.Head{Minor: 1}},
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n":                       {"GET", 200, http1.Head{Minor: 1, Body: http1.InChunks}},
		"HTTP/1.1 200 \r\nContent-Length: 0\r\nConnection: close\r\n\r\n":             {"GET", 200, http1.Head{Minor: 1, Close: true, SaysClose: true, Connection: true}},
		"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n":                                   {"GET", 200, http1.Head{Minor: 1}},
		"HTTP/1.1 200 \xe9 \t!\r\nContent-Length: 1\r\n\r\n":                          {"GET", 200, http1.Head{Minor: 1, Body: 1}},
		"HTTP/1.1 500 Oh\r\n\r\n":                                                     {"GET", 500, http1.Head{Minor: 1, Body: http1.UntilClose, Close: true}},
		"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n":                                {"GET", 200, http1.Head{Body: 2, Close: true, SaysClose: true}},
		"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\n\r\n":      {"GET", 200, http1.Head{Body: 5, Connection: true}},
		"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n":                        {"GET", 204, http1.Head{Minor: 1}},
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n":                      {"GET", 304, http1.Head{Minor: 1}},
		"HTTP/1.1 100 Continue\r\n\r\n":                                               {"POST", 100, http1.Head{Minor: 1}},
		"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n": {"GET", 101, http1.Head{Minor: 1, Upgrade: true, Connection: true}},
		"HTTP/1.1 200 C\r\n\r\n":                                                      {"CONNECT", 200, http1.Head{Minor: 1}},
	} {
		var r message.Response
		n, head, err := new(http1.Parser).Response([]byte(text+"rest"), c.method, &r)
		require.NoError(t, err, "%q", text)
		require.Equal(t, len(text), n, "%q", text)
		require.Equal(t, c.status, r.Status, "%q", text)
		require.Equal(t, fieldBytes(r.Fields, ""), head.FieldBytes, "%q", text)
		head.FieldBytes = 0
		require.Equal(t, c.head, head, "%q", text)
	}
}

func TestResponsesThatAreRefused(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 99 X\r\n\r\n", "HTTP/1.1 099 X\r\n\r\n", "HTTP/1.1 2000 X\r\n\r\n", "HTTP/1.1 -20 X\r\n\r\n", "HTTP/1.1  200 X\r\n\r\n",
		"HTTP/2.0 200 X\r\n\r\n", "HTTP/1.2 200 X\r\n\r\n", "http/1.1 200 X\r\n\r\n", "garbage\r\n\r\n", "\r\nHTTP/1.1 200 X\r\n\r\n",
		"HTTP/1.1 200 \x00\r\n\r\n", "HTTP/1.1 200 OK\n\n", "HTTP/1.1 200\tOK\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		// RFC 9110, sections 8.6 and 15.2: what follows would be somebody's body.
		"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 304 OK\r\nContent-Length: x\r\n\r\n",
	} {
		var r message.Response
		_, _, err := new(http1.Parser).Response([]byte(text), "GET", &r)
		var e *http1.Error
		require.ErrorAs(t, err, &e, "%q", text)
	}
}
