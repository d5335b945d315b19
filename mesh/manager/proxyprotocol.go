package manager

import (
	"encoding/binary"
	"net"
	"strconv"

	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/upstream"
)

// pool returns the pool of connections to a host that a request takes one of. Connections that
// begin with the PROXY protocol are of one client, and end with it.
func (s *stream) pool(h *cluster.Host) *upstream.Pool {
	version := s.cluster.Config.ProxyProtocol
	if version == config.NoProxyProtocol {
		return h.Pool.(*pools).of(s.forward.Priority)
	}
	c := s.client
	key := ownPool{h, s.forward.Priority}
	p := c.own[key]
	if p == nil {
		if c.own == nil {
			c.own = make(map[ownPool]*upstream.Pool)
		}
		header := appendProxyHeader(nil, version, &c.info)
		p = newPool(s.cluster, h, s.forward.Priority, header)
		c.own[key] = p
	}
	return p
}

// An ownPool is what the pools of a client's own are found by.
type ownPool struct {
	host     *cluster.Host
	priority config.Priority
}

// closeOwn closes the pools of the client's own.
func (c *client) closeOwn() {
	for _, p := range c.own {
		p.Close()
	}
}

// appendProxyHeader appends what tells a host which connection it is that comes by a proxy, as
// https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt has it.
func appendProxyHeader(b []byte, version config.ProxyProtocol, c *message.Connection) []byte {
	if version == config.NoProxyProtocol {
		return b
	}
	from, to := c.Remote, c.Local
	known := from.IP.IsValid() && to.IP.IsValid() && from.IP.Is4() == to.IP.Is4()
	if version == config.ProxyProtocolV1 {
		if !known {
			return append(b, "PROXY UNKNOWN\r\n"...)
		}
		family := "TCP6 "
		if from.IP.Is4() {
			family = "TCP4 "
		}
		b = append(append(b, "PROXY "...), family...)
		b = append(from.IP.AppendTo(b), ' ')
		b = append(to.IP.AppendTo(b), ' ')
		b = append(strconv.AppendUint(b, uint64(from.Port), 10), ' ')
		b = strconv.AppendUint(b, uint64(to.Port), 10)
		return append(b, "\r\n"...)
	}
	const signature, proxy, local = "\r\n\r\n\x00\r\nQUIT\n", 0x21, 0x20
	b = append(b, signature...)
	if !known {
		return append(b, local, 0, 0, 0)
	}
	family := byte(0x21) // TCP over IPv6
	if from.IP.Is4() {
		family = 0x11
	}
	f, t := from.IP.AsSlice(), to.IP.AsSlice()
	b = append(b, proxy, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(f)+len(t)+4))
	b = append(append(b, f...), t...)
	b = binary.BigEndian.AppendUint16(b, from.Port)
	return binary.BigEndian.AppendUint16(b, to.Port)
}

// withHeader writes what a connection begins with.
func withHeader(c net.Conn, header []byte) (net.Conn, error) {
	if len(header) > 0 {
		if _, err := c.Write(header); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}
