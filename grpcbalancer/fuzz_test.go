package grpcbalancer

import (
	"encoding/json"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a config is, it is refused in words of this package, or it comes back as it
// was once gRPC has written and read it.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `[]`, `{"tableSize":251,"requestHashHeader":"X-User","headerRule":"envoy","hashBalanceFactor":125}`,
		`{"dialect":"cilium","tableSize":251,"hashSeed":"JLfvgnHc2kaSUFaI"}`,
		`{"table_size":"251","consistent_hashing_lb_config":{"hash_balance_factor":150,"use_hostname_for_hashing":true}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, parse := range []func(json.RawMessage) (*Config, error){parseConfig, parseEnvoyConfig} {
			c, err := parse([]byte(raw))
			if err != nil {
				require.ErrorContains(t, err, "grpcbalancer: ")
				continue
			}
			text, err := json.Marshal(c)
			require.NoError(t, err)
			again, err := parse(text)
			require.NoError(t, err)
			require.Equal(t, c, again)
		}
	})
}

// Whatever a target is, it is refused in words of this package, or its backends are such
// that checking them again changes nothing.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{
		"maglev:///10.0.0.1:443,10.0.0.2:443;weight=2;key=cache-b", "maglev://cache.example/[fd00::1]:443+10.0.0.1:443;name=a",
		"maglev:10.0.0.1:443", "maglev:///a:1;key=a%2Cb,unix:%2Frun%2Fs", "maglev:///[fe80::1%25eth0]:2", "maglev:///a:1;weight=4294967296",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return // gRPC does not come this far
		}
		backends, err := parseTarget(*u)
		if err != nil {
			require.ErrorContains(t, err, "grpcbalancer: target: ")
			return
		}
		require.NotEmpty(t, backends)
		again, err := checkBackends(backends, strconv.Itoa)
		require.NoError(t, err)
		require.Equal(t, backends, again)
		require.Len(t, new(Config).rowsOf(stateOf(backends, false).Endpoints), len(backends))
	})
}
