package echo_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/internal/echo"
)

func start(t *testing.T) *echo.Server {
	t.Helper()
	s, err := echo.Start("a", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, s.Close()) })
	return s
}

func dial(t *testing.T, s *echo.Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// send sends bytes, and closes its side so that the answers end with the connection.
func send(t *testing.T, s *echo.Server, request string) string {
	t.Helper()
	c := dial(t, s)
	_, err := io.WriteString(c, request)
	require.NoError(t, err)
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(c)
	require.NoError(t, err)
	return string(answer)
}

func sum(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func TestShowsTheRequestAsItCame(t *testing.T) {
	s := start(t)
	head := "POST /a%2fb?x=1 HTTP/1.1\r\nHost: b.test\r\nX-Odd:  two  blanks \r\nx-high: \xe9\r\nTransfer-Encoding: chunked\r\n\r\n"
	answer := send(t, s, head+"5;ext=1\r\nhello\r\n1\r\n!\r\n0\r\nx-t: 1\r\n\r\n")

	response, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
	require.NoError(t, err)
	assert.Equal(t, 200, response.StatusCode)
	assert.Equal(t, "a", response.Header.Get("x-echo-backend"))
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	seen, err := echo.Parse(body)
	require.NoError(t, err)
	want := echo.Request{
		Backend: "a", Head: head, Chunked: true,
		BodyLength: 6, BodyHash: sum("hello!"), Trailers: "x-t: 1\r\n", Complete: true,
	}
	assert.Equal(t, want, seen)

	want.Conn, want.Body = 1, "hello!"
	require.Equal(t, []echo.Request{want}, s.Requests())
	assert.Equal(t, "POST", seen.Method())
	assert.Equal(t, "/a%2fb?x=1", seen.Target())
	assert.Equal(t, []string{"Host: b.test", "X-Odd:  two  blanks ", "x-high: \xe9", "Transfer-Encoding: chunked"}, seen.Fields())
	assert.Equal(t, "two  blanks", seen.Value("x-odd"))
	assert.Empty(t, seen.Value("absent"))

	s.Forget()
	assert.Empty(t, s.Requests())
	_, err = echo.Parse([]byte("another"))
	assert.Error(t, err)
}

func TestAnswers(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nhost: b\r\n"
	const field = "x-echo-backend: a\r\n"
	raw := "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy"
	tests := []struct{ name, request, answer string }{
		{"status", get + "x-echo-status: 404\r\nx-echo-body: 0\r\n\r\n",
			"HTTP/1.1 404 Not Found\r\n" + field + "content-length: 0\r\n\r\n"},
		{"of the query", "GET /health?x-echo-status=503&x-echo-body=1 HTTP/1.1\r\n\r\n",
			"HTTP/1.1 503 Service Unavailable\r\n" + field + "content-length: 1\r\n\r\n0"},
		{"no body with 204", get + "x-echo-status: 204\r\n\r\n",
			"HTTP/1.1 204 No Content\r\n" + field + "\r\n"},
		{"no body to HEAD", "HEAD / HTTP/1.1\r\nx-echo-body: 7\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + field + "content-length: 7\r\n\r\n"},
		{"fields", get + "x-echo-header: a=b=c\r\nx-echo-header: a=d, e\r\nx-echo-body: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\na: b=c\r\na: d, e\r\n" + field + "content-length: 0\r\n\r\n"},
		{"chunked", get + "x-echo-chunked: 1\r\nx-echo-body: 3\r\nx-echo-trailer: a=b\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + field + "transfer-encoding: chunked\r\n\r\n3\r\n000\r\n0\r\na: b\r\n\r\n"},
		{"until close", get + "x-echo-until-close: 1\r\nx-echo-body: 3\r\n\r\n" + get + "\r\n",
			"HTTP/1.1 200 OK\r\n" + field + "\r\n000"},
		{"raw", get + "x-echo-raw: " + base64.StdEncoding.EncodeToString([]byte(raw)) + "\r\n\r\n", raw},
		{"delay and stall", get + "x-echo-delay: 1\r\nx-echo-stall: 1\r\nx-echo-body: 1\r\n\r\n", ""}, // the peer has hung up
		{"close before the head", get + "x-echo-close: before-head\r\n\r\n" + get + "\r\n", ""},
		{"close after the head", get + "x-echo-close: after-head\r\nx-echo-body: 4\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + field + "content-length: 4\r\n\r\n"},
		{"close mid-body", get + "x-echo-close: mid-body\r\nx-echo-body: 4\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + field + "content-length: 4\r\n\r\n00"},
		{"close mid-body, chunked", get + "x-echo-close: mid-body\r\nx-echo-chunked: 1\r\nx-echo-body: 4\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + field + "transfer-encoding: chunked\r\n\r\n2\r\n00\r\n"},
		{"close after", get + "x-echo-close: after\r\nx-echo-body: 0\r\n\r\n" + get + "\r\n",
			"HTTP/1.1 200 OK\r\n" + field + "content-length: 0\r\n\r\n"},
		{"as asked by connection: close", get + "connection: close\r\nx-echo-body: 0\r\n\r\n" + get + "\r\n",
			"HTTP/1.1 200 OK\r\n" + field + "content-length: 0\r\n\r\n"},
		{"upgrade", get + "connection: Upgrade\r\nupgrade: websocket\r\n\r\nping",
			"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n" + field + "\r\nping"},
		{"upgrade refused", get + "connection: upgrade\r\nupgrade: websocket\r\nx-echo-upgrade: 0\r\nx-echo-body: 0\r\n\r\n",
			"HTTP/1.1 200 OK\r\n" + field + "content-length: 0\r\n\r\n"},
		{"malformed", "GET /\r\n\r\n",
			"HTTP/1.1 400 Bad Request\r\ncontent-length: 23\r\nconnection: close\r\n\r\necho: malformed request"},
		{"malformed chunk", "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
			"HTTP/1.1 400 Bad Request\r\ncontent-length: 23\r\nconnection: close\r\n\r\necho: malformed request"},
		{"not a status", get + "x-echo-status: 2000\r\n\r\n",
			"HTTP/1.1 400 Bad Request\r\ncontent-length: 48\r\nconnection: close\r\n\r\nx-echo-status or x-echo-fail: not a status: 2000"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			assert.Equal(t, test.answer, send(t, start(t), test.request))
		})
	}
}

func TestWaits(t *testing.T) {
	s := start(t)
	c := dial(t, s)
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nx-echo-delay: 1\r\nx-echo-stall: 1\r\nx-echo-body: 1\r\n\r\n")
	require.NoError(t, err)
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, "0", string(body))
}

func TestResets(t *testing.T) {
	for _, where := range []string{"before-head", "after-head", "mid-body", "after"} {
		c := dial(t, start(t))
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nx-echo-reset: "+where+"\r\n\r\n")
		require.NoError(t, err)
		_, err = io.ReadAll(c)
		assert.ErrorContains(t, err, "reset", where)
	}
}

func TestFailsTheFirst(t *testing.T) {
	s := start(t)
	get := func(fields string) string {
		line, _, _ := strings.Cut(send(t, s, "GET / HTTP/1.1\r\nx-echo-fail-first: 2\r\n"+fields+"\r\n"), "\r\n")
		return line
	}
	const failed, good = "HTTP/1.1 503 Service Unavailable", "HTTP/1.1 200 OK"
	assert.Equal(t, failed, get("x-echo-id: 1\r\n"))
	assert.Equal(t, failed, get("x-echo-id: 1\r\n"))
	assert.Equal(t, "", get("x-echo-id: 2\r\nx-echo-fail: close\r\n"))
	assert.Equal(t, "HTTP/1.1 409 Conflict", get("x-echo-id: 2\r\nx-echo-fail: 409\r\n"))
	assert.Equal(t, good, get("x-echo-id: 1\r\n"))
	assert.Equal(t, good, get("x-echo-id: 2\r\n"))
}

func TestSetStatus(t *testing.T) {
	s := start(t)
	s.SetStatus(503)
	assert.Contains(t, send(t, s, "GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 503 ")
	assert.Contains(t, send(t, s, "GET / HTTP/1.1\r\nx-echo-status: 201\r\n\r\n"), "HTTP/1.1 201 ")
}

func TestEarlyAnswer(t *testing.T) {
	s := start(t)
	c := dial(t, s)
	in := bufio.NewReader(c)
	_, err := io.WriteString(c, "PUT / HTTP/1.1\r\ncontent-length: 5\r\nx-echo-early: 1\r\nx-echo-status: 413\r\nx-echo-body: 0\r\n\r\n")
	require.NoError(t, err)
	response, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	assert.Equal(t, 413, response.StatusCode)
	_, err = io.WriteString(c, "helloGET / HTTP/1.1\r\n\r\n")
	require.NoError(t, err)
	response, err = http.ReadResponse(in, nil)
	require.NoError(t, err)
	assert.Equal(t, 200, response.StatusCode)
	assert.False(t, s.Requests()[0].Complete)
}

func TestRecordsABodyCutShort(t *testing.T) {
	s := start(t)
	assert.Empty(t, send(t, s, "PUT / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhello"))
	require.Len(t, s.Requests(), 1)
	assert.False(t, s.Requests()[0].Complete)
	assert.Equal(t, "hello", s.Requests()[0].Body)
}

func TestConnections(t *testing.T) {
	s := start(t)
	c := dial(t, s)
	in := bufio.NewReader(c)
	for range 2 {
		_, err := io.WriteString(c, "GET / HTTP/1.1\r\nx-echo-body: 0\r\n\r\n")
		require.NoError(t, err)
		_, err = http.ReadResponse(in, nil)
		require.NoError(t, err)
	}
	assert.Equal(t, 1, s.Accepted())
	assert.Equal(t, 1, s.Open())
	assert.Equal(t, 1, s.Requests()[1].Conn)
	s.CloseConns()
	_, err := in.ReadByte()
	assert.ErrorIs(t, err, io.EOF)
	send(t, s, "GET / HTTP/1.1\r\n\r\n")
	assert.Equal(t, 2, s.Accepted())
}

func TestCloseEndsWhatWaits(t *testing.T) {
	s := start(t)
	c := dial(t, s)
	_, err := io.WriteString(c, "GET / HTTP/1.1\r\nx-echo-body: 1\r\nx-echo-stall: 3600000\r\n\r\nGET")
	require.NoError(t, err)
	_, err = http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	_, err = net.Dial("tcp", s.Addr())
	assert.Error(t, err)
}

func TestProxyProtocol(t *testing.T) {
	s := start(t)
	v2 := "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x02\x00\x50\x00\x51"
	send(t, s, "PROXY TCP4 127.0.0.1 127.0.0.2 80 81\r\nGET / HTTP/1.1\r\n\r\n")
	send(t, s, v2+"GET / HTTP/1.1\r\n\r\n")
	send(t, s, "PUT / HTTP/1.1\r\n\r\n")
	requests := s.Requests()
	require.Len(t, requests, 3)
	assert.Equal(t, "PROXY TCP4 127.0.0.1 127.0.0.2 80 81", requests[0].Proxy)
	assert.Equal(t, hex.EncodeToString([]byte(v2)), requests[1].Proxy)
	assert.Equal(t, "", requests[2].Proxy)
	assert.Equal(t, "GET / HTTP/1.1\r\n\r\n", requests[1].Head)
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := echo.Start("u", "unix:"+path)
	require.NoError(t, err)
	defer s.Close()
	assert.Equal(t, path, s.Addr())
	assert.Zero(t, s.Port())
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nconnection: close\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(c)
	require.NoError(t, err)
	assert.Contains(t, string(answer), "backend: u\n")
}

func TestBody(t *testing.T) {
	assert.Empty(t, echo.Body(0))
	b := echo.Body(100)
	assert.Len(t, b, 100)
	assert.Equal(t, strings.Repeat("0", 63)+"\n"+strings.Repeat("0", 36), string(b))
}
