package statnames

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/internal/envoy"
	"github.com/maglev-lb/maglev/mesh/internal/echo"
	"github.com/maglev-lb/maglev/mesh/stats"
)

var update = flag.Bool("update", false, "write names.txt anew")

// The list is what a real Envoy shows. To write it anew:
//
//	MAGLEV_ENVOY=$(../../../.ci/install-envoy) go test -run Live -update
func TestLiveNamesAreEnvoys(t *testing.T) {
	binary, err := envoy.Find(t.Context())
	if err != nil {
		if os.Getenv("MAGLEV_REQUIRE_LIVE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	backend, err := echo.Start("backend", "127.0.0.1:0")
	require.NoError(t, err)
	defer backend.Close()
	admin := start(t, binary, backend.Port())

	get := func(target string, fields ...string) string {
		request, err := http.NewRequestWithContext(t.Context(), "GET", target, nil)
		require.NoError(t, err)
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			request.Header.Set(name, value)
		}
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return string(body)
	}
	_, listener, ok := strings.Cut(strings.TrimSpace(get(admin+"/listeners")), "::")
	require.True(t, ok)
	proxy := "http://" + listener
	get(proxy + "/")
	get(proxy+"/", "x-forwarded-for: 10.0.0.1") // internal
	get(proxy + "/?x-echo-status=503")          // retried
	get(proxy + "/closed")
	get(proxy + "/dns")
	get(proxy + "/health")

	seen := types(get(admin + "/stats/prometheus"))
	slices.Sort(seen)
	if *update {
		require.NoError(t, os.WriteFile("names.txt", []byte(strings.Join(seen, "\n")+"\n"), 0o644))
		return
	}
	assert.Equal(t, strings.TrimSpace(names), strings.Join(seen, "\n"))

	// The same statistics in a Store are printed the same, but for the values, which go on
	// changing, and for those of Envoy's workers, of which we have none.
	store := stats.NewStore()
	for kind, add := range map[string]func(stats.Scope, string){
		"Counters": func(s stats.Scope, name string) { s.Counter(name) },
		"Gauges":   func(s stats.Scope, name string) { s.Gauge(name) },
	} {
		for line := range strings.Lines(get(admin + "/stats?type=" + kind)) {
			if name, _, _ := strings.Cut(line, ":"); !strings.Contains(name, "worker_0") {
				scope, leaf := scopeOf(store, name)
				add(scope, leaf)
			}
		}
	}
	var ours strings.Builder
	require.NoError(t, store.WritePrometheus(&ours, stats.Query{}))
	theirs, _, _ := strings.Cut(get(admin+"/stats/prometheus"), " histogram\n")
	theirs = theirs[:strings.LastIndex(theirs, "#")]
	assert.Greater(t, strings.Count(theirs, "\n"), 1000)
	assert.Equal(t, withoutValues(theirs), withoutValues(ours.String()))
}

// scopeOf returns the scope of a name of Envoy's, and what is left of the name.
func scopeOf(store *stats.Store, name string) (stats.Scope, string) {
	if prefix, leaf, ok := strings.Cut(name, ".http_local_rate_limit."); ok {
		return store.LocalRateLimit(prefix), leaf
	}
	parts := strings.Split(name, ".")
	below := func(n int) string { return strings.Join(parts[n:], ".") }
	switch {
	case parts[0] == "cluster":
		return store.Cluster(parts[1]), below(2)
	case parts[0] == "http":
		return store.HTTP(parts[1]), below(2)
	case parts[0] == "connection_limit":
		return store.ConnectionLimit(parts[1]), below(2)
	case parts[0] == "vhost":
		return store.Route(parts[1], parts[3]), below(4)
	case parts[0] == "listener":
		scope, n := store.Scope("listener.admin"), 2
		if parts[1] != "admin" { // an address with dots
			scope, n = store.Listener(strings.Join(parts[1:5], ".")), 5
		}
		if parts[n] == "http" {
			return scope.HTTP(parts[n+1]), below(n + 2)
		}
		return scope, below(n)
	}
	return store.Scope(""), name
}

func withoutValues(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, "worker_") {
			continue
		}
		if line[0] != '#' {
			line = line[:strings.LastIndexByte(line, ' ')] + "\n"
		}
		b.WriteString(line)
	}
	return b.String()
}

// start starts an Envoy and returns the URL of its admin server.
func start(t *testing.T, binary string, backend int) string {
	t.Helper()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, closed.Close())
	_, port, err := net.SplitHostPort(closed.Addr().String())
	require.NoError(t, err)
	text, err := os.ReadFile("testdata/envoy.yaml")
	require.NoError(t, err)
	config := strings.NewReplacer("CONNECT", strconv.Itoa(backend), "CLOSED", port).Replace(string(text)) +
		"admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n"
	dir := t.TempDir()
	file, address := filepath.Join(dir, "envoy.yaml"), filepath.Join(dir, "admin")
	require.NoError(t, os.WriteFile(file, []byte(config), 0o600))

	cmd := exec.CommandContext(t.Context(), binary, "-c", file, "--admin-address-path", address,
		"--concurrency", "1", "--disable-hot-restart", "--log-format", "%v")
	log, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	lines := bufio.NewScanner(log)
	for lines.Scan() && lines.Text() != "all dependencies initialized. starting workers" {
	}
	go io.Copy(io.Discard, log) // or Envoy would stop
	admin, err := os.ReadFile(address)
	require.NoError(t, err, "Envoy did not start")
	return fmt.Sprintf("http://%s", strings.TrimSpace(string(admin)))
}
