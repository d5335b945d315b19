package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Circuit breakers that trip all the time refuse with 503 UO, and nothing is lost by that.
func TestBreakersUnderLoad(t *testing.T) {
	for name, thresholds := range map[string]string{
		"connections": "max_connections: 2, max_pending_requests: 2",
		"pending":     "max_pending_requests: 1",
		"requests":    "max_requests: 3",
		"retries":     "max_retries: 1",
		"budget":      "retry_budget: {budget_percent: {value: 10}, min_retry_concurrency: 1}",
	} {
		t.Run(name, func(t *testing.T) {
			log := filepath.Join(t.TempDir(), "log")
			retries := name == "retries" || name == "budget"
			s := setup{backends: 2, cluster: "circuit_breakers: {thresholds: [{" + thresholds + "}]}",
				manager: `access_log: [{name: file, typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog,
				path: ` + log + `, log_format: {text_format_source: {inline_string: "%RESPONSE_CODE% %RESPONSE_FLAGS%\n"}}}}]`}
			ask := "x-echo-delay: 2\r\n"
			if retries {
				s.route, ask = retryAll, "x-echo-fail-first: 1\r\n"
			}
			f := start(t, s)
			f.load(clients, loadTime/2, func(c *rawClient) bool {
				id := unique()
				c.send("GET / HTTP/1.1\r\nhost: h\r\nx-id: ", id, "\r\nx-echo-id: ", id, "\r\n", ask, "\r\n")
				a, err := c.read("GET")
				if assert.NoError(t, err) && assert.Contains(t, []int{200, 503}, a.StatusCode) && a.StatusCode == 200 {
					assert.Contains(t, a.body, "\r\nx-id: "+id+"\r\n")
				}
				return err == nil
			})
			require.NoError(t, f.Close())
			text, err := os.ReadFile(log)
			require.NoError(t, err)
			lines := strings.Fields(string(text))
			assert.Contains(t, lines, "503")
			for i := 0; i < len(lines); i += 2 {
				switch status, flags := lines[i], lines[i+1]; {
				case status == "200":
					assert.Equal(t, "-", flags)
				case !retries:
					assert.Equal(t, "UO", flags)
				}
			}
		})
	}
}

// Each timeout answers for itself, and lets the host go.
func TestTimeouts(t *testing.T) {
	for name, c := range map[string]struct {
		setup        setup
		ask          string
		status, seen int
		body         string
	}{
		"route": {setup{route: "timeout: 0.2s"}, "x-echo-delay: 60000\r\n", 504, 1, "upstream request timeout"},
		"per try": {setup{route: "timeout: 10s, retry_policy: {retry_on: 5xx, num_retries: 2, per_try_timeout: 0.2s, retry_back_off: {base_interval: 0.001s}}"},
			"x-echo-delay: 60000\r\n", 504, 3, "upstream request timeout"},
		"per try, idle": {setup{route: "timeout: 10s, retry_policy: {retry_on: 5xx, num_retries: 1, per_try_idle_timeout: 0.2s, retry_back_off: {base_interval: 0.001s}}"},
			"x-echo-delay: 60000\r\n", 504, 2, "upstream request timeout"},
		"idle":             {setup{route: "timeout: 0s, idle_timeout: 0.2s"}, "x-echo-delay: 60000\r\n", 504, 1, "stream timeout"},
		"stream's":         {setup{route: "timeout: 0s", manager: "common_http_protocol_options: {max_stream_duration: 0.2s}"}, "x-echo-delay: 60000\r\n", 504, 1, "downstream duration timeout"},
		"back-off":         {setup{route: "timeout: 0.3s, retry_policy: {retry_on: 5xx, retry_back_off: {base_interval: 60s, max_interval: 60s}}"}, "x-echo-status: 500\r\n", 504, 1, "upstream request timeout"},
		"within an answer": {setup{route: "timeout: 0.3s"}, "x-echo-stall: 60000\r\n", 0, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, c.setup)
			client := f.dial()
			client.send("GET / HTTP/1.1\r\nhost: h\r\n", c.ask, "\r\n")
			began := time.Now()
			a, err := client.read("GET")
			if c.status == 0 {
				assert.Error(t, err)
			} else if assert.NoError(t, err) {
				assert.Equal(t, c.status, a.StatusCode)
				assert.Equal(t, c.body, a.body)
				client.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n") // the connection goes on
				assert.Equal(t, 200, client.must("GET").StatusCode)
				assert.Len(t, f.backends[0].Requests(), c.seen+1)
			}
			assert.Less(t, time.Since(began), 5*time.Second)
		})
	}
}

// A client that hangs up is noticed within a second in whatever phase, and the host let go.
func TestClientHangsUp(t *testing.T) {
	for phase, request := range map[string]string{
		"before the answer": "GET / HTTP/1.1\r\nhost: h\r\nx-echo-delay: 60000\r\n\r\n",
		"within the answer": "GET / HTTP/1.1\r\nhost: h\r\nx-echo-stall: 60000\r\n\r\n",
		"within the body":   "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\n12345",
		"within a chunk":    "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12",
		"with more behind":  "GET / HTTP/1.1\r\nhost: h\r\nx-echo-delay: 60000\r\n\r\nGET /2 HTTP/1.1\r\nhost: h\r\n\r\n",
	} {
		for _, how := range []string{"close", "reset"} {
			t.Run(phase+"/"+how, func(t *testing.T) {
				f := start(t, setup{})
				c := f.dial()
				c.send(request)
				f.busy(1)
				eventually(t, func() string {
					if f.backends[0].Open() == 0 {
						return "no connection to the backend"
					}
					return ""
				})
				if how == "reset" {
					c.reset()
				}
				c.Close()
				began := time.Now()
				f.busy(0)
				f.released()
				assert.Less(t, time.Since(began), 2*time.Second) // a second, on a machine that is busy
				for _, r := range f.backends[0].Requests() {
					assert.NotEqual(t, "/2", r.Target())
				}
			})
		}
	}
}
