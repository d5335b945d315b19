package proxy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A head that comes a byte at a time has until the timeout, however busy it looks.
func TestHeadByteByByte(t *testing.T) {
	f := start(t, setup{manager: "request_headers_timeout: 0.5s"})
	c := f.dial()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		head := strings.NewReader("GET / HTTP/1.1\r\nhost: h\r\nx: " + strings.Repeat("a", 10_000))
		for {
			select {
			case <-tick.C:
				if _, err := io.CopyN(c, head, 1); err != nil {
					return
				}
			case <-stop:
				return
			}
		}
	}()
	a := c.must("GET")
	assert.Equal(t, 408, a.StatusCode)
	assert.True(t, a.Close)
	close(stop)
	<-stopped
	assert.EqualValues(t, 1, f.counter("downstream_rq_header_timeout"))
}

// In time it is as good as any.
func TestGoodHeadByteByByte(t *testing.T) {
	f := start(t, setup{})
	c := f.dial()
	for _, b := range []byte("POST /a HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\n12345\r\n0\r\nx: y\r\n\r\n") {
		c.send(string(b))
	}
	assert.EqualValues(t, 5, c.must("POST").seen(t).BodyLength)
}

// A head that never ends is refused at its limit.
func TestEndlessHead(t *testing.T) {
	f := start(t, setup{})
	for _, line := range []string{"x: y\r\n", strings.Repeat("a", 1000), "\r\n"} {
		c := f.dial()
		if line != "\r\n" {
			c.send("GET / HTTP/1.1\r\nhost: h\r\n")
		} else {
			c.send("\r\n\r") // empty lines before a request: not even one has begun
			c.send("\n")
			continue
		}
		for range 1000 {
			if _, err := io.WriteString(c, line); err != nil {
				break
			}
		}
		a, err := c.read("GET")
		if err == nil {
			assert.Equal(t, 431, a.StatusCode)
		}
	}
	f.busy(0)
}

// A client that stops amid its body is told so, and its host let go.
func TestBodyStops(t *testing.T) {
	for timeout, details := range map[string]string{
		"stream_idle_timeout: 0.3s": "stream timeout", "request_timeout: 0.3s": "request timeout", "common_http_protocol_options: {max_stream_duration: 0.3s}": "downstream duration timeout",
	} {
		t.Run(details, func(t *testing.T) {
			f := start(t, setup{manager: timeout})
			c := f.dial()
			c.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n12345")
			a := c.must("POST")
			assert.Equal(t, 408, a.StatusCode)
			assert.Equal(t, details, a.body)
			assert.True(t, a.Close)
			f.released()
			for _, r := range f.backends[0].Requests() {
				assert.False(t, r.Complete)
			}
		})
	}
}

// released waits until the backends have no open connection.
func (f *fixture) released() {
	f.t.Helper()
	began := time.Now()
	eventually(f.t, func() string {
		for _, b := range f.backends {
			if n := b.Open(); n > 0 {
				return fmt.Sprint(n, " connections to ", b.Name)
			}
		}
		return ""
	})
	assert.Less(f.t, time.Since(began), 3*time.Second)
}

// A client that does not read its answer holds no more memory than buffers, and not for ever.
func TestClientDoesNotRead(t *testing.T) {
	for timeout, flag := range map[string]string{
		"stream_idle_timeout: 1s": "", "common_http_protocol_options: {max_stream_duration: 1s}": "", "": "timeout: 1s",
	} {
		t.Run(timeout+flag, func(t *testing.T) {
			f := start(t, setup{hosts: []string{customHost(t, endless)}, manager: timeout, route: flag})
			memory := watchMemory()
			for range 10 {
				f.dial().send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
			}
			f.busy(10)
			f.busy(0)
			assert.Less(t, memory(), uint64(4<<20))
		})
	}
}

// endless is a host whose answers do not end.
func endless(c *rawClient) {
	if _, err := http.ReadRequest(c.in); err != nil {
		return
	}
	io.WriteString(c, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
	for {
		if _, err := (chunked{c}).Write(make([]byte, 64<<10)); err != nil {
			return
		}
	}
}

// A host that takes no more of a request does not hold it beyond its timeout, and its client may leave.
func TestHostDoesNotRead(t *testing.T) {
	startWith := func(t *testing.T, s setup) *fixture {
		done := make(chan struct{})
		s.hosts = []string{customHost(t, func(c *rawClient) {
			c.Conn.(*net.TCPConn).SetReadBuffer(4096)
			<-done
		})}
		f := start(t, s)
		t.Cleanup(func() { close(done) })
		return f
	}
	const size = 12 << 20 // more than sockets hold
	t.Run("the client waits", func(t *testing.T) {
		f := startWith(t, setup{manager: "stream_idle_timeout: 1s"})
		c := f.dial()
		go fmt.Fprintf(c, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
		assert.Equal(t, 408, c.must("POST").StatusCode)
	})
	t.Run("the client leaves", func(t *testing.T) {
		f := startWith(t, setup{})
		c := f.dial()
		sent := make(chan struct{})
		go func() {
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n%s", size, strings.Repeat("x", size))
			close(sent)
		}()
		f.busy(1)
		// What it has not sent yet is in the way of the usual end.
		c.reset()
		<-sent
		began := time.Now()
		f.busy(0)
		assert.Less(t, time.Since(began), 2*time.Second)
	})
}

// busy waits until so many requests are under way.
func (f *fixture) busy(n int64) {
	f.t.Helper()
	eventually(f.t, func() string {
		if now := f.active(); now != n {
			return fmt.Sprint(now, " requests under way")
		}
		return ""
	})
}

// 1,000 requests in one write are answered in their order.
func TestPipelining(t *testing.T) {
	f := start(t, setup{backends: 3})
	var b strings.Builder
	const n = 1000
	for i := range n {
		if i%3 == 0 {
			fmt.Fprintf(&b, "POST /%d HTTP/1.1\r\nhost: h\r\ncontent-length: 12\r\n\r\nGET / HTTP/1", i)
		} else if i%3 == 1 {
			fmt.Fprintf(&b, "PUT /%d HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\r\n", i)
		} else {
			fmt.Fprintf(&b, "GET /%d HTTP/1.1\r\nhost: h\r\n\r\n", i)
		}
	}
	c := f.dial()
	go c.send(b.String())
	for i := range n {
		assert.Equal(t, fmt.Sprint("/", i), c.must("GET").seen(t).Target())
	}
}

// Garbage behind a good request is refused after that has been answered.
func TestPipelinedGarbage(t *testing.T) {
	f := start(t, setup{})
	c := f.dial()
	c.send("GET /good HTTP/1.1\r\nhost: h\r\n\r\n\x00\x01garbage\r\n\r\n")
	assert.Equal(t, "/good", c.must("GET").seen(t).Target())
	a := c.must("GET")
	assert.Equal(t, 400, a.StatusCode)
	c.closed()
	assert.Len(t, f.backends[0].Requests(), 1)
}

// A connection that waits holds its socket, a goroutine and hardly anything else.
func TestIdleConnections(t *testing.T) {
	const most = 10 << 10 // bytes
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	n := int(min(10_000, limit.Cur/2-250))
	if n < 1000 {
		t.Skipf("there may be only %d files", limit.Cur)
	}
	f := start(t, setup{})
	memory := watchMemory()
	connections := make([]net.Conn, n)
	var all sync.WaitGroup
	for from := range 10 {
		all.Go(func() {
			for i := from; i < n; i += 10 {
				c, err := net.Dial("tcp", f.Addr(0).String())
				if !assert.NoError(t, err) {
					return
				}
				connections[i] = c
				if i%10 == 0 { // some have had a request
					io.WriteString(c, "GET / HTTP/1.1\r\nhost: h\r\n\r\n")
					r, err := http.ReadResponse(newClient(t, c).in, nil)
					if assert.NoError(t, err) {
						io.Copy(io.Discard, r.Body)
					}
				}
			}
		})
	}
	all.Wait()
	eventually(t, func() string {
		if got := f.connections(); got != int64(n) {
			return fmt.Sprint(got, " connections")
		}
		return ""
	})
	each := memory() / uint64(n) // the client's ends of them included
	t.Logf("%d bytes a connection", each)
	assert.Less(t, each, uint64(most))
	for _, c := range connections {
		c.Close()
	}
	runtime.KeepAlive(connections)
	require.NoError(t, f.Close())
}
