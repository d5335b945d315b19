package proxy

import (
	"bufio"
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// goodBytes are requests that mutations are made of.
var goodBytes = [][]byte{
	[]byte("GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n"),
	[]byte("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 5\r\n\r\n12345"),
	[]byte("PUT / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\na: b\r\n\r\n"),
	[]byte("HEAD / HTTP/1.0\r\nhost: h\r\nconnection: keep-alive\r\n\r\n"),
	[]byte("GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nabc"),
	[]byte("POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nab"),
	[]byte("GET http://user@h:80/../a//b%2f HTTP/1.1\r\nhost: h\r\nte: trailers\r\nconnection: te, close\r\n\r\n"),
	[]byte("OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n"),
}

// FuzzConnection sends bytes through a proxy, in pieces: nothing panics or hangs, all that
// comes back is answers, and all that the backend sees is requests.
func FuzzConnection(f *testing.F) {
	for i, b := range goodBytes {
		f.Add(b, uint64(i))
	}
	x := start(f, setup{manager: "upgrade_configs: [{upgrade_type: websocket}], http_protocol_options: {accept_http_10: true}"})
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) { exchangeBytes(t, x, b, rand.New(rand.NewPCG(seed, 0))) })
}

// The same with mutations of good requests, several of them on a connection, on every run of the tests.
func TestMutatedRequests(t *testing.T) {
	f := start(t, setup{manager: "upgrade_configs: [{upgrade_type: websocket}], http_protocol_options: {accept_http_10: true}"})
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var b []byte
		for range 1 + random.IntN(4) {
			b = append(b, goodBytes[random.IntN(len(goodBytes))]...)
		}
		for range random.IntN(4) {
			b = mutate(b, random)
		}
		if exchangeBytes(t, f, b, random); t.Failed() {
			t.Fatalf("%q", b)
		}
	}
	assert.Zero(t, f.counter("downstream_rq_tx_reset"))
}

// mutate changes something.
func mutate(b []byte, random *rand.Rand) []byte {
	if len(b) == 0 {
		return b
	}
	i := random.IntN(len(b))
	switch random.IntN(5) {
	case 0: // a byte
		b[i] = "\x00\r\n \t:,;0a/#%\xff"[random.IntN(14)]
	case 1: // cut out
		return append(b[:i:i], b[min(len(b), i+random.IntN(10)):]...)
	case 2: // one more
		return append(b[:i:i], append([]byte{"\x00\r\n \t:,;0a/#%\xff"[random.IntN(14)]}, b[i:]...)...)
	case 3: // cut off
		return b[:i]
	case 4: // twice
		return append(b[:i:i], append(bytes.Clone(b[i:min(len(b), i+20)]), b[i:]...)...)
	}
	return b
}

// exchangeBytes sends bytes on a connection of their own and looks at what comes back.
func exchangeBytes(t *testing.T, f *fixture, b []byte, random *rand.Rand) {
	if bytes.Contains(bytes.ToLower(b), []byte("x-echo")) {
		return // what the backend does on demand is another matter
	}
	for _, back := range f.backends {
		back.Forget()
	}
	c, err := net.Dial("tcp", f.Addr(0).String())
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	for rest := b; len(rest) > 0; {
		n := min(len(rest), 1+random.IntN(200))
		if _, err := c.Write(rest[:n]); err != nil {
			break
		}
		rest = rest[n:]
	}
	// With a half that is closed the proxy closes the other one, after at most what it is about to say.
	require.NoError(t, c.(*net.TCPConn).CloseWrite())
	all, err := io.ReadAll(c)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Fatal("it hangs")
	}
	answers := bufio.NewReader(bytes.NewReader(all))
	for {
		if _, err := answers.Peek(1); err != nil {
			break
		}
		a, err := http.ReadResponse(answers, &http.Request{Method: "GET"})
		if err != nil {
			break // cut off, or the answer to a HEAD before it
		}
		assert.Contains(t, []int{100, 101, 200, 400, 403, 404, 408, 413, 426, 431, 501, 503, 505}, a.StatusCode)
		if a.StatusCode == 101 {
			break
		}
		_, _ = io.Copy(io.Discard, a.Body)
	}
	assert.True(t, len(all) == 0 || bytes.HasPrefix(all, []byte("HTTP/1.")), "%q", all)
	for _, back := range f.backends {
		for _, r := range back.Requests() {
			head := strings.Replace(r.Head, " "+r.Target()+" ", " / ", 1) // whose escapes are the backend's concern
			_, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
			assert.NoError(t, err, "%q", r.Head)
		}
	}
}
