package httpbalancer_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/httpbalancer"
)

// echo answers an upgrade, sends a greeting, and then line by line what it gets,
// until the other side ends its half; then it says goodbye.
func echo(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "echo" {
		http.Error(w, "no upgrade", http.StatusBadRequest)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	defer c.Close()
	_, _ = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\ngreeting\n")
	_ = rw.Flush()
	for {
		line, err := rw.ReadString('\n')
		if err != nil {
			break
		}
		_, _ = rw.WriteString("echo " + line)
		_ = rw.Flush()
	}
	_, _ = rw.WriteString("goodbye\n")
	_ = rw.Flush()
}

// converse speaks to echo, half closes, and reads to the end.
func converse(t *testing.T, c io.ReadWriter, closeWrite func() error) {
	in := bufio.NewReader(c)
	line := func() string {
		s, err := in.ReadString('\n')
		require.NoError(t, err)
		return s
	}
	require.Equal(t, "greeting\n", line())
	for i := range 3 {
		_, err := fmt.Fprintf(c, "%d\n", i)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("echo %d\n", i), line())
	}
	require.NoError(t, closeWrite())
	require.Equal(t, "goodbye\n", line())
	_, err := in.ReadByte()
	require.ErrorIs(t, err, io.EOF)
}

func TestUpgradeIsAConnectionInBothDirections(t *testing.T) {
	s := serve(t, http.HandlerFunc(echo))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s)})
	req := request(t, "GET", "key", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := b.RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Same(t, req, resp.Request)
	require.Equal(t, 1, inFlight(b))
	c := resp.Body.(interface {
		io.ReadWriteCloser
		CloseWrite() error
	})
	converse(t, c, c.CloseWrite)
	require.Equal(t, 1, inFlight(b), "one direction, or both, being at their end does not end it")
	require.NoError(t, c.Close())
	require.Zero(t, inFlight(b))
}

func TestReverseProxyUpgradesOverTheTransport(t *testing.T) {
	s := serve(t, http.HandlerFunc(echo))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s), Retry: httpbalancer.Retry{PerTryTimeout: 1 << 40}})
	target, err := url.Parse("http://service.example")
	require.NoError(t, err)
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport: b,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
	})
	defer proxy.Close()
	c, err := net.Dial("tcp", proxy.Listener.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	require.NoError(t, err)
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	require.Equal(t, 1, inFlight(b))
	converse(t, struct {
		io.Reader
		io.Writer
	}{in, c}, c.(*net.TCPConn).CloseWrite)
	eventually(t, func() bool { return inFlight(b) == 0 }, "still in flight")
}

// A refused upgrade is a response as any other.
func TestRefusedUpgradeIsAResponse(t *testing.T) {
	s := serve(t, http.HandlerFunc(echo))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s)})
	req := request(t, "GET", "key", nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "something else")
	resp, err := b.RoundTrip(req)
	require.NoError(t, err)
	require.Equal(t, "no upgrade\n", read(t, resp))
	_, writable := resp.Body.(io.Writer)
	require.False(t, writable)
}
