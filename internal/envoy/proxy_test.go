package envoy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/internal/refuse"
)

const started = "all dependencies initialized. starting workers"

// proxyScript is an Envoy that says that it is up, with this admin address.
func proxyScript(t *testing.T, admin, then string) string {
	return script(t, `while [ $# -gt 0 ]; do
		if [ "$1" = --admin-address-path ]; then printf '%s' '`+admin+`' >"$2"; fi
		shift
	done
	echo "`+started+`" >&2
	`+then)
}

func TestProxyTellsItsListeners(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "/listeners?format=json", r.URL.String())
		_, _ = w.Write([]byte(`{"listener_statuses": [
			{"name": "a", "local_address": {"socket_address": {"address": "127.0.0.1", "port_value": 7}}},
			{"name": "b", "local_address": {"socket_address": {"address": "::1", "port_value": 8}}}]}`))
	}))
	defer admin.Close()
	p, err := Start(t.Context(), proxyScript(t, admin.Listener.Addr().String(), "exec sleep 60"), nil)
	require.NoError(t, err)
	listeners, err := p.Listeners(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "127.0.0.1:7", "b": "[::1]:8"}, listeners)
	begin := time.Now()
	require.NoError(t, p.Close())
	require.Less(t, time.Since(begin), 30*time.Second, "it was stopped, not waited for")
	require.NoFileExists(t, filepath.Join(p.dir, "envoy.json"))
}

func TestProxyErrors(t *testing.T) {
	_, err := Start(t.Context(), script(t, "echo bad listener >&2; exit 1"), nil)
	require.ErrorContains(t, err, "envoy: it ended before it was up; the end of its log:\n\tbad listener")

	_, err = Start(t.Context(), filepath.Join(t.TempDir(), "nothing"), nil)
	require.ErrorIs(t, err, os.ErrNotExist)

	_, err = Start(t.Context(), "envoy", map[string]any{"admin": 1})
	require.ErrorContains(t, err, `the bootstrap has "admin", which Start sets`)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = Start(ctx, script(t, "exec sleep 60"), nil)
	require.Error(t, err)
}

func TestProxyWithoutAdmin(t *testing.T) {
	closed, err := refuse.Take()
	require.NoError(t, err)
	defer closed.Close()
	p, err := Start(t.Context(), proxyScript(t, closed.Addr(), "exec sleep 60"), nil)
	require.NoError(t, err)
	_, err = p.Listeners(t.Context())
	require.ErrorContains(t, err, "envoy: asking for the listeners")
	require.NoError(t, p.Close())
}

func TestFind(t *testing.T) {
	t.Setenv("MAGLEV_ENVOY", "/some/envoy")
	binary, err := Find(t.Context())
	require.NoError(t, err)
	require.Equal(t, "/some/envoy", binary)

	t.Setenv("MAGLEV_ENVOY", "")
	t.Setenv("PATH", t.TempDir())
	_, err = Find(t.Context())
	require.ErrorContains(t, err, "MAGLEV_ENVOY is not set")
}
