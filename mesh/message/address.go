package message

import (
	"net"
	"strconv"
)

// AddressOf returns the Address of a socket.
func AddressOf(a net.Addr) Address {
	switch a := a.(type) {
	case *net.TCPAddr:
		ap := a.AddrPort()
		ip := ap.Addr().Unmap()
		return Address{Text: net.JoinHostPort(ip.String(), strconv.Itoa(int(ap.Port()))), IP: ip, Port: ap.Port()}
	case *net.UnixAddr:
		return Address{Text: a.Name}
	}
	if a == nil {
		return Address{}
	}
	return Address{Text: a.String()}
}
