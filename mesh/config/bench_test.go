package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/require"
)

// large writes a bootstrap of many endpoints, in one of the styles that configurations are
// written in.
func large(style string, clusters, endpoints int) string {
	var b strings.Builder
	b.WriteString("static_resources:\n  clusters:\n")
	for c := range clusters {
		fmt.Fprintf(&b, "  - name: cluster-%d\n    type: STATIC\n    lb_policy: MAGLEV\n    connect_timeout: 0.25s\n    load_assignment:\n      cluster_name: cluster-%d\n      endpoints:\n      - lb_endpoints:\n", c, c)
		for e := range endpoints {
			address := fmt.Sprintf("10.%d.%d.%d", c, e>>8, e&0xff)
			switch style {
			case "flow":
				fmt.Fprintf(&b, "        - endpoint: {address: {socket_address: {address: %s, port_value: %d}}}\n", address, 8000+e)
			case "block":
				fmt.Fprintf(&b, "        - endpoint:\n            address:\n              socket_address:\n                address: %s\n                port_value: %d\n", address, 8000+e)
			case "anchors": // which are more than the scanner reads
				fmt.Fprintf(&b, "        - endpoint: {address: {socket_address: {address: !!str %s, port_value: %d}}}\n", address, 8000+e)
			}
		}
	}
	return b.String()
}

func BenchmarkParse(b *testing.B) {
	for _, style := range []string{"flow", "block", "anchors"} {
		b.Run("style="+style+"/clusters=100/endpoints=100", func(b *testing.B) {
			text := []byte(large(style, 100, 100))
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				_, err := config.Parse("envoy.yaml", text)
				require.NoError(b, err)
			}
		})
	}
}
