package proxy

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
)

// sidecar is a configuration as that of the benchmarks of proxies: routing by prefix,
// Maglev by a header, a header added, counters.
const sidecar = `
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {prefix: /}
                route: {cluster: backends, hash_policy: [{header: {header_name: x-user}}]}
                request_headers_to_add: [{header: {key: x-mesh, value: maglev}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: backends
    lb_policy: MAGLEV
    load_assignment:
      cluster_name: backends
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %d}}}
`

// A small GET through the whole of the proxy, with a client and a backend that do not
// allocate, so that what is counted is the proxy's.
func BenchmarkSmallGET(b *testing.B) {
	answer := append([]byte("HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n"), bytes.Repeat([]byte{'x'}, 1024)...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				buffer := make([]byte, 4096)
				for {
					if _, err := c.Read(buffer); err != nil {
						return
					}
					if _, err := c.Write(answer); err != nil {
						return
					}
				}
			}()
		}
	}()
	cfg, err := config.Parse("bench.yaml", fmt.Appendf(nil, sidecar, l.Addr().(*net.TCPAddr).Port))
	require.NoError(b, err)
	p, err := Start(context.Background(), cfg, Options{})
	require.NoError(b, err)
	defer p.Close()

	request := []byte("GET /some/path?and=query HTTP/1.1\r\nHost: example.com\r\nX-User: 41\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n")
	c, err := net.Dial("tcp", p.Addr(0).String())
	require.NoError(b, err)
	defer c.Close()
	buffer := make([]byte, 8192)
	exchange := func() {
		_, err := c.Write(request)
		require.NoError(b, err)
		n := 0
		for end := -1; end < 0 || n < end; {
			k, err := c.Read(buffer[n:])
			require.NoError(b, err)
			n += k
			if i := bytes.Index(buffer[:n], []byte("\r\n\r\n")); i >= 0 {
				end = i + 4 + 1024
			}
		}
	}
	exchange()
	b.ReportAllocs()
	for b.Loop() {
		exchange()
	}
}
