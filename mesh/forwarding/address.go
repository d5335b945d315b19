package forwarding

import (
	"net/netip"
	"strings"

	"github.com/maglev-lb/maglev/mesh/message"
)

// forwardedFor returns the last address of an x-forwarded-for, without those that hops
// trusted proxies have put there, and whether it is the only one. It is not there if the
// text in its place is none.
func forwardedFor(list string, hops uint32) (addr message.Address, only, ok bool) {
	for range hops {
		comma := strings.LastIndexByte(list, ',')
		if comma < 0 {
			return message.Address{}, false, false
		}
		list = list[:comma]
	}
	comma := strings.LastIndexByte(list, ',')
	text := trim(list[comma+1:])
	if text == "" {
		return message.Address{}, false, false
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" {
		return message.Address{}, false, false
	}
	only = comma < 0 && hops == 0
	if ip.Is4() {
		return message.Address{Text: text + ":0", IP: ip}, only, true
	}
	return message.Address{Text: "[" + ip.String() + "]:0", IP: ip}, only, true
}

// ipText returns the address without the port.
func ipText(a message.Address) string {
	text := a.Text
	colon := strings.LastIndexByte(text, ':')
	switch {
	case colon < 0:
		return a.IP.String()
	case text[0] == '[':
		return text[1 : colon-1]
	}
	return text[:colon]
}

// isLoopback returns whether an address is that of the loopback itself. Others of 127.0.0.0/8
// are not.
func isLoopback(ip netip.Addr) bool {
	return ip == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || ip == netip.IPv6Loopback()
}

// isInternal returns whether an address is one of internal_address_config.
func (r *Rules) isInternal(a message.Address) bool {
	if !a.IP.IsValid() {
		return a.Text != "" && r.h.InternalUnix
	}
	for _, p := range r.internal {
		if p.Contains(a.IP) {
			return true
		}
	}
	return false
}
