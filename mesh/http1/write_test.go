package http1_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

func TestAppendRequest(t *testing.T) {
	fields := message.Fields{{Name: "a", Value: "b"}, {Name: "c", Value: ""}}
	for _, c := range []struct {
		method string
		fields message.Fields
		body   http1.Body
		want   string
	}{
		{"GET", fields, http1.NoBody, "GET /x?y HTTP/1.1\r\nhost: h:80\r\na: b\r\nc: \r\n\r\n"},
		{"POST", nil, http1.NoBody, "POST /x?y HTTP/1.1\r\nhost: h:80\r\ncontent-length: 0\r\n\r\n"},
		{"POST", message.Fields{{Name: "content-length", Value: "0"}}, http1.NoBody, "POST /x?y HTTP/1.1\r\nhost: h:80\r\ncontent-length: 0\r\n\r\n"},
		{"GET", message.Fields{{Name: "content-length", Value: "3"}}, 3, "GET /x?y HTTP/1.1\r\nhost: h:80\r\ncontent-length: 3\r\n\r\n"},
		{"DELETE", nil, http1.InChunks, "DELETE /x?y HTTP/1.1\r\nhost: h:80\r\ntransfer-encoding: chunked\r\n\r\n"},
		{"CONNECT", nil, http1.NoBody, "CONNECT h:80 HTTP/1.1\r\nhost: h:80\r\n\r\n"},
	} {
		r := message.Request{Method: c.method, Authority: "h:80", Path: "/x?y", Fields: c.fields}
		require.Equal(t, "before"+c.want, string(http1.AppendRequest([]byte("before"), &r, c.body)))
	}
}

func TestAppendResponse(t *testing.T) {
	fields := message.Fields{{Name: "a", Value: "b"}}
	for _, c := range []struct {
		status int
		answer http1.Answer
		want   string
	}{
		{200, http1.Answer{Body: 3}, "HTTP/1.1 200 OK\r\na: b\r\n\r\n"},
		{299, http1.Answer{Empty: true}, "HTTP/1.1 299 Unknown\r\na: b\r\ncontent-length: 0\r\n\r\n"},
		{404, http1.Answer{Body: http1.InChunks, Close: true},
			"HTTP/1.1 404 Not Found\r\na: b\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"},
		{413, http1.Answer{Empty: true, Close: true},
			"HTTP/1.1 413 Payload Too Large\r\na: b\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"},
		{200, http1.Answer{Body: 3, Old: true}, "HTTP/1.0 200 OK\r\na: b\r\nconnection: keep-alive\r\n\r\n"},
		{200, http1.Answer{Body: http1.UntilClose, Old: true, Close: true}, "HTTP/1.0 200 OK\r\na: b\r\nconnection: close\r\n\r\n"},
	} {
		r := message.Response{Status: c.status, Fields: fields}
		require.Equal(t, "before"+c.want, string(http1.AppendResponse([]byte("before"), &r, c.answer)))
	}
}

// What is written in chunks is read again.
func TestAppendChunk(t *testing.T) {
	var b []byte
	want := ""
	for _, data := range []string{"a", "0123456789abcdef", "\r\n0\r\n\r\n"} {
		b = http1.AppendChunk(b, []byte(data))
		want += data
	}
	body, rest, end, err := read(http1.AppendEnd(b), 5)
	require.NoError(t, err)
	require.True(t, end)
	require.Empty(t, rest)
	require.Equal(t, want, body)
}
