package format

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/maglev-lb/maglev/mesh/message"
)

// A socket finds an address of an exchange, nil if there is none.
type socket func(ex *message.Exchange) *message.Address

func downstreamLocal(ex *message.Exchange) *message.Address {
	if ex.Downstream == nil {
		return nil
	}
	return &ex.Downstream.Local
}

// downstreamPeer is the other end of the client's connection.
func downstreamPeer(ex *message.Exchange) *message.Address {
	if ex.Downstream == nil {
		return nil
	}
	return &ex.Downstream.Remote
}

// downstreamRemote is the client, as x-forwarded-for may tell.
func downstreamRemote(ex *message.Exchange) *message.Address {
	if ex.Remote.Text == "" {
		return downstreamPeer(ex)
	}
	return &ex.Remote
}

func upstreamLocal(ex *message.Exchange) *message.Address {
	if ex.UpstreamConn == 0 {
		return nil
	}
	return &ex.UpstreamLocal
}

// upstreamRemote is the host of the last attempt, if there was a connection to it.
func upstreamRemote(ex *message.Exchange) *message.Address {
	if ex.UpstreamConn == 0 {
		return nil
	}
	return &ex.Upstream
}

func addressText(of socket) func(*message.Exchange) string {
	return func(ex *message.Exchange) string {
		if a := of(ex); a != nil {
			return a.Text
		}
		return ""
	}
}

// addressPort is absent for pipes.
func addressPort(of socket) func(*message.Exchange) (int64, bool) {
	return func(ex *message.Exchange) (int64, bool) {
		a := of(ex)
		if a == nil || !a.IP.IsValid() {
			return 0, false
		}
		return int64(a.Port), true
	}
}

// addressIP appends an IP address, or the path of a pipe.
func addressIP(of socket) func([]byte, *message.Exchange) ([]byte, bool) {
	return func(b []byte, ex *message.Exchange) ([]byte, bool) {
		a := of(ex)
		if a == nil || a.Text == "" {
			return b, false
		}
		if !a.IP.IsValid() {
			return append(b, a.Text...), true
		}
		return a.IP.AppendTo(b), true
	}
}

// addressOperator is an operator such as %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(24)%. The
// length of a prefix makes it the network: "10.1.2.0/24". As in Envoy a parameter that is
// no number has no effect, and a length that is too long is the longest there is.
func addressOperator(of socket) operator {
	return operator{takesParam, func(param string) (value, error) {
		length, err := strconv.Atoi(strings.TrimSpace(param))
		if err != nil {
			return written(addressIP(of)), nil
		}
		return written(func(b []byte, ex *message.Exchange) ([]byte, bool) {
			a := of(ex)
			switch {
			case a == nil || a.Text == "":
				return b, false
			case !a.IP.IsValid() || length < 0:
				return b, true // Envoy writes nothing, and not that there is nothing
			}
			ip := a.IP.WithZone("")
			return netip.PrefixFrom(ip, min(length, ip.BitLen())).Masked().AppendTo(b), true
		}), nil
	}}
}

func connectionID(ex *message.Exchange) uint64 {
	if ex.Downstream == nil {
		return 0
	}
	return ex.Downstream.ID
}

func listenerName(ex *message.Exchange) string {
	if ex.Downstream == nil {
		return ""
	}
	return ex.Downstream.Listener
}

// observedCluster is the name of the cluster under which it is observed.
func observedCluster(ex *message.Exchange) string {
	if ex.ClusterAlt != "" {
		return ex.ClusterAlt
	}
	return ex.Cluster
}

// upstreamName is the hostname of the endpoint, or its address if it has none.
func upstreamName(ex *message.Exchange) string {
	if ex.UpstreamHost != "" {
		return ex.UpstreamHost
	}
	return ex.Upstream.Text
}

// connected is a text that is there only if the last attempt had a connection.
func connected(of func(*message.Exchange) string) func(*message.Exchange) string {
	return func(ex *message.Exchange) string {
		if ex.UpstreamConn == 0 {
			return ""
		}
		return of(ex)
	}
}

func appendUpstreamConnection(b []byte, ex *message.Exchange) ([]byte, bool) {
	if ex.UpstreamConn == 0 {
		return b, false
	}
	return strconv.AppendUint(b, ex.UpstreamConn, 10), true
}

// withoutPort takes ":80" off a host.
func withoutPort(host string) string {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || strings.IndexByte(host[i:], ']') >= 0 {
		return host
	}
	if _, err := strconv.ParseUint(host[i+1:], 10, 16); err != nil {
		return host
	}
	return host[:i]
}
