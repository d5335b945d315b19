package hashpolicy

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/maglev-lb/maglev"
)

type sourceIP struct{}

// SourceIP hashes the text of the IP address that the request has come from, without
// its port: Envoy's connection_properties with source_ip. IPv6 is without brackets,
// and IPv4 within IPv6 is IPv4, as in Envoy. A request that has not come by a
// connection, or by one of another kind such as a Unix socket, gives no hash.
//
// Whose address that is behind a proxy is for the [Request] to say. (Envoy
// takes the last of x-forwarded-for unless use_remote_address is set.)
func SourceIP() Policy { return Policy{kind: sourceIP{}} }

func (sourceIP) check() error { return nil }

func (sourceIP) hash(r Request, _ bool) (uint64, string, bool) {
	text := withoutPort(r.Remote())
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return 0, "", false
	}
	var buffer [64]byte
	b := appendAddr(buffer[:0], addr.Unmap())
	if string(b) != text { // seldom, and else there is nothing to allocate
		text = string(b)
	}
	return maglev.XXHash(text, 0), "", true
}

// withoutPort returns the address in 1.2.3.4, 1.2.3.4:80, ::1, [::1] and [::1]:80.
func withoutPort(s string) string {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		addr, port, ok := strings.Cut(inner, "]")
		if !ok || port != "" && port[0] != ':' {
			return ""
		}
		return addr
	}
	if addr, port, ok := strings.Cut(s, ":"); ok && !strings.Contains(port, ":") {
		return addr
	}
	return s
}

// appendAddr writes an address as inet_ntop does. That is not as netip does in
// ::1.2.3.4.
func appendAddr(b []byte, a netip.Addr) []byte {
	raw := a.As16()
	if a.Is6() && a.Zone() == "" && [12]byte(raw[:12]) == [12]byte{} && (raw[12] != 0 || raw[13] != 0) {
		return fmt.Appendf(b, "::%d.%d.%d.%d", raw[12], raw[13], raw[14], raw[15])
	}
	return a.AppendTo(b)
}
