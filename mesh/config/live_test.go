package config_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/maglev-lb/maglev/internal/envoy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestEnvoyLive asks an Envoy for its verdict on each configuration of the tests. It has to
// take what is accepted here, and to refuse what is refused, but for what it supports and
// this package does not. These variables of the environment direct it:
//
//	MAGLEV_ENVOY           the binary; else the envoy in PATH, if it is 1.40
//	MAGLEV_REQUIRE_LIVE    1 to fail without an Envoy
func TestEnvoyLive(t *testing.T) {
	binary := requireEnvoy(t)
	for _, pattern := range []string{"testdata/*.yaml", "testdata/paper/*.yaml"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			requireVerdict(t, binary, filepath.Base(file), string(text), true)
		}
	}
	for _, c := range readCases(t, "accepted") {
		text, _, _, _ := c.whole(t)
		requireVerdict(t, binary, c.file, text, true)
	}
	for _, c := range readCases(t, "refused") {
		text, _, _, _ := c.whole(t)
		if c.alone != "" {
			requireVerdict(t, binary, c.file, text, true)
		} else if !strings.Contains(c.body, "unsupported") {
			requireVerdict(t, binary, c.file, text, false)
		}
	}
}

func requireEnvoy(t *testing.T) string {
	binary, err := envoy.Find(t.Context())
	if err != nil {
		if os.Getenv("MAGLEV_REQUIRE_LIVE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return binary
}

func requireVerdict(t *testing.T, binary, name, text string, accepted bool) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		cmd := exec.CommandContext(t.Context(), binary, "--mode", "validate", "-c", "envoy.yaml", "--disable-hot-restart", "-l", "error")
		cmd.Dir = t.TempDir() // it opens access logs, and mutants name files in their own way
		require.NoError(t, os.WriteFile(filepath.Join(cmd.Dir, "envoy.yaml"), []byte(text), 0o600))
		require.NoError(t, os.CopyFS(filepath.Join(cmd.Dir, "testdata"), os.DirFS("testdata")))
		output, err := cmd.CombinedOutput()
		assert.Equal(t, accepted, err == nil, "%s\n%s", text, output)
	})
}
