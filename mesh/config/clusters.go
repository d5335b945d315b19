package config

//lint:file-ignore SA1019 Configurations in service still have the deprecated fields, and Envoy reads them.

import (
	"encoding/hex"
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	upstreamsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func (b *builder) buildClusters(static *place, messages []*clusterv3.Cluster) []*Cluster {
	clusters := make([]*Cluster, 0, len(messages))
	b.clusters = make(map[string]*Cluster, len(messages))
	for i, m := range messages {
		p := static.at("clusters", i)
		c := b.cluster(p, m)
		if c.Name != "" && b.clusters[c.Name] != nil {
			b.bad(p.to("name"), "%q is the name of another cluster already; each has to have its own", c.Name)
		}
		b.clusters[c.Name] = c
		clusters = append(clusters, c)
	}
	return clusters
}

func (b *builder) cluster(p *place, m *clusterv3.Cluster) *Cluster {
	c := &Cluster{
		Name:                          m.GetName(),
		AltStatName:                   m.GetAltStatName(),
		ConnectTimeout:                durationOr(m.GetConnectTimeout(), 5*time.Second),
		ConnectionBufferLimit:         uint32Or(m.GetPerConnectionBufferLimitBytes(), 1<<20),
		Overprovisioning:              uint32Or(m.GetLoadAssignment().GetPolicy().GetOverprovisioningFactor(), 140),
		WeightedPriorityHealth:        m.GetLoadAssignment().GetPolicy().GetWeightedPriorityHealth(),
		PanicThreshold:                50,
		FailTrafficOnPanic:            m.GetCommonLbConfig().GetZoneAwareLbConfig().GetFailTrafficOnPanic(),
		IgnoreNewHostsUntilFirstCheck: m.GetCommonLbConfig().GetIgnoreNewHostsUntilFirstHc(),
		IgnoreHealthOnRemoval:         m.GetIgnoreHealthOnHostRemoval(),
		TCPKeepalive:                  keepalive(m.GetUpstreamConnectionOptions().GetTcpKeepalive()),
	}
	if threshold := m.GetCommonLbConfig().GetHealthyPanicThreshold(); threshold != nil {
		c.PanicThreshold = threshold.GetValue()
		if math.IsNaN(c.PanicThreshold) {
			b.bad(p.to("common_lb_config").to("healthy_panic_threshold"), "NaN is not allowed; it has to be a number from 0 to 100")
		}
	}
	switch m.GetType() {
	case clusterv3.Cluster_STRICT_DNS:
		c.Discovery = StrictDNS
	case clusterv3.Cluster_LOGICAL_DNS:
		c.Discovery = LogicalDNS
	}
	b.policy(p, m, c)
	b.endpoints(p.to("load_assignment"), m, c)
	for i, check := range m.GetHealthChecks() {
		if i == 1 {
			b.bad(p.at("health_checks", i), "a second health check is unsupported; there may be one")
		}
		c.HealthChecks = append(c.HealthChecks, b.healthCheck(p.at("health_checks", i), check))
	}
	c.Outlier = b.outlier(p.to("outlier_detection"), m.GetOutlierDetection())
	b.breakers(p.to("circuit_breakers"), m.GetCircuitBreakers(), c)
	b.dns(p, m, c)
	b.upstreamProtocol(p, m, c)
	c.ProxyProtocol = b.upstreamSocket(p.to("transport_socket"), m.GetTransportSocket())
	if source := m.GetUpstreamBindConfig().GetSourceAddress(); source != nil {
		at := p.to("upstream_bind_config").to("source_address")
		c.SourceAddress, c.SourcePort = source.GetAddress(), uint16(source.GetPortValue())
		b.checkIP(at.to("address"), c.SourceAddress)
	}
	return c
}

func keepalive(m *corev3.TcpKeepalive) *Keepalive {
	if m == nil {
		return nil
	}
	return &Keepalive{
		Probes:   int(m.GetKeepaliveProbes().GetValue()),
		Time:     time.Duration(m.GetKeepaliveTime().GetValue()) * time.Second,
		Interval: time.Duration(m.GetKeepaliveInterval().GetValue()) * time.Second,
	}
}

func (b *builder) dns(p *place, m *clusterv3.Cluster, c *Cluster) {
	c.DNS = DNS{
		Family:  DNSAuto,
		Refresh: durationOr(m.GetDnsRefreshRate(), 5*time.Second),
		Jitter:  m.GetDnsJitter().AsDuration(),
	}
	switch m.GetDnsLookupFamily() {
	case clusterv3.Cluster_V4_ONLY:
		c.DNS.Family = DNSV4Only
	case clusterv3.Cluster_V6_ONLY:
		c.DNS.Family = DNSV6Only
	case clusterv3.Cluster_V4_PREFERRED:
		c.DNS.Family = DNSV4Preferred
	case clusterv3.Cluster_ALL:
		c.DNS.Family = DNSAll
	}
	c.DNS.FailureBase, c.DNS.FailureMax = c.DNS.Refresh, c.DNS.Refresh
	if rate := m.GetDnsFailureRefreshRate(); rate != nil {
		c.DNS.FailureBase = rate.GetBaseInterval().AsDuration()
		c.DNS.FailureMax = durationOr(rate.GetMaxInterval(), 10*c.DNS.FailureBase)
		if at := p.to("dns_failure_refresh_rate"); c.Discovery != Static && c.DNS.FailureMax < c.DNS.FailureBase && !b.spoilt(at) {
			b.bad(at.to("max_interval"), "%q is not allowed; it has to be at least the base_interval of %q", durationText(c.DNS.FailureMax), durationText(c.DNS.FailureBase))
		}
	}
}

func (b *builder) outlier(p *place, m *clusterv3.OutlierDetection) *Outlier {
	if m == nil {
		return nil
	}
	o := &Outlier{
		Consecutive5xx:                uint32Or(m.GetConsecutive_5Xx(), 5),
		ConsecutiveGateway:            uint32Or(m.GetConsecutiveGatewayFailure(), 5),
		ConsecutiveLocal:              uint32Or(m.GetConsecutiveLocalOriginFailure(), 5),
		Interval:                      durationOr(m.GetInterval(), 10*time.Second),
		BaseEjection:                  durationOr(m.GetBaseEjectionTime(), 30*time.Second),
		MaxEjectionJitter:             m.GetMaxEjectionTimeJitter().AsDuration(),
		MaxEjectionPercent:            uint32Or(m.GetMaxEjectionPercent(), 10),
		EnforceConsecutive5xx:         uint32Or(m.GetEnforcingConsecutive_5Xx(), 100),
		EnforceGateway:                uint32Or(m.GetEnforcingConsecutiveGatewayFailure(), 0),
		EnforceLocal:                  uint32Or(m.GetEnforcingConsecutiveLocalOriginFailure(), 100),
		EnforceSuccessRate:            uint32Or(m.GetEnforcingSuccessRate(), 100),
		EnforceLocalSuccessRate:       uint32Or(m.GetEnforcingLocalOriginSuccessRate(), 100),
		SuccessRateMinHosts:           uint32Or(m.GetSuccessRateMinimumHosts(), 5),
		SuccessRateVolume:             uint32Or(m.GetSuccessRateRequestVolume(), 100),
		SuccessRateStdevFactor:        uint32Or(m.GetSuccessRateStdevFactor(), 1900),
		FailurePercentageThreshold:    uint32Or(m.GetFailurePercentageThreshold(), 85),
		EnforceFailurePercentage:      uint32Or(m.GetEnforcingFailurePercentage(), 0),
		EnforceLocalFailurePercentage: uint32Or(m.GetEnforcingFailurePercentageLocalOrigin(), 0),
		FailurePercentageMinHosts:     uint32Or(m.GetFailurePercentageMinimumHosts(), 5),
		FailurePercentageVolume:       uint32Or(m.GetFailurePercentageRequestVolume(), 50),
		SplitLocal:                    m.GetSplitExternalLocalOriginErrors(),
		AlwaysEjectOne:                m.GetAlwaysEjectOneHost().GetValue(),
		SuccessfulCheckUnejects:       boolOr(m.GetSuccessfulActiveHealthCheckUnejectHost(), true),
	}
	// Without one, the longest ejection is 300 s, or the shortest if that is longer.
	o.MaxEjection = durationOr(m.GetMaxEjectionTime(), max(300*time.Second, o.BaseEjection))
	if o.MaxEjection < o.BaseEjection {
		b.bad(p.to("max_ejection_time"), "%s is not allowed; it has to be at least base_ejection_time, %s", durationText(o.MaxEjection), durationText(o.BaseEjection))
	}
	return o
}

func (b *builder) breakers(p *place, m *clusterv3.CircuitBreakers, c *Cluster) {
	for i := range c.Breakers {
		c.Breakers[i] = Breakers{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3}
	}
	var seen [2]bool
	for _, t := range m.GetThresholds() {
		i := b.priority(t.GetPriority())
		if seen[i] {
			continue // the first one counts
		}
		seen[i] = true
		breakers := &c.Breakers[i]
		*breakers = Breakers{
			Connections:    uint32Or(t.GetMaxConnections(), 1024),
			Pending:        uint32Or(t.GetMaxPendingRequests(), 1024),
			Requests:       uint32Or(t.GetMaxRequests(), 1024),
			Retries:        uint32Or(t.GetMaxRetries(), 3),
			TrackRemaining: t.GetTrackRemaining(),
		}
		if budget := t.GetRetryBudget(); budget != nil {
			breakers.Budget = &RetryBudget{Percent: 20, Min: uint32Or(budget.GetMinRetryConcurrency(), 3)}
			if percent := budget.GetBudgetPercent(); percent != nil {
				breakers.Budget.Percent = percent.GetValue()
			}
		}
		c.TrackRemaining = c.TrackRemaining || t.GetTrackRemaining()
	}
	for i, t := range m.GetPerHostThresholds() {
		at := p.at("per_host_thresholds", i)
		if t.GetPriority() != corev3.RoutingPriority_DEFAULT {
			b.bad(at.to("priority"), "%q is unsupported; it is DEFAULT", t.GetPriority().String())
		}
		for field, set := range map[string]bool{
			"max_pending_requests": t.GetMaxPendingRequests() != nil, "max_requests": t.GetMaxRequests() != nil,
			"max_retries": t.GetMaxRetries() != nil, "retry_budget": t.GetRetryBudget() != nil, "track_remaining": t.GetTrackRemaining(),
		} {
			if set {
				b.bad(at.to(field), "%s is not allowed of one host; max_connections alone is", field)
			}
		}
		if c.PerHostConnections == 0 {
			c.PerHostConnections = t.GetMaxConnections().GetValue()
			if t.GetMaxConnections() != nil && c.PerHostConnections == 0 {
				b.bad(at.to("max_connections"), "0 is unsupported; it has to be at least 1")
			}
		}
	}
}

func (b *builder) priority(m corev3.RoutingPriority) Priority {
	if m == corev3.RoutingPriority_HIGH {
		return HighPriority
	}
	return DefaultPriority
}

const upstreamOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// upstreamProtocol reads the options of HTTP towards backends, from where they are now and
// from the cluster's own fields, where they were before.
func (b *builder) upstreamProtocol(p *place, m *clusterv3.Cluster, c *Cluster) {
	c.IdleTimeout, c.MaxResponseHeaders, c.MaxResponseHeadersKB = time.Hour, 100, 80
	c.MaxRequestsPerConnection = m.GetMaxRequestsPerConnection().GetValue()
	at := p.to("typed_extension_protocol_options")
	for key, value := range m.GetTypedExtensionProtocolOptions() {
		inner := at.to(quotedField(key))
		if key != upstreamOptions {
			b.bad(inner, "%q is unsupported; it is %s", key, upstreamOptions)
			continue
		}
		options, ok := b.any(value).(*upstreamsv3.HttpProtocolOptions)
		if !ok {
			b.wrongType(inner, value, "type.googleapis.com/"+upstreamOptions)
			continue
		}
		b.upstreamCommon(inner.to("common_http_protocol_options"), options.GetCommonHttpProtocolOptions(), c)
		b.upstreamHTTP1(inner.to("explicit_http_config").to("http_protocol_options"), options.GetExplicitHttpConfig().GetHttpProtocolOptions())
		b.upstreamHTTP1(inner.to("use_downstream_protocol_config").to("http_protocol_options"), options.GetUseDownstreamProtocolConfig().GetHttpProtocolOptions())
		return
	}
	b.upstreamCommon(p.to("common_http_protocol_options"), m.GetCommonHttpProtocolOptions(), c)
	b.upstreamHTTP1(p.to("http_protocol_options"), m.GetHttpProtocolOptions())
}

func (b *builder) upstreamCommon(p *place, m *corev3.HttpProtocolOptions, c *Cluster) {
	c.IdleTimeout = durationOr(m.GetIdleTimeout(), time.Hour)
	c.MaxConnectionDuration = m.GetMaxConnectionDuration().AsDuration()
	c.MaxRequestsPerConnection = uint32Or(m.GetMaxRequestsPerConnection(), c.MaxRequestsPerConnection)
	c.MaxResponseHeaders = uint32Or(m.GetMaxHeadersCount(), 100)
	c.MaxResponseHeadersKB = uint32Or(m.GetMaxResponseHeadersKb(), 80) // what Envoy lets through, though its comment has 60
	if m.GetMaxStreamDuration() != nil {
		b.bad(p.to("max_stream_duration"), "unsupported towards backends; routes have one")
	}
	if action := m.GetHeadersWithUnderscoresAction(); action != corev3.HttpProtocolOptions_ALLOW {
		b.bad(p.to("headers_with_underscores_action"), "%q is unsupported towards backends; it is ALLOW", action.String())
	}
}

// upstreamHTTP1 refuses all options of HTTP/1 that would matter to backends.
func (b *builder) upstreamHTTP1(p *place, m *corev3.Http1ProtocolOptions) {
	const text = "unsupported towards backends"
	b.absoluteURL(p, m)
	if m.GetAcceptHttp_10() {
		b.bad(p.to("accept_http_10"), text)
	}
	if m.GetDefaultHostForHttp_10() != "" {
		b.bad(p.to("default_host_for_http_10"), text)
	}
	if m.GetHeaderKeyFormat() != nil {
		b.bad(p.to("header_key_format"), text)
	}
	if m.GetEnableTrailers() {
		b.bad(p.to("enable_trailers"), text)
	}
	if m.GetOverrideStreamErrorOnInvalidHttpMessage() != nil {
		b.bad(p.to("override_stream_error_on_invalid_http_message"), text)
	}
}

// upstreamSocket reads a transport socket: plain, perhaps with the PROXY protocol before it.
func (b *builder) upstreamSocket(p *place, m *corev3.TransportSocket) ProxyProtocol {
	if m == nil {
		return NoProxyProtocol
	}
	if m.GetTypedConfig() == nil {
		b.bad(p, "typed_config is missing")
		return NoProxyProtocol
	}
	typed := p.to("typed_config")
	switch socket := b.any(m.GetTypedConfig()).(type) {
	case nil:
	case *rawbufferv3.RawBuffer:
	case *proxyprotocolv3.ProxyProtocolUpstreamTransport:
		if inner := b.upstreamSocket(typed.to("transport_socket"), socket.GetTransportSocket()); inner != NoProxyProtocol {
			b.bad(typed.to("transport_socket"), "the PROXY protocol within itself is unsupported")
		}
		if socket.GetConfig().GetVersion() == corev3.ProxyProtocolConfig_V2 {
			return ProxyProtocolV2
		}
		return ProxyProtocolV1
	default:
		b.wrongType(typed, m.GetTypedConfig(), "raw_buffer.v3.RawBuffer", "proxy_protocol.v3.ProxyProtocolUpstreamTransport")
	}
	return NoProxyProtocol
}

// payload reads the bytes of a health check.
func (b *builder) payload(p *place, m *corev3.HealthCheck_Payload) []byte {
	if text, ok := m.GetPayload().(*corev3.HealthCheck_Payload_Text); ok {
		v, err := hex.DecodeString(text.Text)
		if err != nil {
			b.bad(p.to("text"), "%q is not allowed; it has to be bytes in hexadecimal, such as 50494e47", text.Text)
		}
		return v
	}
	return m.GetBinary()
}

func durationOr(d *durationpb.Duration, or time.Duration) time.Duration {
	if d == nil {
		return or
	}
	return d.AsDuration()
}

func uint32Or(v *wrapperspb.UInt32Value, or uint32) uint32 {
	if v == nil {
		return or
	}
	return v.GetValue()
}

func boolOr(v *wrapperspb.BoolValue, or bool) bool {
	if v == nil {
		return or
	}
	return v.GetValue()
}
