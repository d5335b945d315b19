package proxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/internal/echo"
)

const large = 100 << 20

// chunked frames what is written in chunks.
type chunked struct{ w io.Writer }

func (c chunked) Write(p []byte) (int, error) {
	if _, err := fmt.Fprintf(c.w, "%x\r\n", len(p)); err != nil {
		return 0, err
	}
	if _, err := c.w.Write(p); err != nil {
		return 0, err
	}
	_, err := io.WriteString(c.w, "\r\n")
	return len(p), err
}

// Large bodies go through whole, and are not held in memory.
func TestLargeRequest(t *testing.T) {
	f := start(t, setup{route: "timeout: 60s"})
	block := echo.Body(1 << 20)
	hash := sha256.New()
	for range large / len(block) {
		hash.Write(block)
	}
	want := hex.EncodeToString(hash.Sum(nil))
	for _, framing := range []string{"length", "chunks"} {
		t.Run(framing, func(t *testing.T) {
			c := f.dial()
			c.SetDeadline(time.Now().Add(time.Minute))
			to := io.Writer(c)
			if framing == "length" {
				c.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: ", fmt.Sprint(large), "\r\n\r\n")
			} else {
				c.send("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
				to = chunked{c}
			}
			memory := watchMemory()
			for range large / len(block) {
				_, err := to.Write(block)
				require.NoError(t, err)
			}
			if framing == "chunks" {
				c.send("0\r\n\r\n")
			}
			seen := c.must("POST").seen(t)
			assert.Less(t, memory(), uint64(8<<20), "bytes that were held")
			assert.EqualValues(t, large, seen.BodyLength)
			assert.Equal(t, want, seen.BodyHash)
			assert.Equal(t, framing == "chunks", seen.Chunked)
		})
	}
}

// watchMemory returns a function that says how much more memory is in use, garbage not counted.
func watchMemory() func() uint64 {
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := live()
	return func() uint64 {
		if now := live(); now > before {
			return now - before
		}
		return 0
	}
}

func TestLargeAnswer(t *testing.T) {
	block := echo.Body(1 << 20)
	hash := sha256.New()
	for range large / len(block) {
		hash.Write(block)
	}
	want := hash.Sum(nil)
	framings := map[string]string{
		"length": fmt.Sprintf("content-length: %d\r\n", large),
		"chunks": "transfer-encoding: chunked\r\n",
		"close":  "",
	}
	host := customHost(t, func(c *rawClient) {
		for {
			r, err := http.ReadRequest(c.in)
			if err != nil {
				return
			}
			framing := r.URL.Path[1:]
			if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n%s\r\n", framings[framing]); err != nil {
				return
			}
			to := io.Writer(c)
			if framing == "chunks" {
				to = chunked{c}
			}
			for range large / len(block) {
				if _, err := to.Write(block); err != nil {
					return
				}
			}
			switch framing {
			case "chunks":
				io.WriteString(c, "0\r\n\r\n")
			case "close":
				return
			}
		}
	})
	f := start(t, setup{hosts: []string{host}, route: "timeout: 60s"})
	for framing := range framings {
		t.Run(framing, func(t *testing.T) {
			c := f.dial()
			c.SetDeadline(time.Now().Add(time.Minute))
			memory := watchMemory()
			for range 2 { // the connection goes on
				c.send("GET /", framing, " HTTP/1.1\r\nhost: h\r\n\r\n")
				a, err := http.ReadResponse(c.in, nil)
				require.NoError(t, err)
				hash := sha256.New()
				n, err := io.Copy(hash, a.Body)
				require.NoError(t, err)
				assert.EqualValues(t, large, n)
				assert.Equal(t, want, hash.Sum(nil))
			}
			assert.Less(t, memory(), uint64(8<<20), "bytes that were held")
		})
	}
}

// 20 MB both ways at once: the host answers while it still reads.
func TestBothBodiesAtOnce(t *testing.T) {
	const n = 20 << 20
	f := start(t, setup{hosts: []string{mirrorHost(t)}})
	c := f.dial()
	body := echo.Body(n)
	c.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: ", fmt.Sprint(n), "\r\n\r\n")
	go c.Write(body)
	assert.True(t, string(body) == c.must("POST").body)
}

// mirrorHost returns the address of a host that sends back the body of a request while it reads it.
func mirrorHost(t *testing.T) string {
	return customHost(t, func(c *rawClient) {
		r, err := http.ReadRequest(c.in)
		if err != nil {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n", r.ContentLength)
		io.Copy(c, r.Body)
	})
}

// customHost returns the address of a host whose connections are served by a function, which is
// one that a test needs in place of an echo backend.
func customHost(t *testing.T, serve func(c *rawClient)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(patience))
				serve(newClient(t, nc))
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

// A client that does not read for a while gets all of its answer all the same.
func TestClientPauses(t *testing.T) {
	f := start(t, setup{})
	c := f.dial()
	c.send("GET / HTTP/1.1\r\nhost: h\r\nx-echo-body: ", fmt.Sprint(16<<20), "\r\n\r\n")
	var last uint64
	still := 0
	eventually(t, func() string { // until nothing has moved for longer than anybody waits in vain
		n := f.clusterCounter("upstream_cx_rx_bytes_total")
		if still++; n != last {
			last, still = n, 0
		}
		if still < 250 {
			return "it still moves"
		}
		return ""
	})
	assert.True(t, c.must("GET").body == string(echo.Body(16<<20)))
}

// Who is told early that the body is too large still gets the answer, and it is the last.
func TestEarlyAnswer(t *testing.T) {
	f := start(t, setup{})
	for _, framing := range []string{"content-length: 100000000\r\n\r\n", "transfer-encoding: chunked\r\n\r\n5f5e100\r\n"} {
		c := f.dial()
		c.send("POST / HTTP/1.1\r\nhost: h\r\nx-echo-early: 1\r\nx-echo-status: 413\r\n", framing)
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			for range 1000 {
				if _, err := c.Write(make([]byte, 10000)); err != nil {
					return
				}
			}
		}()
		a := c.must("POST")
		assert.Equal(t, 413, a.StatusCode)
		assert.True(t, a.Close)
		<-stop
		c.Close()
	}
}

func TestExpectContinue(t *testing.T) {
	f := start(t, setup{})
	c := f.dial()
	for range 2 {
		c.send("POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n")
		line, err := c.in.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
		line, err = c.in.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "\r\n", line)
		c.send("12345")
		seen := c.must("POST").seen(t)
		assert.EqualValues(t, 5, seen.BodyLength)
		assert.Empty(t, seen.Values("expect"))
	}
}

// The rest of a body that has come while a connection was waited for goes on to the host.
func TestBodyComesWhileAConnectionIsWaitedFor(t *testing.T) {
	f := start(t, setup{cluster: "circuit_breakers: {thresholds: [{max_connections: 1}]}"})
	first, second := f.dial(), f.dial()
	first.send("GET / HTTP/1.1\r\nhost: h\r\nx-echo-delay: 1500\r\n\r\n")
	eventually(t, func() string {
		if len(f.backends[0].Requests()) == 0 {
			return "there was no request"
		}
		return ""
	})
	second.send("POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n12345")
	f.busy(2)
	second.send("67890")
	first.must("GET")
	assert.EqualValues(t, 10, second.must("POST").seen(t).BodyLength)
}

// An answer that asks for a retry while the body is still coming: it is tried again whole, or not
// at all.
func TestRetryWhileTheBodyComes(t *testing.T) {
	body := echo.Body(400_000)
	for _, limit := range []int{1 << 20, 100_000} {
		t.Run(fmt.Sprint("limit ", limit), func(t *testing.T) {
			f := start(t, setup{cluster: manyBreakers, route: retryAll, beside: fmt.Sprintf("request_body_buffer_limit: %d", limit)})
			f.load(8, loadTime/2, func(c *rawClient) bool {
				id := unique()
				_, err := fmt.Fprintf(c, "PUT / HTTP/1.1\r\nhost: h\r\nx-echo-early: 1\r\nx-id: %s\r\nx-echo-id: %s\r\nx-echo-fail-first: 1\r\ncontent-length: %d\r\n\r\n", id, id, len(body))
				if err != nil {
					return false
				}
				for rest := body; len(rest) > 0; rest = rest[50_000:] {
					if _, err := c.Write(rest[:50_000]); err != nil {
						break // it was answered early
					}
				}
				a, err := c.read("PUT")
				if err != nil {
					return false // or the answer was lost with that
				}
				if limit > len(body) {
					assert.Equal(t, 200, a.StatusCode)
				} else {
					assert.Contains(t, []int{200, 503}, a.StatusCode)
				}
				return err == nil && !a.Close
			})
		})
	}
}

// A disk that is full delays no request and fails none; what is lost is counted.
func TestFullDisk(t *testing.T) {
	file := "/dev/full"
	if _, err := os.Stat(file); err != nil {
		t.Skip("needs /dev/full: ", err)
	}
	line := strings.Repeat("x", 10_000)
	f := start(t, setup{manager: `access_log: [{name: file, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
		path: ` + file + `, log_format: {text_format_source: {inline_string: "` + line + `\n"}}}}]`})
	n := f.load(clients, loadTime, func(c *rawClient) bool {
		began := time.Now()
		c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
		a, err := c.read("GET")
		assert.NoError(t, err)
		assert.Equal(t, 200, a.StatusCode)
		assert.Less(t, time.Since(began), 5*time.Second)
		return err == nil
	})
	files := f.stats.Scope("filesystem")
	assert.NotZero(t, files.Counter("write_failed").Value())
	if n > 1000 {
		assert.NotZero(t, files.Counter("lines_dropped").Value())
	}
	assert.LessOrEqual(t, files.Gauge("write_total_buffered").Value(), int64(2<<20))
	require.NoError(t, f.Close())
	files.Gauge("write_total_buffered").Set(0) // of what is lost
}

// What was written before a log's file goes away is in it, a line for each request.
func TestAccessLogHasEveryRequest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	f := start(t, setup{manager: `access_log: [{name: file, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
		path: ` + file + `, log_format: {text_format_source: {inline_string: "%REQ(x-id)%\n"}}}}]`})
	n := f.load(clients, loadTime/4, func(c *rawClient) bool {
		c.send("GET / HTTP/1.1\r\nhost: h\r\nx-id: ", unique(), "\r\n\r\n")
		c.must("GET")
		return true
	})
	require.NoError(t, f.Close())
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := bytes.Fields(text)
	seen := map[string]bool{}
	for _, l := range lines {
		seen[string(l)] = true
	}
	assert.EqualValues(t, n, len(lines))
	assert.EqualValues(t, n, len(seen))
}
