package config

//lint:file-ignore SA1019 Configurations in service still have the deprecated fields, and Envoy reads them.

import (
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	fileaccesslogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	connectionlimitv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	rawbufferv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
)

func (b *builder) admin(m *bootstrapv3.Admin) *Admin {
	if m.GetAddress() == nil {
		return nil // without an address it does not listen
	}
	p := (*place)(nil).to("admin")
	admin := &Admin{Address: b.listenAddress(p.to("address"), socketAddress(m.GetAddress()))}
	const devNull = "/dev/null"
	if path := m.GetAccessLogPath(); path != "" && path != devNull {
		b.bad(p.to("access_log_path"), "%q is unsupported; it is %s", path, devNull)
	}
	for i, log := range m.GetAccessLog() {
		if file, ok := b.any(log.GetTypedConfig()).(*fileaccesslogv3.FileAccessLog); !ok || file.GetPath() != devNull {
			b.bad(p.at("access_log", i), "a log of the administration is unsupported, but to %s", devNull)
		}
	}
	return admin
}

func (b *builder) buildListeners(static *place, messages []*listenerv3.Listener) []*Listener {
	listeners := make([]*Listener, 0, len(messages))
	addresses := make(map[SocketAddress]bool)
	names := make(map[string]bool)
	for i, m := range messages {
		p := static.at("listeners", i)
		l := b.listener(p, m)
		listeners = append(listeners, l)
		key := SocketAddress{Host: l.Address.Host, Port: l.Address.Port, Pipe: l.Address.Pipe}
		if addresses[key] && (key.Port != 0 || key.Pipe != "") {
			b.bad(p.to("address"), "%s is the address of another listener already", addressText(key))
		}
		addresses[key] = true
		if names[l.Name] && l.Name != "" {
			b.bad(p.to("name"), "%q is the name of another listener already, and only the first would be opened; names have to differ", l.Name)
		}
		names[l.Name] = true
	}
	return listeners
}

func addressText(a SocketAddress) string {
	if a.Pipe != "" {
		return fmt.Sprintf("%q", a.Pipe)
	}
	return fmt.Sprintf(`"%s:%d"`, a.Host, a.Port)
}

// listenAddress checks that a listener can have an address.
func (b *builder) listenAddress(p *place, a SocketAddress) SocketAddress {
	if a.Pipe == "" {
		b.checkIP(p.to("socket_address").to("address"), a.Host)
		return a
	}
	pipe := p.to("pipe")
	switch {
	case a.Pipe[0] == '@' && a.Mode != 0:
		b.bad(pipe.to("mode"), "%d is not allowed of an abstract socket; it has to be absent", a.Mode)
	case len(a.Pipe) > 107:
		b.bad(pipe.to("path"), "%q is too long; the path of a Unix socket has at most 107 bytes", a.Pipe)
	}
	return a
}

func (b *builder) listener(p *place, m *listenerv3.Listener) *Listener {
	l := &Listener{
		Name:                  m.GetName(),
		StatPrefix:            m.GetStatPrefix(),
		ConnectionBufferLimit: uint32Or(m.GetPerConnectionBufferLimitBytes(), 1<<20),
	}
	if m.GetAddress() == nil {
		b.missing(p, "address")
	} else {
		l.Address = b.listenAddress(p.to("address"), socketAddress(m.GetAddress()))
	}
	switch chains := m.GetFilterChains(); len(chains) {
	case 0:
		b.missing(p, "filter_chains")
	default:
		b.bad(p.at("filter_chains", 1), "a second filter chain is unsupported; there has to be one")
		fallthrough
	case 1:
		l.Chain = b.filterChain(p.at("filter_chains", 0), chains[0])
	}
	return l
}

func (b *builder) filterChain(p *place, m *listenerv3.FilterChain) FilterChain {
	chain := FilterChain{}
	if socket := m.GetTransportSocket(); socket != nil {
		at := p.to("transport_socket")
		if socket.GetTypedConfig() == nil {
			b.missing(at, "typed_config")
		} else if _, ok := b.any(socket.GetTypedConfig()).(*rawbufferv3.RawBuffer); !ok {
			b.wrongType(at.to("typed_config"), socket.GetTypedConfig(), "raw_buffer.v3.RawBuffer")
		}
	}
	filters := m.GetFilters()
	for i, filter := range filters {
		at := p.at("filters", i)
		typed := at.to("typed_config")
		last := i == len(filters)-1
		switch config := b.any(filter.GetTypedConfig()).(type) {
		case nil:
			if filter.GetTypedConfig() == nil && !at.isThere(b.root, "config_discovery") {
				b.missing(at, "typed_config")
			}
		case *connectionlimitv3.ConnectionLimit:
			if last {
				b.bad(at, "%q is the last filter; that has to be an HTTP connection manager", filter.GetName())
			}
			if chain.ConnectionLimit != nil {
				b.bad(at, "%q: a second connection limit is unsupported", filter.GetName())
			}
			if config.GetMaxConnections() == nil {
				b.missing(typed, "max_connections")
			}
			if b.feature(config.GetRuntimeEnabled()) {
				chain.ConnectionLimit = &ConnectionLimit{
					StatPrefix: config.GetStatPrefix(),
					Max:        config.GetMaxConnections().GetValue(),
					Delay:      config.GetDelay().AsDuration(),
				}
			}
		case *hcmv3.HttpConnectionManager:
			if !last {
				b.bad(at, "%q is not the last filter; an HTTP connection manager has to be", filter.GetName())
			}
			chain.HTTP = b.http(typed, config)
		default:
			b.wrongType(typed, filter.GetTypedConfig(), "http_connection_manager.v3.HttpConnectionManager", "connection_limit.v3.ConnectionLimit")
		}
	}
	return chain
}
