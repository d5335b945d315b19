package envoy

import (
	"fmt"
	"net/netip"
	"slices"
)

// Objects are Envoy's configuration, in JSON.
type object = map[string]any

func bootstrap(clusters []Cluster) object {
	all := make([]object, len(clusters))
	for i := range clusters {
		all[i] = clusters[i].config(clusterName(i))
	}
	return object{"static_resources": object{"clusters": all}}
}

// clusterName is how a cluster is known in the log. Envoy builds the tables in
// the order of the names, not of the configuration.
func clusterName(i int) string { return fmt.Sprintf("cluster-%d", i) }

func (c *Cluster) config(name string) object {
	config := object{
		"name":             name,
		"type":             "STATIC",
		"connect_timeout":  "1s",
		"lb_policy":        "MAGLEV",
		"maglev_lb_config": object{"table_size": c.TableSize},
		"load_assignment":  object{"cluster_name": name, "endpoints": c.localities()},
		"common_lb_config": object{},
	}
	if c.LocalityWeights != nil {
		config["common_lb_config"] = object{"locality_weighted_lb_config": object{}}
	}
	return config
}

// localities groups the endpoints. Weight 0 is not a weight that Envoy accepts:
// it must be absent.
func (c *Cluster) localities() []object {
	endpoints := make(map[string][]object)
	for name := range c.LocalityWeights {
		endpoints[name] = []object{}
	}
	for i := range c.Backends {
		name := c.Backends[i].Locality
		endpoints[name] = append(endpoints[name], c.Backends[i].endpoint(i))
	}
	names := make([]string, 0, len(endpoints))
	for name := range endpoints {
		names = append(names, name)
	}
	slices.Sort(names)

	groups := make([]object, len(names))
	for i, name := range names {
		groups[i] = object{"lb_endpoints": endpoints[name]}
		if name != "" {
			groups[i]["locality"] = object{"zone": name}
		}
		if weight := c.LocalityWeights[name]; weight > 0 {
			groups[i]["load_balancing_weight"] = weight
		}
	}
	return groups
}

func (b *Backend) endpoint(i int) object {
	address := b.address(i)
	config := object{"endpoint": object{"address": object{"socket_address": object{
		"address":    address.Addr().String(),
		"port_value": address.Port(),
	}}}}
	if b.Name != addressText(address) {
		config["metadata"] = object{"filter_metadata": object{"envoy.lb": object{"hash_key": b.Name}}}
	}
	if b.Weight > 0 {
		config["load_balancing_weight"] = b.Weight
	}
	return config
}

// address returns where backend i of a cluster is. One that has a hash key may
// be anywhere; to be told apart in the log it gets an address of its own.
func (b *Backend) address(i int) netip.AddrPort {
	if address, err := netip.ParseAddrPort(b.Name); err == nil && addressText(address) == b.Name {
		return address
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(i >> 16), byte(i >> 8), byte(i)}), 80)
}

// addressText writes an address as Envoy does. Where that is not as netip does,
// in ::1.2.3.4, it is as inet_ntop does.
func addressText(a netip.AddrPort) string {
	b := a.Addr().As16()
	if a.Addr().Is6() && [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0) {
		return fmt.Sprintf("[::%d.%d.%d.%d]:%d", b[12], b[13], b[14], b[15], a.Port())
	}
	return a.String()
}
