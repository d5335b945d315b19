package route_test

import (
	"fmt"
	"log"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/route"
)

// The way of two requests: one is forwarded, one is redirected.
func Example() {
	bootstrap, err := config.Parse("envoy.yaml", []byte(`
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: 8080}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: ingress
          route_config:
            virtual_hosts:
            - name: shop
              domains: ["shop.test"]
              routes:
              - match: {prefix: /basket/}
                redirect: {prefix_rewrite: /cart/}
              - match: {prefix: /cart/}
                route: {cluster: cart, prefix_rewrite: /, hash_policy: [{header: {header_name: x-user}}]}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters: [{name: cart, lb_policy: MAGLEV}]
`))
	if err != nil {
		log.Fatal(err)
	}
	table := route.New(bootstrap.Listeners[0].Chain.HTTP.Routes)

	for _, path := range []string{"/cart/tea", "/basket/tea", "/"} {
		ex := &message.Exchange{Request: message.Request{
			Method: "GET", Scheme: "http", Authority: "shop.test", Path: path,
			Fields: message.Fields{{Name: "x-user", Value: "user-42"}},
		}}
		const random = 0 // no decision here is left to chance
		_, r := table.Match(ex, random)
		switch {
		case r == nil:
			fmt.Println(path, "-> 404")
		case r.Config.Redirect != nil:
			location, status := r.Redirect(ex, true)
			fmt.Println(path, "->", status, location)
		default:
			cluster, weighted := r.Cluster(ex, random)
			r.RewriteRequest(ex, weighted, true)
			hash, _, _ := r.Hash(ex)
			fmt.Printf("%s -> %s of cluster %s, hash %#x\n", path, ex.Request.Path, cluster, hash)
		}
	}
	// Output:
	// /cart/tea -> /tea of cluster cart, hash 0x397e9d3a76af7c81
	// /basket/tea -> 301 http://shop.test/cart/tea
	// / -> 404
}
