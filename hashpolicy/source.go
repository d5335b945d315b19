package hashpolicy

import (
	"net/netip"
	"strings"

	"github.com/cespare/xxhash/v2"
)

type sourceIP struct{}

// SourceIP hashes the text of the IP address that the request has come from, without
// its port: Envoy's connection_properties with source_ip. IPv6 is without brackets,
// and IPv4 within IPv6 is IPv4, as in Envoy. (A zone, of a link-local address, is the
// interface's name here and its number in Envoy.) A request that has not come by a
// connection, or by one of another kind such as a Unix socket, gives no hash; the
// latter allocates.
//
// Whose address that is behind a proxy is for the [Request] to say. Envoy takes the
// last of x-forwarded-for unless use_remote_address is set, with two consequences: it
// hashes ::ffff:192.0.2.7 there as it stands, and a [GeneratedCookie] is made from the
// connection's addresses all the same. A Request has one Remote for both; who needs
// either makes a policy of its own by [Func].
func SourceIP() Policy { return Policy{kind: sourceIP{}} }

func (sourceIP) check() error { return nil }

func (sourceIP) hash(r Request, _ bool) (uint64, string, bool) {
	text := withoutPort(r.Remote())
	if text == "" {
		return 0, "", false // without the cost of an error
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return 0, "", false
	}
	var buffer [64]byte
	return xxhash.Sum64(appendAddr(buffer[:0], addr.Unmap())), "", true
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
		return netip.AddrFrom4([4]byte(raw[12:])).AppendTo(append(b, "::"...))
	}
	return a.AppendTo(b)
}
