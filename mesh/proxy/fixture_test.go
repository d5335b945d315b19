package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/internal/echo"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// A setup is a configuration: one route for everything, to one cluster. Its strings are what is
// beyond that, as members of a mapping in YAML: "timeout: 1s, priority: HIGH".
type setup struct {
	manager, route, cluster string
	beside                  string   // of the route's action: "request_body_buffer_limit: 10"
	filters                 string   // items of a list, each with a comma behind it
	hosts                   []string // addresses of the cluster's hosts, if they are not echo backends
	backends                int      // how many echo backends there are; 0 is one, unless there are hosts
}

// A fixture is a proxy, and what is behind it.
type fixture struct {
	*Proxy
	t        testing.TB
	backends []*echo.Server
	baseline usage
}

// A usage is what a process has in use.
type usage struct{ goroutines, files int }

func used() usage {
	u := usage{goroutines: runtime.NumGoroutine(), files: -1}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		u.files = len(files)
	}
	return u
}

// start runs a proxy. At the end of the test it is looked whether anything is left of what went
// through it: gauges that are not 0, goroutines, files.
func start(t testing.TB, s setup) *fixture {
	f := &fixture{t: t, baseline: used()}
	if s.hosts == nil {
		for i := range max(s.backends, 1) {
			b, err := echo.Start(fmt.Sprint("b", i), "127.0.0.1:0")
			require.NoError(t, err)
			f.backends = append(f.backends, b)
			s.hosts = append(s.hosts, b.Addr())
		}
	}
	cfg, err := config.Parse("test.yaml", []byte(s.yaml(t)))
	require.NoError(t, err)
	f.Proxy, err = Start(context.Background(), cfg, Options{})
	require.NoError(t, err)
	t.Cleanup(f.end)
	return f
}

func (s *setup) yaml(t testing.TB) string {
	var endpoints []string
	for _, h := range s.hosts {
		host, port, err := net.SplitHostPort(h)
		require.NoError(t, err)
		endpoints = append(endpoints, fmt.Sprintf("{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}", host, port))
	}
	more := func(members string) string {
		if members == "" {
			return ""
		}
		return ", " + members
	}
	const extension = "type.googleapis.com/envoy.extensions.filters."
	return `
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config: {"@type": ` + extension + `network.http_connection_manager.v3.HttpConnectionManager,
          stat_prefix: ingress,
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [
            {match: {prefix: /}, route: {cluster: backends` + more(s.route) + `}` + more(s.beside) + `}]}]},
          http_filters: [` + s.filters + `
            {name: router, typed_config: {"@type": ` + extension + `http.router.v3.Router}}]` + more(s.manager) + `}
  clusters:
  - {name: backends, load_assignment: {cluster_name: backends, endpoints: [
      {lb_endpoints: [` + strings.Join(endpoints, ", ") + `]}]}` + more(s.cluster) + `}
`
}

// underWay finds the gauges that say what is under way.
var underWay = regexp.MustCompile(`^(cluster|http|listener\.).*(_active(_requests|_connections)?|_buffered|(cx|rq|rq_pending|rq_retry)_open): `)

// end closes everything, and looks what is left.
func (f *fixture) end() {
	gauges := func() (left []string) {
		var b bytes.Buffer
		require.NoError(f.t, f.stats.WriteText(&b, stats.Query{Kind: stats.Gauges}))
		for line := range strings.Lines(b.String()) {
			if underWay.MatchString(line) && !strings.Contains(line, "ejections_active") && !strings.HasSuffix(line, ": 0\n") {
				left = append(left, line)
			}
		}
		for _, c := range f.clusters.All() {
			for priority := range config.Priority(2) {
				b := c.Breakers(priority)
				for what, n := range map[string]int{
					"requests": b.Requests.InUse(), "pending": b.Pending.InUse(), "retries": b.Retries.InUse(), "connections": b.Connections.InUse(),
				} {
					if n != 0 {
						left = append(left, fmt.Sprint(what, " of a circuit breaker: ", n))
					}
				}
			}
			for _, h := range c.Status().Hosts {
				if n := h.Stats.ActiveRequests.Value() + h.Stats.ActiveConnections.Value() + h.Stats.PendingRequests.Value(); n != 0 {
					left = append(left, fmt.Sprint("a host's: ", n))
				}
			}
		}
		return left
	}
	began := time.Now()
	require.NoError(f.t, f.Close())
	require.Less(f.t, time.Since(began), drainTime+2*time.Second, "to close the proxy")
	for _, b := range f.backends {
		b.Close()
	}
	eventually(f.t, func() string {
		if left := gauges(); len(left) > 0 {
			return fmt.Sprint("gauges that are not 0: ", left)
		}
		if _, fuzzing := f.t.(*testing.F); fuzzing {
			return "" // which has goroutines of its own
		}
		if now := used(); now.goroutines > f.baseline.goroutines {
			stacks := make([]byte, 1<<20)
			return fmt.Sprintf("%d goroutines, before %d\n%s", now.goroutines, f.baseline.goroutines, stacks[:runtime.Stack(stacks, true)])
		} else if now.files > f.baseline.files {
			runtime.GC() // pipes that are kept for the next body
			return fmt.Sprintf("%d files, before %d", now.files, f.baseline.files)
		}
		return ""
	})
}

// eventually waits until there is nothing wrong any more.
func eventually(t testing.TB, wrong func() string) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); ; {
		what := wrong()
		if what == "" {
			return
		}
		require.True(t, time.Now().Before(until), "%s", what)
		time.Sleep(5 * time.Millisecond)
	}
}

// counter returns the value of a counter of the connection manager's, or of the cluster's.
func (f *fixture) counter(name string) uint64 {
	return f.stats.HTTP("ingress").Counter(name).Value()
}

func (f *fixture) clusterCounter(name string) uint64 {
	return f.stats.Cluster("backends").Counter(name).Value()
}

// A client is a connection to a proxy.
type rawClient struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

// patience is how long anything may take that a test waits for.
const patience = 20 * time.Second

// dial connects to the proxy.
func (f *fixture) dial() *rawClient {
	c, err := net.Dial("tcp", f.Addr(0).String())
	require.NoError(f.t, err)
	require.NoError(f.t, c.SetDeadline(time.Now().Add(patience)))
	f.t.Cleanup(func() { c.Close() })
	return newClient(f.t, c)
}

func newClient(t testing.TB, c net.Conn) *rawClient { return &rawClient{c, t, bufio.NewReader(c)} }

func (c *rawClient) send(parts ...string) {
	_, err := io.WriteString(c, strings.Join(parts, ""))
	require.NoError(c.t, err)
}

// An answer is one that a client has read whole.
type answer struct {
	*http.Response
	body string
}

// read reads the answer to a request of a method.
func (c *rawClient) read(method string) (answer, error) {
	r, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return answer{}, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	return answer{r, string(body)}, err
}

// must reads an answer that has to come.
func (c *rawClient) must(method string) answer {
	c.t.Helper()
	a, err := c.read(method)
	require.NoError(c.t, err)
	return a
}

// seen returns the request that the answer's backend has seen.
func (a answer) seen(t testing.TB) *echo.Request {
	t.Helper()
	r, err := echo.Parse([]byte(a.body))
	require.NoError(t, err, "%d %s", a.StatusCode, a.body)
	return &r
}

// closed waits for the end of the connection.
func (c *rawClient) closed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.in)
	if err != nil {
		var timeout net.Error
		require.False(c.t, isTimeout(err, &timeout), "the connection is still open")
	}
	require.Empty(c.t, rest)
}

func isTimeout(err error, t *net.Error) bool {
	e, ok := err.(net.Error)
	*t = e
	return ok && e.Timeout()
}

var lastNumber atomic.Int64

// unique returns an ID that no other request has.
func unique() string { return fmt.Sprint("n", lastNumber.Add(1)) }

// reset ends the connection in the rude way.
func (c *rawClient) reset() {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.Close()
}
