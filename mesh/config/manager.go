package config

import (
	"net/netip"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	uuidv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/request_id/uuid/v3"
)

func (b *builder) http(p *place, m *hcmv3.HttpConnectionManager) *HTTP {
	h := &HTTP{
		StatPrefix:            m.GetStatPrefix(),
		ServerName:            m.GetServerName(),
		Via:                   m.GetVia(),
		AddUserAgent:          m.GetAddUserAgent().GetValue(),
		UseRemoteAddress:      m.GetUseRemoteAddress().GetValue(),
		TrustedHops:           m.GetXffNumTrustedHops(),
		SkipXFFAppend:         m.GetSkipXffAppend(),
		Scheme:                m.GetSchemeHeaderTransformation().GetSchemeToOverwrite(),
		AppendForwardedPort:   m.GetAppendXForwardedPort(),
		GenerateRequestID:     boolOr(m.GetGenerateRequestId(), true),
		PreserveRequestID:     m.GetPreserveExternalRequestId(),
		RequestIDInResponse:   m.GetAlwaysSetRequestIdInResponse(),
		PackRequestID:         true,
		StreamIdleTimeout:     durationOr(m.GetStreamIdleTimeout(), 5*time.Minute),
		RequestTimeout:        m.GetRequestTimeout().AsDuration(),
		RequestHeadersTimeout: m.GetRequestHeadersTimeout().AsDuration(),
		DrainTimeout:          durationOr(m.GetDrainTimeout(), 5*time.Second),
		DelayedCloseTimeout:   durationOr(m.GetDelayedCloseTimeout(), time.Second),
		MaxRequestHeadersKB:   uint32Or(m.GetMaxRequestHeadersKb(), 60),
		StreamErrorOnInvalid:  m.GetStreamErrorOnInvalidHttpMessage().GetValue(),
		NormalizePath:         m.GetNormalizePath().GetValue(),
		MergeSlashes:          m.GetMergeSlashes(),
		StripTrailingDot:      m.GetStripTrailingHostDot(),
	}
	if h.ServerName == "" {
		h.ServerName = "envoy"
	}
	switch m.GetServerHeaderTransformation() {
	case hcmv3.HttpConnectionManager_APPEND_IF_ABSENT:
		h.ServerHeader = AppendIfAbsentServer
	case hcmv3.HttpConnectionManager_PASS_THROUGH:
		h.ServerHeader = PassThroughServer
	}
	switch m.GetPathWithEscapedSlashesAction() {
	case hcmv3.HttpConnectionManager_REJECT_REQUEST:
		h.EscapedSlashes = RejectEscapedSlashes
	case hcmv3.HttpConnectionManager_UNESCAPE_AND_REDIRECT:
		h.EscapedSlashes = RedirectEscapedSlashes
	case hcmv3.HttpConnectionManager_UNESCAPE_AND_FORWARD:
		h.EscapedSlashes = UnescapeSlashes
	}
	switch {
	case m.GetStripAnyHostPort():
		h.StripPort = StripAnyPort
		if m.GetStripMatchingHostPort() {
			b.bad(p.to("strip_matching_host_port"), "not allowed with strip_any_host_port; only one of the two may be set")
		}
	case m.GetStripMatchingHostPort():
		h.StripPort = StripMatchingPort
	}
	b.commonOptions(p.to("common_http_protocol_options"), m.GetCommonHttpProtocolOptions(), h)
	b.http1Options(p.to("http_protocol_options"), m.GetHttpProtocolOptions(), h)
	b.requestID(p.to("request_id_extension"), m.GetRequestIdExtension(), h)
	b.internalAddresses(p.to("internal_address_config"), m.GetInternalAddressConfig(), h)
	h.Upgrades = b.managerUpgrades(p, m.GetUpgradeConfigs())
	h.AccessLogs = b.accessLogs(p, m.GetAccessLog())
	h.LocalReply = b.localReply(p.to("local_reply_config"), m.GetLocalReplyConfig())

	limits := b.httpFilters(p, m.GetHttpFilters(), h)
	if m.GetRouteConfig() != nil {
		routes := &routeBuilder{builder: b, limits: limits}
		h.Routes = routes.config(p.to("route_config"), m.GetRouteConfig())
	}
	return h
}

func (b *builder) commonOptions(p *place, m *corev3.HttpProtocolOptions, h *HTTP) {
	h.IdleTimeout = durationOr(m.GetIdleTimeout(), time.Hour)
	h.MaxConnectionDuration = m.GetMaxConnectionDuration().AsDuration()
	h.MaxRequestsPerConnection = m.GetMaxRequestsPerConnection().GetValue()
	h.MaxStreamDuration = m.GetMaxStreamDuration().AsDuration()
	h.MaxHeaders = uint32Or(m.GetMaxHeadersCount(), 100)
	switch m.GetHeadersWithUnderscoresAction() {
	case corev3.HttpProtocolOptions_REJECT_REQUEST:
		h.HeadersWithUnderscores = RejectUnderscores
	case corev3.HttpProtocolOptions_DROP_HEADER:
		h.HeadersWithUnderscores = DropUnderscores
	}
	if m.GetMaxResponseHeadersKb() != nil {
		b.bad(p.to("max_response_headers_kb"), "not allowed here; it is an option of clusters")
	}
}

func (b *builder) http1Options(p *place, m *corev3.Http1ProtocolOptions, h *HTTP) {
	b.absoluteURL(p, m)
	h.AcceptHTTP10 = m.GetAcceptHttp_10()
	h.DefaultHostForHTTP10 = m.GetDefaultHostForHttp_10()
	if m.GetHeaderKeyFormat().GetProperCaseWords() != nil {
		h.HeaderCase = ProperCase
	}
	h.StreamErrorOnInvalid = boolOr(m.GetOverrideStreamErrorOnInvalidHttpMessage(), h.StreamErrorOnInvalid)
}

// absoluteURL refuses to switch off what RFC 9112, section 3.2.2, asks of every server.
func (b *builder) absoluteURL(p *place, m *corev3.Http1ProtocolOptions) {
	if !boolOr(m.GetAllowAbsoluteUrl(), true) {
		b.bad(p.to("allow_absolute_url"), "false is unsupported; it is true")
	}
}

func (b *builder) requestID(p *place, m *hcmv3.RequestIDExtension, h *HTTP) {
	if m.GetTypedConfig() == nil {
		return
	}
	switch config := b.any(m.GetTypedConfig()).(type) {
	case *uuidv3.UuidRequestIdConfig:
		h.PackRequestID = boolOr(config.GetPackTraceReason(), true)
	default:
		b.wrongType(p.to("typed_config"), m.GetTypedConfig(), "uuid.v3.UuidRequestIdConfig")
	}
}

func (b *builder) internalAddresses(p *place, m *hcmv3.HttpConnectionManager_InternalAddressConfig, h *HTTP) {
	if m == nil {
		return
	}
	h.InternalUnix = m.GetUnixSockets()
	h.InternalAddresses = make([]Prefix, 0, len(m.GetCidrRanges()))
	for i, r := range m.GetCidrRanges() {
		at := p.at("cidr_ranges", i)
		addr, err := netip.ParseAddr(r.GetAddressPrefix())
		bits := int(r.GetPrefixLen().GetValue())
		switch {
		case r.GetAddressPrefix() == "": // refused already
		case err != nil:
			b.bad(at.to("address_prefix"), "%q is not allowed; it has to be an IP address", r.GetAddressPrefix())
		default:
			// Envoy takes more bits than an address has for all of them.
			h.InternalAddresses = append(h.InternalAddresses, Prefix{addr.String(), min(bits, addr.BitLen())})
		}
	}
}

func (b *builder) managerUpgrades(p *place, configs []*hcmv3.HttpConnectionManager_UpgradeConfig) []Upgrade {
	var upgrades []Upgrade
	for i, m := range configs {
		upgrades = b.upgrade(p.at("upgrade_configs", i).to("upgrade_type"), upgrades, m.GetUpgradeType(), boolOr(m.GetEnabled(), true))
	}
	return upgrades
}

// upgrade appends one, if it is right.
func (b *builder) upgrade(p *place, upgrades []Upgrade, name string, enabled bool) []Upgrade {
	kind := strings.ToLower(name)
	if kind == "connect" || kind == "connect-udp" {
		b.bad(p, "%q is unsupported; it is a name such as websocket", name)
		return upgrades
	}
	for _, u := range upgrades {
		if u.Type == kind {
			b.bad(p, "%q is there already, in any case", name)
			return upgrades
		}
	}
	return append(upgrades, Upgrade{Type: kind, Enabled: enabled})
}
