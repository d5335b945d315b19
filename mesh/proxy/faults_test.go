package proxy

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/internal/echo"
)

// load has clients send requests, each on a connection of its own, until the time is over. Each
// gets a client that is connected, and returns whether it still is.
func (f *fixture) load(clients int, d time.Duration, request func(c *rawClient) bool) (made int64) {
	var n atomic.Int64
	var all sync.WaitGroup
	until := time.Now().Add(d)
	for range clients {
		all.Go(func() {
			var c *rawClient
			for time.Now().Before(until) && !f.t.Failed() {
				if c == nil {
					c = f.dial()
				}
				n.Add(1)
				if !request(c) {
					c.Close()
					c = nil
				}
			}
			if c != nil {
				c.Close()
			}
		})
	}
	all.Wait()
	return n.Load()
}

const (
	clients  = 32
	loadTime = time.Second
	// manyBreakers do not trip under the load.
	manyBreakers = "circuit_breakers: {thresholds: [{max_retries: 1000}]}"
	// retryAll tries whatever has failed again, soon.
	retryAll = `retry_policy: {retry_on: "5xx,reset,connect-failure", num_retries: 6, retry_back_off: {base_interval: 0.001s, max_interval: 0.01s}}`
)

// Answers belong to their requests, and none fails, while a backend is killed and
// comes back again and again.
func TestBackendKilledUnderLoad(t *testing.T) {
	f := start(t, setup{backends: 2, cluster: manyBreakers, route: strings.Replace(retryAll, "num_retries",
		"retry_host_predicate: [{name: envoy.retry_host_predicates.previous_hosts, typed_config: {\"@type\": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}], host_selection_retry_max_attempts: 5, num_retries", 1)})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			f.backends[0].Close()
			b, err := echo.Start("again", f.backends[0].Addr())
			if !assert.NoError(t, err) {
				return
			}
			f.backends[0] = b
		}
	}()
	n := f.load(clients, loadTime, func(c *rawClient) bool {
		id := unique()
		c.send("GET /", id, " HTTP/1.1\r\nhost: h\r\nx-id: ", id, "\r\n\r\n")
		a, err := c.read("GET")
		if assert.NoError(t, err) && assert.Equal(t, 200, a.StatusCode, a.body) {
			assert.Contains(t, a.body, "\r\nx-id: "+id+"\r\n")
		}
		return err == nil
	})
	close(stop)
	<-stopped
	assert.Greater(t, n, int64(clients))
}

// phases are where an upstream connection is cut: what the backend is asked to do.
var phases = map[string]string{
	"before the head": "x-echo-%s: before-head\r\n",
	"within the head": "x-echo-%s: after\r\nx-echo-raw: " + base64.StdEncoding.EncodeToString([]byte("HTTP/1.1 200 OK\r\nconte")) + "\r\n",
	"behind the head": "x-echo-%s: after-head\r\n",
	"within the body": "x-echo-%s: mid-body\r\n",
	"within a chunk":  "x-echo-%s: mid-body\r\nx-echo-chunked: 1\r\nx-echo-body: 100000\r\n",
	"behind the body": "x-echo-%s: after\r\n",
}

// What a client gets of an answer that was cut is never taken for a whole one, or for another's.
func TestUpstreamCutUnderLoad(t *testing.T) {
	for phase, ask := range phases {
		for _, how := range []string{"close", "reset"} {
			t.Run(phase+"/"+how, func(t *testing.T) {
				f := start(t, setup{backends: 2, cluster: manyBreakers})
				whole := strings.HasSuffix(phase, "behind the body")
				f.load(clients, loadTime/4, func(c *rawClient) bool {
					id := unique()
					c.send("POST /", id, " HTTP/1.1\r\nhost: h\r\nx-id: ", id, "\r\n", fmt.Sprintf(ask, how), "content-length: 5\r\n\r\n12345")
					a, err := c.read("POST")
					switch {
					case err == nil && a.StatusCode == 200:
						assert.True(t, whole, "an answer that was cut, as if it were whole")
						assert.Contains(t, a.body, "\r\nx-id: "+id+"\r\n")
					case whole && err == nil:
						assert.Equal(t, 503, a.StatusCode) // the connection was used again before its end came
					case whole && how == "close":
						assert.Fail(t, "an answer that was whole", "%v %v", err, a.Response)
					case err == nil && strings.HasSuffix(phase, "the head") && phase != "behind the head":
						assert.Contains(t, []int{502, 503}, a.StatusCode)
					}
					return err == nil
				})
				once(t, f)
			})
		}
	}
}

// once looks that no request has come to the backends twice.
func once(t *testing.T, f *fixture) {
	seen := map[string]int{}
	for _, b := range f.backends {
		for _, r := range b.Requests() {
			seen[r.Value("x-id")]++
		}
	}
	require.NotEmpty(t, seen)
	for id, n := range seen {
		assert.Equal(t, 1, n, "times that %s has come", id)
	}
}

// With a policy for it a request is tried again, its body and all, and its client notices nothing.
func TestUpstreamCutWithRetries(t *testing.T) {
	for _, how := range []string{"close", "reset", "503"} {
		for body, framing := range map[string]string{
			"":      "\r\n",
			"12345": "content-length: 5\r\n\r\n12345",
			"67890": "transfer-encoding: chunked\r\n\r\n2\r\n67\r\n3\r\n890\r\n0\r\n\r\n",
			"no":    "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
		} {
			t.Run(how+"/"+body, func(t *testing.T) {
				f := start(t, setup{backends: 2, cluster: manyBreakers, route: retryAll})
				f.load(clients, loadTime/4, func(c *rawClient) bool {
					id := unique()
					c.send("PUT /", id, " HTTP/1.1\r\nhost: h\r\nx-id: ", id, "\r\nx-echo-id: ", id, "\r\nx-echo-fail-first: 2\r\nx-echo-fail: ", how, "\r\n", framing)
					a, err := c.read("PUT")
					if assert.NoError(t, err) && assert.Equal(t, 200, a.StatusCode, a.body) {
						seen := a.seen(t)
						assert.Equal(t, id, seen.Value("x-id"))
						assert.Equal(t, len(strings.TrimPrefix(body, "no")), int(seen.BodyLength))
					}
					return err == nil
				})
			})
		}
	}
}

// A retry that its client does not wait for is not counted for ever.
func TestClientGoneDuringBackOff(t *testing.T) {
	f := start(t, setup{route: "retry_policy: {retry_on: 5xx, num_retries: 5, retry_back_off: {base_interval: 30s, max_interval: 30s}}"})
	for range 5 { // more than there may be retries at a time
		c := f.dial()
		c.send("GET / HTTP/1.1\r\nhost: h\r\nx-echo-status: 500\r\n\r\n")
		eventually(t, func() string {
			if len(f.backends[0].Requests()) == 0 {
				return "there was no request"
			}
			return ""
		})
		f.backends[0].Forget()
		c.Close()
		f.busy(0)
	}
}

// Requests that are under way are answered when the proxy ends, and the clients told.
func TestDrain(t *testing.T) {
	f := start(t, setup{})
	var all sync.WaitGroup
	for range clients {
		c := f.dial()
		c.send("GET / HTTP/1.1\r\nhost: h\r\nx-echo-delay: 300\r\n\r\n")
		all.Go(func() {
			a, err := c.read("GET")
			if assert.NoError(t, err) {
				assert.Equal(t, 200, a.StatusCode)
				assert.True(t, a.Close)
				c.closed()
			}
		})
	}
	f.dial() // one that is idle
	f.busy(clients)
	began := time.Now()
	require.NoError(t, f.Close())
	assert.Less(t, time.Since(began), drainTime)
	all.Wait()
}

// Copies of requests are whole, be their bodies empty, and take nothing with them.
func TestMirrorsUnderLoad(t *testing.T) {
	f := start(t, setup{backends: 2, route: "request_mirror_policies: [{cluster: backends}]"})
	n := f.load(clients, loadTime/4, func(c *rawClient) bool {
		id := unique()
		c.send("POST / HTTP/1.1\r\nhost: h\r\nx-id: ", id, "\r\ntransfer-encoding: chunked\r\n\r\n")
		if len(id)%2 == 0 {
			c.send("2\r\nab\r\n")
		}
		c.send("0\r\n\r\n")
		seen := c.must("POST").seen(t)
		return assert.Equal(t, id, seen.Value("x-id"))
	})
	hosts := map[string]map[string]int{"h": {}, "h-shadow": {}}
	eventually(t, func() string {
		for _, ids := range hosts {
			clear(ids)
		}
		for _, b := range f.backends {
			for _, r := range b.Requests() {
				hosts[r.Value("host")][r.Value("x-id")]++
				assert.True(t, r.Complete)
			}
		}
		if a, b := len(hosts["h"]), len(hosts["h-shadow"]); a != int(n) || b != int(n) {
			return fmt.Sprintf("of %d requests there were %d, and %d copies", n, a, b)
		}
		return ""
	})
}
