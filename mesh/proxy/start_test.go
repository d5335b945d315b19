package proxy_test

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/proxy"
)

// What cannot start says why, and leaves nothing behind.
func TestStartFails(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	const listener = "static_resources: {listeners: [{name: a, address: {socket_address: {address: 127.0.0.1, port_value: %d}}, filter_chains: [{}]}]}"
	for name, text := range map[string]string{
		"a listener": fmt.Sprintf(listener, port),
		"the admin":  fmt.Sprintf("admin: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}", port),
	} {
		t.Run(name, func(t *testing.T) {
			b, err := config.Parse("start.yaml", []byte(text))
			require.NoError(t, err)
			p, err := proxy.Start(context.Background(), b, proxy.Options{})
			require.Nil(t, p)
			require.ErrorContains(t, err, fmt.Sprint(port))
			require.ErrorContains(t, err, "in use")
		})
	}
}
