package stats_test

import (
	"encoding/json"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/stats"
)

type clusterStats struct {
	Total    stats.Counter      `stat:"upstream_cx_total"`
	Active   stats.Gauge        `stat:"upstream_cx_active"`
	Time     stats.Histogram    `stat:"upstream_rq_time"`
	Codes    stats.CodeCounters `stat:"upstream_rq"`
	External struct {
		Codes stats.CodeCounters `stat:"upstream_rq"`
	} `stat:"external"`
	other int
}

func text(t *testing.T, s *stats.Store, q stats.Query) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, s.WriteText(&out, q))
	return out.String()
}

func prometheus(t *testing.T, s *stats.Store, q stats.Query) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, s.WritePrometheus(&out, q))
	return out.String()
}

// some has one of everything. The expected texts are what Envoy 1.40 prints, but for the
// cluster's name: it has a dot, which Envoy's labels do not survive.
func some() *stats.Store {
	s := stats.NewStore()
	c := stats.Group[clusterStats](s.Cluster("orders.v1:80"))
	c.Total.Add(5)
	c.Active.Inc()
	c.Codes.Inc(200)
	c.Codes.Inc(200)
	c.Codes.Inc(503)
	c.External.Codes.Inc(200)
	c.Time.Record(54)
	type managerStats struct {
		Answers stats.ClassCounters `stat:"downstream_rq"`
	}
	stats.Group[managerStats](s.HTTP("ingress")).Answers.Inc(204)
	l := s.Listener("127.0.0.1:28080")
	l.Counter("downstream_cx_total")
	stats.Group[managerStats](l.HTTP("ingress"))
	s.LocalRateLimit("rl").Counter("enabled").Inc()
	s.ConnectionLimit("clp").Gauge("active_connections")
	s.Route("v", "r").Counter("upstream_rq_total")
	server := s.Scope("server")
	server.GaugeFunc("uptime", func() int64 { return 7 })
	server.Gauge("live").Set(1)
	s.Scope("").Counter("root")
	return s
}

func TestText(t *testing.T) {
	assert.Equal(t, `cluster.orders.v1_80.external.upstream_rq_200: 1
cluster.orders.v1_80.external.upstream_rq_2xx: 1
cluster.orders.v1_80.external.upstream_rq_completed: 1
cluster.orders.v1_80.upstream_cx_active: 1
cluster.orders.v1_80.upstream_cx_total: 5
cluster.orders.v1_80.upstream_rq_200: 2
cluster.orders.v1_80.upstream_rq_2xx: 2
cluster.orders.v1_80.upstream_rq_503: 1
cluster.orders.v1_80.upstream_rq_5xx: 1
cluster.orders.v1_80.upstream_rq_completed: 3
connection_limit.clp.active_connections: 0
http.ingress.downstream_rq_1xx: 0
http.ingress.downstream_rq_2xx: 1
http.ingress.downstream_rq_3xx: 0
http.ingress.downstream_rq_4xx: 0
http.ingress.downstream_rq_5xx: 0
http.ingress.downstream_rq_completed: 1
listener.127.0.0.1_28080.downstream_cx_total: 0
listener.127.0.0.1_28080.http.ingress.downstream_rq_1xx: 0
listener.127.0.0.1_28080.http.ingress.downstream_rq_2xx: 0
listener.127.0.0.1_28080.http.ingress.downstream_rq_3xx: 0
listener.127.0.0.1_28080.http.ingress.downstream_rq_4xx: 0
listener.127.0.0.1_28080.http.ingress.downstream_rq_5xx: 0
listener.127.0.0.1_28080.http.ingress.downstream_rq_completed: 0
rl.http_local_rate_limit.enabled: 1
root: 0
server.live: 1
server.uptime: 7
vhost.v.route.r.upstream_rq_total: 0
cluster.orders.v1_80.upstream_rq_time: P0(nan,54.5) P25(nan,54.5) P50(nan,54.5) P75(nan,54.5) P90(nan,54.5) P95(nan,54.5) P99(nan,54.5) P99.5(nan,54.5) P99.9(nan,54.5) P100(nan,54.5)
`, text(t, some(), stats.Query{}))
}

func TestPrometheus(t *testing.T) {
	want := `# TYPE envoy_cluster_external_upstream_rq counter
envoy_cluster_external_upstream_rq{envoy_response_code="200",envoy_cluster_name="orders.v1_80"} 1
# TYPE envoy_cluster_external_upstream_rq_completed counter
envoy_cluster_external_upstream_rq_completed{envoy_cluster_name="orders.v1_80"} 1
# TYPE envoy_cluster_external_upstream_rq_xx counter
envoy_cluster_external_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="orders.v1_80"} 1
# TYPE envoy_cluster_upstream_cx_total counter
envoy_cluster_upstream_cx_total{envoy_cluster_name="orders.v1_80"} 5
# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="orders.v1_80"} 2
envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="orders.v1_80"} 1
# TYPE envoy_cluster_upstream_rq_completed counter
envoy_cluster_upstream_rq_completed{envoy_cluster_name="orders.v1_80"} 3
# TYPE envoy_cluster_upstream_rq_xx counter
envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="orders.v1_80"} 2
envoy_cluster_upstream_rq_xx{envoy_response_code_class="5",envoy_cluster_name="orders.v1_80"} 1
# TYPE envoy_http_downstream_rq_completed counter
envoy_http_downstream_rq_completed{envoy_http_conn_manager_prefix="ingress"} 1
# TYPE envoy_http_downstream_rq_xx counter
envoy_http_downstream_rq_xx{envoy_response_code_class="1",envoy_http_conn_manager_prefix="ingress"} 0
envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="ingress"} 1
envoy_http_downstream_rq_xx{envoy_response_code_class="3",envoy_http_conn_manager_prefix="ingress"} 0
envoy_http_downstream_rq_xx{envoy_response_code_class="4",envoy_http_conn_manager_prefix="ingress"} 0
envoy_http_downstream_rq_xx{envoy_response_code_class="5",envoy_http_conn_manager_prefix="ingress"} 0
# TYPE envoy_http_local_rate_limit_enabled counter
envoy_http_local_rate_limit_enabled{envoy_local_http_ratelimit_prefix="rl"} 1
# TYPE envoy_listener_downstream_cx_total counter
envoy_listener_downstream_cx_total{envoy_listener_address="127.0.0.1_28080"} 0
# TYPE envoy_listener_http_downstream_rq_completed counter
envoy_listener_http_downstream_rq_completed{envoy_http_conn_manager_prefix="ingress",envoy_listener_address="127.0.0.1_28080"} 0
# TYPE envoy_listener_http_downstream_rq_xx counter
envoy_listener_http_downstream_rq_xx{envoy_response_code_class="1",envoy_http_conn_manager_prefix="ingress",envoy_listener_address="127.0.0.1_28080"} 0
envoy_listener_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="ingress",envoy_listener_address="127.0.0.1_28080"} 0
envoy_listener_http_downstream_rq_xx{envoy_response_code_class="3",envoy_http_conn_manager_prefix="ingress",envoy_listener_address="127.0.0.1_28080"} 0
envoy_listener_http_downstream_rq_xx{envoy_response_code_class="4",envoy_http_conn_manager_prefix="ingress",envoy_listener_address="127.0.0.1_28080"} 0
envoy_listener_http_downstream_rq_xx{envoy_response_code_class="5",envoy_http_conn_manager_prefix="ingress",envoy_listener_address="127.0.0.1_28080"} 0
# TYPE envoy_root counter
envoy_root{} 0
# TYPE envoy_vhost_route_upstream_rq_total counter
envoy_vhost_route_upstream_rq_total{envoy_virtual_host="v",envoy_route="r"} 0
# TYPE envoy_cluster_upstream_cx_active gauge
envoy_cluster_upstream_cx_active{envoy_cluster_name="orders.v1_80"} 1
# TYPE envoy_connection_limit_active_connections gauge
envoy_connection_limit_active_connections{envoy_connection_limit_prefix="clp"} 0
# TYPE envoy_server_live gauge
envoy_server_live{} 1
# TYPE envoy_server_uptime gauge
envoy_server_uptime{} 7
# TYPE envoy_cluster_upstream_rq_time histogram
`
	for _, bound := range []string{"0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000", "30000", "60000", "300000", "600000", "1800000", "3600000", "+Inf"} {
		count := " 1\n"
		if n, _ := strconv.ParseFloat(bound, 64); n <= 50 {
			count = " 0\n"
		}
		want += `envoy_cluster_upstream_rq_time_bucket{envoy_cluster_name="orders.v1_80",le="` + bound + `"}` + count
	}
	want += `envoy_cluster_upstream_rq_time_sum{envoy_cluster_name="orders.v1_80"} 54
envoy_cluster_upstream_rq_time_count{envoy_cluster_name="orders.v1_80"} 1
`
	assert.Equal(t, want, prometheus(t, some(), stats.Query{}))
}

func TestPrometheusEscapesAndHasNoUntrueNames(t *testing.T) {
	s := stats.NewStore()
	s.Cluster("a\"b\\c\nd").Counter("x-y_rq_20x").Inc()
	s.Scope("h").Histogram("time")
	assert.Contains(t, prometheus(t, s, stats.Query{Kind: stats.Counters}),
		`envoy_cluster_x_y_rq_20x{envoy_cluster_name="a\"b\\c\nd"} 1`)
	assert.Contains(t, prometheus(t, s, stats.Query{Kind: stats.Histograms}), `envoy_h_time_bucket{le="0.5"} 0`)
}

func TestQuery(t *testing.T) {
	s := stats.NewStore()
	a := s.Scope("a")
	a.Counter("used").Inc()
	a.Counter("unused")
	gauge := a.Gauge("gauge")
	gauge.Inc()
	gauge.Dec() // 0 again, and was written
	a.Gauge("unused_gauge")
	a.Histogram("h").Record(0)
	a.Histogram("unused_h")
	lines := func(q stats.Query) []string {
		var names []string
		for line := range strings.Lines(text(t, s, q)) {
			name, _, _ := strings.Cut(line, ":")
			names = append(names, name)
		}
		return names
	}
	assert.Equal(t, []string{"a.gauge", "a.used", "a.h"}, lines(stats.Query{UsedOnly: true}))
	assert.Equal(t, []string{"a.unused", "a.used"}, lines(stats.Query{Kind: stats.Counters}))
	assert.Equal(t, []string{"a.gauge", "a.unused_gauge"}, lines(stats.Query{Kind: stats.Gauges}))
	assert.Equal(t, []string{"a.h", "a.unused_h"}, lines(stats.Query{Kind: stats.Histograms}))
	filter := regexp.MustCompile("^a.un")
	assert.Equal(t, []string{"a.unused", "a.unused_gauge", "a.unused_h"}, lines(stats.Query{Filter: filter}))
	assert.Equal(t, []string{"a.gauge", "a.used", "a.h"}, lines(stats.Query{Filter: filter, Invert: true}))
}

func TestLazyOnesAreThereWhenTheyWereWritten(t *testing.T) {
	type lazyStats struct {
		Time  stats.Histogram `stat:"time,lazy"`
		Inner struct {
			Count stats.Counter `stat:"count"`
			Gauge stats.Gauge   `stat:"gauge"`
		} `stat:"inner,lazy"`
	}
	s := stats.NewStore()
	group := stats.Group[lazyStats](s.Scope("a"))
	assert.Empty(t, text(t, s, stats.Query{}))
	group.Inner.Gauge.Set(0)
	group.Inner.Count.Inc()
	group.Time.Record(0)
	assert.Equal(t, 3, strings.Count(text(t, s, stats.Query{}), "\n"))
}

func TestJSON(t *testing.T) {
	s := stats.NewStore()
	write := func() string {
		var out strings.Builder
		require.NoError(t, s.WriteJSON(&out, stats.Query{}))
		assert.True(t, json.Valid([]byte(out.String())), out.String())
		return out.String()
	}
	assert.Equal(t, `{"stats":[]}`, write())
	s.Scope("a").Counter(`b"c`).Inc()
	s.Scope("a").Gauge("g").Dec()
	assert.Equal(t, `{"stats":[{"name":"a.b\"c","value":1},{"name":"a.g","value":-1}]}`, write())
	s.Scope("a").Histogram("h").Record(54)
	s.Scope("a").Histogram("i")
	repeated := func(s string) string { return strings.TrimSuffix(strings.Repeat(s+",", 10), ",") }
	assert.Equal(t, `{"stats":[{"name":"a.b\"c","value":1},{"name":"a.g","value":-1},`+
		`{"histograms":{"supported_quantiles":[0,25,50,75,90,95,99,99.5,99.9,100],"computed_quantiles":[`+
		`{"name":"a.h","values":[`+repeated(`{"cumulative":54.5,"interval":null}`)+`]},`+
		`{"name":"a.i","values":[`+repeated(`{"cumulative":null,"interval":null}`)+`]}]}}]}`, write())
}

func TestTheSameOneEachTime(t *testing.T) {
	s := stats.NewStore()
	c := s.Cluster("c")
	assert.Same(t, c.Counter("a"), s.Cluster("c").Counter("a"))
	assert.Same(t, c.Histogram("h"), c.Histogram("h"))
	assert.Same(t, c.Scope("x").Gauge("g"), c.Scope("x").Gauge("g"))
	group := stats.Group[clusterStats](c)
	assert.Same(t, group, stats.Group[clusterStats](s.Cluster("c")))
	assert.NotSame(t, group, stats.Group[clusterStats](s.Cluster("d")))
	assert.Same(t, &group.Total, c.Counter("upstream_cx_total"))
	assert.PanicsWithValue(t, "stats: cluster.c.a is a *stats.Counter, not a *stats.Gauge", func() { c.Gauge("a") })
	assert.Panics(t, func() { stats.Group[int](c) })
	assert.Panics(t, func() {
		stats.Group[struct {
			A string `stat:"a"`
		}](c)
	})
	c.Counter("b") // the Store is usable after a panic
	group.other = 1
}

func TestNamesAreSanitised(t *testing.T) {
	s := stats.NewStore()
	for _, name := range []string{"a:1", "http://b", "c:/d", "[::1]:80"} {
		s.Cluster(name).Counter("x")
	}
	assert.Equal(t, "cluster.[__1]_80.x: 0\ncluster.a_1.x: 0\ncluster.c_d.x: 0\ncluster.http_b.x: 0\n", text(t, s, stats.Query{}))
}

func TestResetCounters(t *testing.T) {
	s := some()
	s.ResetCounters()
	got := text(t, s, stats.Query{UsedOnly: true})
	assert.NotContains(t, got, "_total")
	assert.NotContains(t, got, "upstream_rq_200")
	assert.Contains(t, got, "server.live: 1\n")
	assert.Contains(t, got, "upstream_rq_time: P0(nan,54.5)")
}

func TestCodeCounters(t *testing.T) {
	var c stats.CodeCounters
	for _, status := range []int{200, 204, 204, 599, 600, 999, 0, -1, 1000} {
		c.Inc(status)
	}
	assert.EqualValues(t, 2, c.Value(204))
	assert.EqualValues(t, 4, c.Value(999))
	assert.Zero(t, c.Value(404))
	assert.Zero(t, c.Value(7))
	assert.EqualValues(t, 9, c.Completed())
	var d stats.ClassCounters
	for _, status := range []int{200, 204, 99, 600, 503} {
		d.Inc(status)
	}
	assert.EqualValues(t, 2, d.Value(2))
	assert.EqualValues(t, 5, d.Completed())
}

func TestCountingDoesNotAllocate(t *testing.T) {
	c := stats.Group[clusterStats](stats.NewStore().Cluster("c"))
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		c.Total.Inc()
		c.Active.Inc()
		c.Active.Dec()
		c.Codes.Inc(200)
		c.Time.Record(5)
	}), 0.1) // the first one makes room
}

// The statistics of a cluster have no names of their own: what a scope costs is the struct, and
// little more.
func TestMemoryOfManyClusters(t *testing.T) {
	s := stats.NewStore()
	const n = 1000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range n {
		c := stats.Group[clusterStats](s.Cluster("cluster-" + strconv.Itoa(i)))
		c.Total.Inc()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := (after.HeapAlloc - before.HeapAlloc) / n
	assert.Less(t, each, uint64(unsafe.Sizeof(clusterStats{}))+700)
	runtime.KeepAlive(s)
}

func TestConcurrently(t *testing.T) {
	s := stats.NewStore()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 100 {
				c := stats.Group[clusterStats](s.Cluster(strconv.Itoa(i % 7)))
				c.Codes.Inc(100 + i)
				c.Time.Record(uint64(i * i))
				s.Cluster("x").Counter(strconv.Itoa(i)).Inc()
				if i%50 == 0 {
					text(t, s, stats.Query{})
				}
			}
		})
	}
	all.Wait()
	assert.EqualValues(t, 4, s.Cluster("x").Counter("99").Value())
}

func BenchmarkInc(b *testing.B) {
	var c stats.CodeCounters
	for b.Loop() {
		c.Inc(200)
	}
}
