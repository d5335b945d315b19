package forwarding

import (
	"strconv"
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// host returns the host of a request without the port and the dot at the end that the configuration
// takes off.
func (r *Rules) host(ex *message.Exchange) string {
	host := ex.Request.Authority
	if r.h.StripPort != config.KeepPort {
		if name, port, ok := splitPort(host); ok &&
			(r.h.StripPort == config.StripAnyPort || port == uint64(ex.Downstream.Local.Port)) {
			host = name
		}
	}
	if r.h.StripTrailingDot {
		// The dot may stand before a port.
		name, port := host, ""
		if colon := strings.LastIndexByte(host, ':'); colon >= 0 && !strings.HasSuffix(host, "]") {
			name, port = host[:colon], host[colon:]
		}
		if strings.HasSuffix(name, ".") {
			host = name[:len(name)-1] + port
		}
	}
	return host
}

// splitPort takes the port off a host, if there is one.
func splitPort(host string) (name string, port uint64, ok bool) {
	colon := strings.LastIndexByte(host, ':')
	if colon < 0 || strings.HasSuffix(host, "]") {
		return host, 0, false
	}
	// As Envoy's parser has it, there may be a plus.
	digits := strings.TrimPrefix(host[colon+1:], "+")
	port, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return host, 0, false
	}
	return host[:colon], port, true
}
