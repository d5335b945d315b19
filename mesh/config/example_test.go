package config_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/maglev-lb/maglev/mesh/config"
)

// The example of the paper's section 4.1: the parts that it prints, with the errors in
// printing mended. Each mended place is explained in the files of testdata/paper.
func ExampleLoad() {
	bootstrap, err := config.Load("testdata/paper/mesh.yaml")
	if err != nil {
		log.Fatal(err)
	}
	for _, l := range bootstrap.Listeners {
		fmt.Printf("%s at %s:%d\n", l.Name, l.Address.Host, l.Address.Port)
		for _, h := range l.Chain.HTTP.Routes.VirtualHosts {
			fmt.Printf("  %v %s -> %s\n", h.Domains, *h.Routes[0].Match.Prefix, h.Routes[0].Forward.Cluster)
		}
	}
	for _, c := range bootstrap.Clusters {
		fmt.Printf("%s: a Maglev table of %d slots\n", c.Name, c.Maglev.TableSize)
	}
	// Output:
	// listener_0 at 0.0.0.0:10000
	//   [*] / -> hello_world_service
	// hello_world_service: a Maglev table of 69997 slots
}

// All that is wrong is said at once.
func ExampleErrors() {
	_, err := config.Parse("envoy.yaml", []byte(`
static_resources:
  clusters:
  - name: shop
    lb_policy: MAGLEVV
    alt_stat_name: [shop]
    conect_timeout: 1s
`))
	fmt.Println(err)

	var all config.Errors
	if errors.As(err, &all) {
		fmt.Println(len(all), "errors, the first in line", all[0].Line)
	}
	// Output:
	// envoy.yaml:5:16: static_resources.clusters[0].lb_policy: "MAGLEVV" is not allowed; it is one of ROUND_ROBIN, LEAST_REQUEST, RANDOM, MAGLEV, LOAD_BALANCING_POLICY_CONFIG
	// envoy.yaml:6:20: static_resources.clusters[0].alt_stat_name: [...] is a list; it has to be a text (in quotes if it looks like a number or a boolean)
	// envoy.yaml:7:5: static_resources.clusters[0].conect_timeout: unknown field: envoy.config.cluster.v3.Cluster has no field of this name; there is connect_timeout
	// 3 errors, the first in line 5
}

// What Envoy has and this has not is refused.
func ExampleError() {
	_, err := config.Parse("envoy.yaml", []byte("static_resources: {clusters: [{name: shop, lb_policy: RING_HASH}]}"))
	var wrong *config.Error
	if errors.As(err, &wrong) {
		fmt.Println(wrong.Path)
		fmt.Println(wrong.Text)
	}
	// Output:
	// static_resources.clusters[0].lb_policy
	// "RING_HASH" is unsupported; use MAGLEV, which spreads keys more evenly and keeps them as well
}
