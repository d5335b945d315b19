package config_test

import (
	"strings"
	"testing"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/require"
)

// A large configuration is decoded on several cores, and is the same.
func TestLarge(t *testing.T) {
	for _, style := range []string{"flow", "block", "anchors"} {
		b, err := config.Parse("envoy.yaml", []byte(large(style, 30, 60)))
		require.NoError(t, err, style)
		requireComplete(t, b)
		require.Len(t, b.Clusters, 30)
		for i, c := range b.Clusters {
			require.Len(t, c.Priorities[0].Localities[0].Endpoints, 60)
			last := c.Priorities[0].Localities[0].Endpoints[59].Address
			require.EqualValues(t, 8059, last.Port)
			require.Contains(t, last.Host, ".0.59")
			require.Equal(t, config.MaglevPolicy, c.Policy, "%d", i)
		}
	}
}

// What is wrong in it is found, all of it, where it stands.
func TestLargeRefused(t *testing.T) {
	text := large("flow", 30, 60)
	lines := strings.Split(text, "\n")
	want := map[int]string{}
	for i := 70; i < len(lines); i += 200 {
		switch {
		case strings.Contains(lines[i], "port_value"):
			lines[i] = strings.Replace(lines[i], "port_value: ", "port_value: 9", 1)
			want[i+1] = "it has to be at most 65535"
		case strings.Contains(lines[i], "lb_policy"):
			lines[i] += "V"
			want[i+1] = "is not allowed"
		}
	}
	require.Greater(t, len(want), 8)
	_, err := config.Parse("envoy.yaml", []byte(strings.Join(lines, "\n")))
	var all config.Errors
	require.ErrorAs(t, err, &all)
	require.Len(t, all, len(want))
	for _, e := range all {
		require.Contains(t, e.Text, want[e.Line], "%v", e)
		require.Contains(t, want, e.Line)
	}
}
