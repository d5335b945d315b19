package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/stats"
)

// answering is a host that answers one request after another with these texts, be they no answers,
// and with 200 to all others. One that ends with "close" ends the connection too.
func answering(t *testing.T, texts ...string) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	next := make(chan string, len(texts))
	for _, text := range texts {
		next <- text
	}
	serve := func(c net.Conn) {
		defer c.Close()
		in := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, r.Body)
			text := "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
			select {
			case text = <-next:
			default:
			}
			text, ends := strings.CutSuffix(text, "close")
			if _, err := io.WriteString(c, text); err != nil || ends {
				return
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// values returns all counters and gauges.
func (f *fixture) values() map[string]string {
	var b bytes.Buffer
	require.NoError(f.t, f.stats.WriteText(&b, stats.Query{}))
	all := make(map[string]string)
	for line := range strings.Lines(b.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			all[name] = value
		}
	}
	return all
}

// TestCounts holds the statistics to those that an Envoy 1.40 had after the same. "" is a name that it
// does not have then.
func TestCounts(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n"
	healthCheck := `{name: hc, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck,
		pass_through_mode: false, headers: [{name: ":path", string_match: {exact: /}}]}},`
	for name, c := range map[string]struct {
		setup    setup
		answers  []string
		requests []string
		want     map[string]string // beyond http.ingress and cluster.backends they are whole names
	}{
		"a 1xx, and no other attempt after it": {
			setup{route: "retry_policy: {retry_on: 5xx}"},
			[]string{"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"}, []string{get},
			map[string]string{"c.upstream_rq_103": "1", "c.upstream_rq_1xx": "1", "c.upstream_rq_500": "1",
				"c.upstream_rq_completed": "2", "c.upstream_rq_retry": "0", "c.upstream_rq_total": "1"},
		},
		"an answer that is cut off": {
			setup{}, []string{"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabcclose"}, []string{get},
			map[string]string{"h.downstream_rq_tx_reset": "1", "h.downstream_rq_rx_reset": "1", "h.rq_reset_after_downstream_response_started": "0",
				"c.upstream_cx_protocol_error": "1", "c.upstream_rq_rx_reset": "0", "c.upstream_cx_destroy_remote": "1",
				"c.upstream_cx_destroy_remote_with_active_rq": "1"},
		},
		"an answer that is cut off in its head": {
			setup{}, []string{"HTTP/1.1 200 OK\r\ncontent-lenclose"}, []string{get},
			map[string]string{"c.upstream_cx_protocol_error": "1", "c.upstream_rq_502": "1", "h.downstream_rq_5xx": "1"},
		},
		"an answer that says close": {
			setup{}, []string{"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"}, []string{get},
			map[string]string{"c.upstream_cx_close_notify": "1", "c.upstream_cx_destroy_local": "1", "c.upstream_cx_destroy_with_active_rq": "0"},
		},
		"an answer until the end of the connection": {
			setup{}, []string{"HTTP/1.1 200 OK\r\n\r\nabcclose"}, []string{get},
			map[string]string{"c.upstream_cx_close_notify": "0", "c.upstream_cx_destroy_remote": "1", "h.downstream_rq_2xx": "1"},
		},
		"a status above 599": {
			setup{}, []string{"HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n"}, []string{get},
			map[string]string{"c.upstream_rq_unknown": "1", "c.upstream_rq_600": "", "c.upstream_rq_completed": "1"},
		},
		"a route with a name": {
			setup{beside: "stat_prefix: pre"}, nil, []string{get},
			map[string]string{"vhost.all.route.pre.upstream_rq_200": "1", "vhost.all.route.pre.upstream_rq_total": "1",
				"vhost.all.route.pre.upstream_rq_retry": "0"},
		},
		"100 Continue": {
			setup{}, nil, []string{"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\nexpect: 100-continue\r\n\r\nx"},
			map[string]string{"h.downstream_rq_1xx": "1", "h.downstream_rq_2xx": "1", "h.downstream_rq_completed": "2"},
		},
		"a health check": {
			setup{filters: healthCheck}, nil, []string{get},
			map[string]string{"h.downstream_rq_total": "1", "h.downstream_rq_2xx": "0", "h.downstream_rq_completed": "0", "h.tracing.health_check": "1"},
		},
		"a target without a path": {
			setup{}, nil, []string{"GET http://a?b HTTP/1.1\r\nhost: a\r\n\r\n"},
			map[string]string{"h.downstream_rq_non_relative_path": "1", "h.downstream_rq_4xx": "1"},
		},
		"a fragment": {
			setup{}, nil, []string{"GET /#a HTTP/1.1\r\nhost: a\r\n\r\n"},
			map[string]string{"h.downstream_rq_failed_path_normalization": "1", "h.downstream_rq_response_before_rq_complete": "0"},
		},
		"an upgrade that the host refuses": {
			setup{manager: "upgrade_configs: [{upgrade_type: websocket}]"}, []string{"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n"},
			[]string{"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"},
			map[string]string{"h.downstream_cx_upgrades_total": "1", "h.downstream_cx_upgrades_active": "0"},
		},
		"an ejected host": {
			setup{cluster: "outlier_detection: {consecutive_5xx: 1, max_ejection_percent: 100}"},
			[]string{"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"}, []string{get, get},
			map[string]string{"c.outlier_detection.ejections_total": "1", "c.upstream_cx_total": "2", "c.lb_healthy_panic": "1"},
		},
		"hosts": {
			setup{}, nil, nil,
			map[string]string{"c.default.total_match_count": "1"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c.setup.hosts = []string{answering(t, c.answers...)}
			f := start(t, c.setup)
			for _, text := range c.requests {
				client := f.dial()
				client.send(text)
				for {
					a, err := client.read("GET")
					if err != nil || a.StatusCode != http.StatusContinue {
						break
					}
				}
				client.Close()
			}
			eventually(t, func() string {
				got := f.values()
				for name, want := range c.want {
					whole := strings.NewReplacer("#h.", "http.ingress.", "#c.", "cluster.backends.", "#", "").Replace("#" + name)
					if got[whole] != want {
						return whole + " is " + got[whole] + ", not " + want
					}
				}
				return ""
			})
		})
	}
}

// Copies are counted as internal requests of their cluster, as x-envoy-internal says.
func TestCopiesAreCounted(t *testing.T) {
	f := start(t, setup{backends: 1, route: "request_mirror_policies: [{cluster: backends}]"})
	c := f.dial()
	c.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n")
	assert.Equal(t, http.StatusOK, c.must("GET").StatusCode)
	eventually(t, func() string {
		got := f.values()
		if got["cluster.backends.internal.upstream_rq_200"] != "1" || got["cluster.backends.upstream_rq_200"] != "2" {
			return "the copy is not counted"
		}
		return ""
	})
}
