package admin_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/admin"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
)

func ask(source *admin.Source, method, target string) *httptest.ResponseRecorder {
	if source.Stats == nil {
		source.Stats = stats.NewStore()
	}
	w := httptest.NewRecorder()
	admin.New(source).ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func golden(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return string(text)
}

func TestReady(t *testing.T) {
	tests := []struct {
		state  admin.State
		status int
		body   string
	}{
		{admin.Live, 200, "LIVE\n"},
		{admin.Draining, 503, "DRAINING\n"},
		{admin.PreInitializing, 503, "PRE_INITIALIZING\n"},
		{admin.Initializing, 503, "INITIALIZING\n"},
	}
	for _, test := range tests {
		w := ask(&admin.Source{State: func() admin.State { return test.state }}, "GET", "/ready?x=1")
		assert.Equal(t, test.status, w.Code)
		assert.Equal(t, test.body, w.Body.String())
	}
	assert.Equal(t, "LIVE\n", ask(&admin.Source{}, "POST", "/ready").Body.String())
	assert.Equal(t, "State(9)", admin.State(9).String())
}

func TestHeaders(t *testing.T) {
	h := ask(&admin.Source{}, "GET", "/ready").Header()
	assert.Equal(t, "text/plain; charset=UTF-8", h.Get("content-type"))
	assert.Equal(t, "no-cache, max-age=0", h.Get("cache-control"))
	assert.Equal(t, "nosniff", h.Get("x-content-type-options"))
	assert.Equal(t, "application/json", ask(&admin.Source{}, "GET", "/stats?format=json").Header().Get("content-type"))
}

// hosts are those of the configuration that an Envoy 1.40 had when it printed testdata/clusters.txt
// and clusters.json.
func hosts() []admin.ClusterStatus {
	breakers := [2]config.Breakers{
		{Connections: 7, Pending: 1024, Requests: 1024, Retries: 3},
		{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3},
	}
	return []admin.ClusterStatus{
		{Name: "dns", StatName: "alt.name", Breakers: breakers, Hosts: []admin.HostStatus{{
			Address: config.SocketAddress{Host: "::1", Port: 28099}, Weight: 1, Health: admin.FailedActiveCheck,
			ConnectionsFailed: 1, ConnectionsTotal: 1, RequestsFailed: 1, SuccessRate: -1, LocalSuccessRate: -1,
		}}},
		{Name: "c", Breakers: breakers, Outlier: &admin.OutlierStatus{
			SuccessRateAverage: -1, SuccessRateThreshold: -1, LocalSuccessRateAverage: -1, LocalSuccessRateThreshold: -1,
		}, Hosts: []admin.HostStatus{
			{
				Address: config.SocketAddress{Host: "127.0.0.1", Port: 28090}, Hostname: "hh", Region: "r", Zone: "z", SubZone: "s", Weight: 3,
				ConnectionsActive: 1, ConnectionsTotal: 5, RequestsFailed: 5, RequestsSucceeded: 5, RequestsTimedOut: 1, RequestsTotal: 10,
				SuccessRate: -1, LocalSuccessRate: -1,
			},
			{
				Address: config.SocketAddress{Pipe: "/run/x.sock"}, Weight: 1, Priority: 1, Canary: true, Health: admin.FailedByConfig,
				SuccessRate: -1, LocalSuccessRate: -1,
			},
		}},
	}
}

func TestClusters(t *testing.T) {
	source := &admin.Source{Clusters: hosts}
	assert.Equal(t, golden(t, "clusters.txt"), ask(source, "GET", "/clusters").Body.String())
	assert.Equal(t, golden(t, "clusters.json"), ask(source, "GET", "/clusters?format=json").Body.String())
	filtered := ask(source, "GET", "/clusters?filter=^d").Body.String()
	assert.Contains(t, filtered, "dns::observability_name::alt.name\n")
	assert.NotContains(t, filtered, "\nc::")
	assert.Equal(t, 400, ask(source, "GET", "/clusters?filter=(").Code)
	assert.Empty(t, ask(&admin.Source{}, "GET", "/clusters").Body.String())
	assert.Equal(t, "{}\n", ask(&admin.Source{}, "GET", "/clusters?format=json").Body.String())
}

func TestHealthFlags(t *testing.T) {
	assert.Equal(t, "healthy", admin.HealthFlags(0).String())
	assert.Equal(t, "/failed_active_hc/failed_outlier_check/active_hc_timeout",
		(admin.FailedOutlierCheck | admin.ActiveCheckTimeout | admin.FailedActiveCheck).String())
	for flag, want := range map[admin.HealthFlags]string{
		0: "HEALTHY", admin.FailedByConfig: "UNHEALTHY", admin.DrainingByConfig: "DRAINING", admin.DegradedByConfig: "DEGRADED",
	} {
		source := &admin.Source{Clusters: func() []admin.ClusterStatus {
			return []admin.ClusterStatus{{Hosts: []admin.HostStatus{{Health: flag | admin.PendingActiveCheck}}}}
		}}
		body := ask(source, "GET", "/clusters?format=json").Body.String()
		assert.Contains(t, body, `"eds_health_status": "`+want+`"`)
		assert.Contains(t, body, `"pending_active_hc": true`)
	}
}

func TestListeners(t *testing.T) {
	source := &admin.Source{Listeners: func() []admin.ListenerStatus {
		return []admin.ListenerStatus{
			{Name: "first", Address: config.SocketAddress{Host: "127.0.0.1", Port: 28080}},
			{Name: "six", Address: config.SocketAddress{Host: "::1", Port: 28080}},
			{Name: "pipe", Address: config.SocketAddress{Pipe: "/run/l.sock"}},
		}
	}}
	assert.Equal(t, "first::127.0.0.1:28080\nsix::[::1]:28080\npipe::/run/l.sock\n", ask(source, "GET", "/listeners").Body.String())
	assert.Equal(t, golden(t, "listeners.json"), ask(source, "GET", "/listeners?format=json").Body.String())
}

func TestStats(t *testing.T) {
	store := stats.NewStore()
	store.Cluster("c").Counter("a").Inc()
	store.Cluster("c").Counter("b")
	store.Cluster("c").Gauge("g").Set(3)
	store.Cluster("c").Histogram("h").Record(7)
	source := &admin.Source{Stats: store}
	const values = "P0(nan,7.05) P25(nan,7.05) P50(nan,7.05) P75(nan,7.05) P90(nan,7.05) P95(nan,7.05) P99(nan,7.05) P99.5(nan,7.05) P99.9(nan,7.05) P100(nan,7.05)"
	tests := []struct {
		target string
		status int
		body   string
	}{
		{"/stats?filter=^cluster", 200, "cluster.c.a: 1\ncluster.c.b: 0\ncluster.c.g: 3\ncluster.c.h: " + values + "\n"},
		{"/stats?filter=^cluster&usedonly&format=text", 200, "cluster.c.a: 1\ncluster.c.g: 3\ncluster.c.h: " + values + "\n"},
		{"/stats?filter=^server&invert_filter&type=Counters", 200, "cluster.c.a: 1\ncluster.c.b: 0\n"},
		{"/stats?filter=^cluster&type=Gauges", 200, "cluster.c.g: 3\n"},
		{"/stats?type=Histograms&histogram_buckets=summary", 200, "cluster.c.h: " + values + "\n"},
		{"/stats?type=TextReadouts", 200, ""},
		{"/stats?type=All&filter=c.a", 200, "cluster.c.a: 1\n"},
		{"/stats?type=Bogus", 400, "invalid &type= param"},
		{"/stats?filter=(", 400, "Invalid re2 regex: error parsing regexp: missing closing ): `(`"},
		{"/stats?format=html", 400, "usage: /stats?format=(json|prometheus|text)\n\n"},
		{"/stats?histogram_buckets=detailed", 400, "usage: /stats?histogram_buckets=(summary)\n"},
		{"/stats?format=json&filter=c.[ab]", 200, `{"stats":[{"name":"cluster.c.a","value":1},{"name":"cluster.c.b","value":0}]}`},
		{"/stats?format=prometheus&filter=c.a", 200, "# TYPE envoy_cluster_a counter\nenvoy_cluster_a{envoy_cluster_name=\"c\"} 1\n"},
		{"/stats/prometheus?filter=c&usedonly&type=Counters", 200, "# TYPE envoy_cluster_a counter\nenvoy_cluster_a{envoy_cluster_name=\"c\"} 1\n"},
		{"/stats/prometheus?filter=)", 400, "Invalid re2 regex: error parsing regexp: unexpected ): `)`"},
		{"/stats/prometheus?histogram_buckets=summary", 400, "usage: /stats/prometheus?histogram_buckets=(cumulative)\n"},
	}
	for _, test := range tests {
		w := ask(source, "GET", test.target)
		assert.Equal(t, test.status, w.Code, test.target)
		assert.Equal(t, test.body, w.Body.String(), test.target)
	}
}

func TestServerStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := admin.Initializing
		source := &admin.Source{
			Started: time.Now(), Concurrency: 2, Stats: stats.NewStore(),
			State: func() admin.State { return state }, Connections: func() int64 { return 9 },
		}
		time.Sleep(90 * time.Second)
		get := func() string { return ask(source, "GET", "/stats?filter=^server").Body.String() }
		for _, line := range []string{"server.concurrency: 2", "server.live: 0", "server.state: 3", "server.uptime: 90", "server.total_connections: 9"} {
			assert.Contains(t, get(), line+"\n")
		}
		assert.NotContains(t, get(), "server.memory_allocated: 0\n")
		assert.NotContains(t, get(), "server.memory_heap_size: 0\n")
		state = admin.Live
		assert.Contains(t, get(), "server.live: 1\n")
		assert.Contains(t, ask(source, "GET", "/server_info").Body.String(), `"uptime_current_epoch": "90s"`)
	})
}

func TestServerInfo(t *testing.T) {
	w := ask(&admin.Source{Version: "1.2", Concurrency: 2, Started: time.Now(), NodeID: "<n>", NodeCluster: "k"}, "GET", "/server_info")
	var info map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &info))
	assert.Equal(t, "1.2", info["version"])
	assert.Equal(t, "LIVE", info["state"])
	assert.Equal(t, map[string]any{"id": "<n>", "cluster": "k"}, info["node"])
	assert.NotContains(t, w.Body.String(), "<n>", "JSON is safe where it is taken for a page")
}

func TestConfigDump(t *testing.T) {
	source := &admin.Source{
		Started:    time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC),
		ConfigDump: func() []byte { return []byte(golden(t, "bootstrap.json")) },
	}
	assert.Equal(t, golden(t, "config_dump.json"), ask(source, "GET", "/config_dump").Body.String())
	assert.Equal(t, "unsupported: mask\n", ask(source, "GET", "/config_dump?mask=a").Body.String())

	source.ConfigDump = func() []byte { return []byte("no") }
	assert.Equal(t, 500, ask(source, "GET", "/config_dump").Code)
	source.ConfigDump = func() []byte { return []byte(`{"static_resources":{"listeners":[{"filter_chains":1}]}}`) }
	assert.Equal(t, 500, ask(source, "GET", "/config_dump").Code)
	assert.Equal(t, 200, ask(&admin.Source{}, "GET", "/config_dump").Code)
}

// What is not an object where one is expected is shown as it is.
func TestConfigDumpOfOddities(t *testing.T) {
	for _, text := range []string{`{"static_resources":{"clusters":[null,1,"a",{}, []]}}`, `null`, `{"static_resources":{"listeners":[null]}}`} {
		w := ask(&admin.Source{ConfigDump: func() []byte { return []byte(text) }}, "GET", "/config_dump")
		assert.True(t, json.Valid(w.Body.Bytes()), w.Body.String())
	}
}

func TestChanges(t *testing.T) {
	var failed []bool
	quit := make(chan struct{})
	store := stats.NewStore()
	store.Scope("a").Counter("c").Inc()
	source := &admin.Source{
		Stats:            store,
		FailHealthChecks: func(fail bool) { failed = append(failed, fail) },
		Quit:             func() { close(quit) },
	}
	for _, path := range []string{"/healthcheck/fail", "/healthcheck/ok", "/reset_counters", "/quitquitquit"} {
		w := ask(source, "GET", path)
		assert.Equal(t, 405, w.Code)
		assert.Equal(t, "Method GET not allowed, POST required.", w.Body.String())
	}
	assert.Empty(t, failed)
	assert.EqualValues(t, 1, store.Scope("a").Counter("c").Value())
	for _, path := range []string{"/healthcheck/fail", "/healthcheck/ok", "/reset_counters", "/quitquitquit"} {
		w := ask(source, "POST", path)
		assert.Equal(t, 200, w.Code)
		assert.Equal(t, "OK\n", w.Body.String())
	}
	assert.Equal(t, []bool{true, false}, failed)
	assert.Zero(t, store.Scope("a").Counter("c").Value())
	<-quit
}

func TestHelp(t *testing.T) {
	help := ask(&admin.Source{}, "GET", "/help").Body.String()
	assert.True(t, strings.HasPrefix(help, "admin commands are:\n  /: Admin home page\n  /clusters: upstream cluster status\n      filter: "), help)
	assert.Contains(t, help, "  /reset_counters (POST): reset all counters to zero\n")
	assert.NotContains(t, help, "quitquitquit", "there is no hook")
	for _, path := range []string{"/nope", "/stats/", "/quitquitquit", "/healthcheck/fail", "/stats/prometheus/", "//stats"} {
		w := ask(&admin.Source{}, "POST", path)
		assert.Equal(t, 404, w.Code, path)
		assert.Equal(t, "invalid path. "+help, w.Body.String())
	}
}

func TestHome(t *testing.T) {
	w := ask(&admin.Source{Quit: func() {}}, "GET", "/")
	assert.Equal(t, "text/html; charset=UTF-8", w.Header().Get("content-type"))
	assert.Contains(t, w.Body.String(), `<a href="stats/prometheus">stats/prometheus</a>`)
	assert.Contains(t, w.Body.String(), `<form action="quitquitquit" method="post"><button>quitquitquit</button></form>`)
}

func TestServer(t *testing.T) {
	s, err := admin.Start(config.SocketAddress{Host: "127.0.0.1"}, &admin.Source{Stats: stats.NewStore()})
	require.NoError(t, err)
	response, err := http.Get("http://" + s.Addr().String() + "/ready")
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, "LIVE\n", string(body))
	_, err = admin.Start(config.SocketAddress{Host: "127.0.0.1", Port: uint16(port(t, s.Addr().String()))}, &admin.Source{Stats: stats.NewStore()})
	assert.ErrorContains(t, err, "admin: ")
	require.NoError(t, s.Close())
	_, err = http.Get("http://" + s.Addr().String() + "/ready")
	assert.Error(t, err)
}

func TestServerOnAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin")
	s, err := admin.Start(config.SocketAddress{Pipe: path, Mode: 0o600}, &admin.Source{Stats: stats.NewStore()})
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
	assert.Equal(t, path, s.Addr().String())
	require.NoError(t, s.Close())
}

func port(t *testing.T, address string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", address)
	require.NoError(t, err)
	return a.Port
}
