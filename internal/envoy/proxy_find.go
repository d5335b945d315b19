package envoy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Find returns the path of an Envoy to run: that of the environment variable
// MAGLEV_ENVOY, or else the envoy of PATH if it is version 1.40. The error says what
// is missing, for a test that skips or, if MAGLEV_REQUIRE_LIVE is 1, fails.
func Find(ctx context.Context) (string, error) {
	const hint = "run MAGLEV_ENVOY=$(.ci/install-envoy) go test"
	if binary := os.Getenv("MAGLEV_ENVOY"); binary != "" {
		return binary, nil
	}
	binary, err := exec.LookPath("envoy")
	if err != nil {
		return "", errors.New("no Envoy to compare with: MAGLEV_ENVOY is not set and envoy is not in PATH; " + hint)
	}
	version, err := Version(ctx, binary)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(version, "1.40.") {
		return "", fmt.Errorf("no Envoy to compare with: MAGLEV_ENVOY is not set and %s is %s, not 1.40; %s", binary, version, hint)
	}
	return binary, nil
}
