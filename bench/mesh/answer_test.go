//go:build linux

package main

import (
	"fmt"
	"hash/crc32"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseAnswer(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Backend: 2\r\n\r\n"
	for _, test := range []struct {
		name, bytes string
		want        *answer
		err         error
	}{
		{"complete", head + "body", &answer{200, 4, 2}, nil},
		{"lower case", "HTTP/1.1 404 Not Found\r\ncontent-length:0\r\n\r\n", &answer{404, 0, -1}, nil},
		{"head incomplete", head[:20], nil, nil},
		{"body incomplete", head + "bod", nil, nil},
		{"no length", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", nil, errHead},
		{"closes", "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n", nil, errClose},
		{"not HTTP", "nonsense that ends\r\n\r\n", nil, errHead},
		{"no status", "HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n", nil, errHead},
	} {
		t.Run(test.name, func(t *testing.T) {
			a, size, err := parseAnswer([]byte(test.bytes))
			assert.Equal(t, test.want, a)
			assert.Equal(t, test.err, err)
			if a != nil {
				assert.Equal(t, len(test.bytes), size)
			}
		})
	}
}

func TestField(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: a\r\ncontent-lengths: 7\r\nCONTENT-LENGTH:  12 \r\nempty:\r\n\r\n")
	assert.Equal(t, "12", string(field(head, "content-length")))
	assert.Equal(t, "a", string(field(head, "host")))
	assert.Empty(t, field(head, "empty"))
	assert.Nil(t, field(head, "other"))
}

// A backend answers what is pipelined, and requests that come in pieces.
func TestBackend(t *testing.T) {
	client, server := net.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- newBackend(1).serve(server) }()
	body := patternBody(100_000)
	go func() {
		for _, piece := range []string{
			"GET /item/1 HTTP/1.1\r\nhost: a\r\n\r\nPUT /upload/check HTTP/1.1\r\ncontent-", "length: 100000\r\n\r\n",
			string(body[:70_000]), string(body[70_000:]) + "GET /item/2 HTTP/1.1\r\n", "\r\n",
		} {
			_, _ = client.Write([]byte(piece))
		}
	}()
	c := bulkConn{conn: client, buffer: make([]byte, 16<<10)}
	read := func() string {
		length, got, err := c.readHead()
		require.NoError(t, err)
		body := make([]byte, length)
		have := copy(body, got)
		for have < length {
			n, err := client.Read(body[have:])
			require.NoError(t, err)
			have += n
		}
		return string(body)
	}
	assert.Equal(t, string(patternBody(smallBody)), read())
	assert.Equal(t, fmt.Sprintf("100000 %08x", crc32.ChecksumIEEE(body)), read())
	assert.Equal(t, string(patternBody(smallBody)), read())
	require.NoError(t, client.Close())
	assert.Error(t, <-ended)
}
