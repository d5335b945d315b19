package proxy

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/internal/echo"
)

const (
	websockets = "upgrade_configs: [{upgrade_type: websocket}]"
	upgrade    = "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
)

// open opens a tunnel.
func (f *fixture) open() *rawClient {
	c := f.dial()
	c.send(upgrade)
	a, err := http.ReadResponse(c.in, nil)
	require.NoError(f.t, err)
	require.Equal(f.t, 101, a.StatusCode)
	return c
}

// 10 MB go both ways at once.
func TestTunnel(t *testing.T) {
	f := start(t, setup{manager: websockets})
	c := f.open()
	sent := echo.Body(10 << 20)
	go c.Write(sent)
	got := make([]byte, len(sent))
	_, err := io.ReadFull(c.in, got)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(sent, got))
	c.Close()
	f.busy(0)
	f.released()
}

// Bytes that come with the request are held until the host has agreed, and then are the tunnel's.
func TestTunnelBytesBehindTheHead(t *testing.T) {
	f := start(t, setup{manager: websockets})
	c := f.dial()
	c.send(upgrade, "hello")
	a, err := http.ReadResponse(c.in, nil)
	require.NoError(t, err)
	require.Equal(t, 101, a.StatusCode)
	got := make([]byte, 5)
	_, err = io.ReadFull(c.in, got)
	require.NoError(t, err)
	assert.Equal(t, "hello", string(got))

	c = f.dial() // and if it does not agree, nobody's
	c.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-echo-upgrade: 0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n")
	assert.Equal(t, 200, c.must("GET").StatusCode)
	c.closed()
	for _, r := range f.backends[0].Requests() {
		assert.Equal(t, "/", r.Target())
	}
}

// Whoever ends a tunnel, and however, ends both sides.
func TestTunnelEnds(t *testing.T) {
	for name, end := range map[string]func(f *fixture, c *rawClient){
		"client closes": func(_ *fixture, c *rawClient) { c.Close() },
		"client resets": func(_ *fixture, c *rawClient) { c.reset() },
		"client has no more to say": func(_ *fixture, c *rawClient) {
			require.NoError(c.t, c.Conn.(*net.TCPConn).CloseWrite())
			c.closed()
		},
		"host closes": func(f *fixture, c *rawClient) {
			f.backends[0].CloseConns()
			c.closed()
		},
		"the proxy ends": func(f *fixture, c *rawClient) { require.NoError(f.t, f.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, setup{manager: websockets})
			c := f.open()
			c.send("x")
			_, err := c.in.ReadByte()
			require.NoError(t, err)
			end(f, c)
			f.busy(0)
			f.released()
		})
	}
}

// What a host has said before it closes comes to the client whole.
func TestTunnelEndsWithTheLastByte(t *testing.T) {
	said := echo.Body(5 << 20)
	host := customHost(t, func(c *rawClient) {
		if _, err := http.ReadRequest(c.in); err == nil {
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
			c.Write(said)
		}
	})
	f := start(t, setup{manager: websockets, hosts: []string{host}})
	c := f.open()
	got, err := io.ReadAll(c.in)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(said, got))
}

// A tunnel that nothing goes through ends at the idle timeout, and one that has something does not.
func TestTunnelIdle(t *testing.T) {
	f := start(t, setup{manager: websockets + ", stream_idle_timeout: 0.5s"})
	c := f.open()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 10 {
		<-tick.C
		c.send("x")
		_, err := c.in.ReadByte()
		require.NoError(t, err)
	}
	c.closed()
	assert.EqualValues(t, 1, f.counter("downstream_rq_idle_timeout"))
}

// However much goes through it, a tunnel ends with the time that a stream may take.
func TestTunnelMaxDuration(t *testing.T) {
	f := start(t, setup{manager: websockets, route: "max_stream_duration: {max_stream_duration: 0.5s}"})
	c := f.open()
	go func() {
		for {
			if _, err := c.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	}()
	_, err := io.Copy(io.Discard, c.in)
	if err != nil {
		var timeout net.Error
		assert.False(t, isTimeout(err, &timeout))
	}
	assert.EqualValues(t, 1, f.counter("downstream_rq_max_duration_reached"))
}

// Neither a peer that does not read holds a tunnel for ever, nor does what it does not read pile up.
func TestTunnelNobodyReads(t *testing.T) {
	f := start(t, setup{manager: websockets + ", stream_idle_timeout: 1s"})
	c := f.open()
	memory := watchMemory()
	for { // the echo comes back, and nobody reads it
		if _, err := c.Write(make([]byte, 64<<10)); err != nil {
			break
		}
	}
	f.busy(0)
	assert.Less(t, memory(), uint64(4<<20))
}
