package config

import (
	"math"
	"net/netip"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
)

// endpoints reads the endpoints of a cluster, by priority and locality.
func (b *builder) endpoints(p *place, m *clusterv3.Cluster, c *Cluster) {
	groups := m.GetLoadAssignment().GetEndpoints()
	if c.Discovery == LogicalDNS && (len(groups) != 1 || len(groups[0].GetLbEndpoints()) != 1) {
		b.bad(p, "a LOGICAL_DNS cluster has to have exactly one locality with one endpoint")
	}
	for i, group := range groups {
		at := p.at("endpoints", i)
		for int(group.GetPriority()) >= len(c.Priorities) {
			c.Priorities = append(c.Priorities, PriorityLevel{})
		}
		locality := c.Priorities[group.GetPriority()].locality(group)
		if locality.Endpoints == nil {
			locality.Endpoints = make([]Endpoint, 0, len(group.GetLbEndpoints()))
		}
		for j, m := range group.GetLbEndpoints() {
			locality.Endpoints = append(locality.Endpoints, Endpoint{})
			b.endpoint(at, j, m, c, &locality.Endpoints[len(locality.Endpoints)-1])
		}
		if sum := locality.weights(); sum > math.MaxUint32 && c.Policy == MaglevPolicy {
			b.bad(at.to("lb_endpoints"), "the weights of a locality's endpoints are %d together; they may be at most %d", sum, uint32(math.MaxUint32))
		}
	}
	for priority := range c.Priorities {
		sum := uint64(0)
		for i := range c.Priorities[priority].Localities {
			sum += uint64(c.Priorities[priority].Localities[i].Weight)
		}
		if sum > math.MaxUint32 && c.Policy == MaglevPolicy {
			b.bad(p.to("endpoints"), "the weights of the localities of priority %d are %d together; they may be at most %d", priority, sum, uint32(math.MaxUint32))
		}
	}
}

// locality returns a group's locality, one that came before if it is the same.
func (l *PriorityLevel) locality(group *endpointv3.LocalityLbEndpoints) *Locality {
	m := group.GetLocality()
	for i := range l.Localities {
		known := &l.Localities[i]
		if known.Region == m.GetRegion() && known.Zone == m.GetZone() && known.SubZone == m.GetSubZone() {
			known.Weight = group.GetLoadBalancingWeight().GetValue()
			return known
		}
	}
	l.Localities = append(l.Localities, Locality{
		Region: m.GetRegion(), Zone: m.GetZone(), SubZone: m.GetSubZone(),
		Weight: group.GetLoadBalancingWeight().GetValue(),
	})
	return &l.Localities[len(l.Localities)-1]
}

func (l *Locality) weights() (sum uint64) {
	for i := range l.Endpoints {
		sum += uint64(l.Endpoints[i].Weight)
	}
	return sum
}

// endpoint reads one. There are many of them, so that its place is made only if it is
// needed.
func (b *builder) endpoint(group *place, index int, m *endpointv3.LbEndpoint, c *Cluster, e *Endpoint) {
	at := func() *place { return group.at("lb_endpoints", index).to("endpoint") }
	endpoint := m.GetEndpoint()
	e.Hostname = endpoint.GetHostname()
	e.Weight = uint32Or(m.GetLoadBalancingWeight(), 1)
	switch m.GetHealthStatus() {
	case corev3.HealthStatus_HEALTHY:
		e.Health = Healthy
	case corev3.HealthStatus_UNHEALTHY, corev3.HealthStatus_TIMEOUT:
		e.Health = Unhealthy
	case corev3.HealthStatus_DRAINING:
		e.Health = Draining
	case corev3.HealthStatus_DEGRADED:
		e.Health = Degraded
	}
	if lb := m.GetMetadata().GetFilterMetadata()["envoy.lb"]; lb != nil {
		e.HashKey = lb.GetFields()["hash_key"].GetStringValue()
		e.Canary = lb.GetFields()["canary"].GetBoolValue()
	}
	if endpoint == nil {
		b.missing(group.at("lb_endpoints", index), "endpoint")
		return
	}
	if endpoint.GetAddress() == nil {
		b.missing(at(), "address")
	} else if e.Address = socketAddress(endpoint.GetAddress()); b.wrongAddress(&e.Address, c.Discovery) {
		b.badAddress(at().to("address"), endpoint.GetAddress(), c.Discovery)
	}
	if check := endpoint.GetHealthCheckConfig(); check != nil {
		e.HealthCheckPort = uint16(check.GetPortValue())
		e.HealthCheckHostname = check.GetHostname()
		e.NoActiveCheck = check.GetDisableActiveHealthCheck()
		if check.GetAddress() != nil {
			address := socketAddress(check.GetAddress())
			e.HealthCheckAddress = &address
			if b.wrongAddress(&address, Static) {
				b.badAddress(at().to("health_check_config").to("address"), check.GetAddress(), Static)
			}
		}
	}
}

func socketAddress(m *corev3.Address) SocketAddress {
	if pipe := m.GetPipe(); pipe != nil {
		return SocketAddress{Pipe: pipe.GetPath(), Mode: pipe.GetMode()}
	}
	return SocketAddress{Host: m.GetSocketAddress().GetAddress(), Port: uint16(m.GetSocketAddress().GetPortValue())}
}

// wrongAddress reports whether an address is none for its cluster. One that is absent is not
// wrong: that has been said.
func (b *builder) wrongAddress(a *SocketAddress, discovery Discovery) bool {
	if a.Pipe != "" {
		return discovery != Static
	}
	if discovery != Static || a.Host == "" {
		return false
	}
	_, err := netip.ParseAddr(a.Host)
	return err != nil
}

func (b *builder) badAddress(p *place, m *corev3.Address, discovery Discovery) {
	if m.GetPipe() != nil {
		b.bad(p.to("pipe"), "a pipe is unsupported in a cluster whose names are resolved; it has to be a socket_address")
		return
	}
	b.bad(p.to("socket_address").to("address"), "%q is not allowed; it has to be an IP address, or the cluster's type STRICT_DNS or LOGICAL_DNS", m.GetSocketAddress().GetAddress())
}

// checkIP says so if a text is no IP address.
func (b *builder) checkIP(p *place, text string) {
	if _, err := netip.ParseAddr(text); text != "" && err != nil {
		b.bad(p, "%q is not allowed; it has to be an IP address", text)
	}
}
