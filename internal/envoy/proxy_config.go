package envoy

import (
	"fmt"
	"net/netip"
)

// A Route is a route of [HashRoutes].
type Route struct {
	Name   string           // requests with "x-route: NAME" take it
	Policy []map[string]any // its hash_policy
}

// HashRoutes returns the bootstrap of a proxy with an HTTP listener for each host,
// named by it, and routes that differ in their hash policies, in front of one
// cluster of type MAGLEV with the default table.
func HashRoutes(hosts []string, routes []Route, backends []netip.AddrPort) map[string]any {
	endpoints := make([]object, len(backends))
	for i, b := range backends {
		endpoints[i] = object{"endpoint": object{"address": object{"socket_address": object{
			"address": b.Addr().String(), "port_value": b.Port(),
		}}}}
	}
	all := make([]object, len(routes))
	for i, route := range routes {
		all[i] = object{
			"match": object{
				"prefix":  "/",
				"headers": []object{{"name": "x-route", "string_match": object{"exact": route.Name}}},
			},
			"route": object{"cluster": "backends", "hash_policy": route.Policy},
		}
	}
	listeners := make([]object, len(hosts))
	for i, host := range hosts {
		listeners[i] = object{
			"name":    host,
			"address": socketAddress(host),
			"filter_chains": []object{{"filters": []object{{
				"name": "hcm",
				"typed_config": object{
					"@type":       typeURL("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
					"stat_prefix": "test",
					// Headers are to be hashed as they were sent.
					"generate_request_id":         false,
					"forward_client_cert_details": "ALWAYS_FORWARD_ONLY",
					"route_config": object{"virtual_hosts": []object{{
						"name": "all", "domains": []string{"*"}, "routes": all,
					}}},
					"http_filters": []object{{
						"name":         "router",
						"typed_config": object{"@type": typeURL("envoy.extensions.filters.http.router.v3.Router")},
					}},
				},
			}}}},
		}
	}
	// Patterns may be longer than Envoy's 100 instructions.
	runtime := object{"layers": []object{{"name": "test", "static_layer": object{"re2.max_program_size.error_level": 100_000}}}}
	return object{"layered_runtime": runtime, "static_resources": object{
		"listeners": listeners,
		"clusters": []object{{
			"name":            "backends",
			"type":            "STATIC",
			"connect_timeout": "5s",
			"lb_policy":       "MAGLEV",
			"load_assignment": object{"cluster_name": "backends", "endpoints": []object{{"lb_endpoints": endpoints}}},
		}},
	}}
}

func typeURL(message string) string { return fmt.Sprintf("type.googleapis.com/%s", message) }
