package grpcbalancer

import (
	"encoding/json"
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
