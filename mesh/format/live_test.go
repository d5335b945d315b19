package format_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/internal/envoy"
)

// TestEnvoyLive asks an Envoy whether it accepts the formats of TestParse and TestParseErrors.
// These variables of the environment direct it:
//
//	MAGLEV_ENVOY           the binary; else the envoy in PATH, if it is 1.40
//	MAGLEV_REQUIRE_LIVE    1 to fail without an Envoy
func TestEnvoyLive(t *testing.T) {
	binary, err := envoy.Find(t.Context())
	if err != nil {
		if os.Getenv("MAGLEV_REQUIRE_LIVE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for _, text := range oddFormats {
		assert.True(t, envoyAccepts(t, binary, text), "%q", text)
	}
	for _, c := range badFormats {
		assert.Equal(t, c.onlyHere, envoyAccepts(t, binary, c.text), "%q", c.text)
	}
}

// envoyAccepts returns whether Envoy takes a format for that of an access log.
func envoyAccepts(t *testing.T, binary, text string) bool {
	type object = map[string]any
	config, err := json.Marshal(object{"static_resources": object{"listeners": []any{object{
		"address": object{"socket_address": object{"address": "127.0.0.1", "port_value": 1}},
		"filter_chains": []any{object{"filters": []any{object{
			"name": "envoy.filters.network.http_connection_manager",
			"typed_config": object{
				"@type":        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
				"stat_prefix":  "test",
				"route_config": object{"virtual_hosts": []any{}},
				"http_filters": []any{object{
					"name":         "envoy.filters.http.router",
					"typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
				}},
				"access_log": []any{object{"name": "file", "typed_config": object{
					"@type":      "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
					"path":       "/dev/null",
					"log_format": object{"text_format_source": object{"inline_string": text}},
				}}},
			},
		}}}},
	}}}})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "envoy.json")
	require.NoError(t, os.WriteFile(path, config, 0o600))
	err = exec.CommandContext(t.Context(), binary, "-c", path, "--mode", "validate", "-l", "off", "--disable-hot-restart").Run()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit)
	}
	return err == nil
}
