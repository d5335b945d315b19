package proxy_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/proxy"
)

// A proxy inside of a program: it answers one path by itself.
func Example() {
	const text = `
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
              - match: {path: /hello}
                direct_response: {status: 200, body: {inline_string: "Hello."}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`
	bootstrap, err := config.Parse("envoy.yaml", []byte(text)) // or config.Load(file)
	if err != nil {
		log.Fatal(err) // a config.Errors: one a line
	}
	p, err := proxy.Start(context.Background(), bootstrap, proxy.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	url := "http://" + p.Addr(0).String() // of the first listener; port_value 0 lets the system choose

	for _, path := range []string{"/hello", "/bye"} {
		resp, err := http.Get(url + path)
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Printf("%s: %s %q\n", path, resp.Status, body)
	}
	// Output:
	// /hello: 200 OK "Hello."
	// /bye: 404 Not Found ""
}
