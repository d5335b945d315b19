package config

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Of a large configuration, nearly all is endpoints, and nearly all of those say where one
// is and no more:
//
//	endpoint: {address: {socket_address: {address: 10.0.0.1, port_value: 80}}}
//
// For these the decoder need not ask descriptors for each of the five messages.

const lbEndpoint protoreflect.FullName = "envoy.config.endpoint.v3.LbEndpoint"

// A plainEndpoint is all messages of one in one piece of memory.
type plainEndpoint struct {
	lb       endpointv3.LbEndpoint
	inLB     endpointv3.LbEndpoint_Endpoint
	endpoint endpointv3.Endpoint
	address  corev3.Address
	inOne    corev3.Address_SocketAddress
	socket   corev3.SocketAddress
	port     corev3.SocketAddress_PortValue
}

// plain returns the message of an endpoint that is right and says no more than its
// address and port, and else nil: then it is decoded as all others are.
func (d *decoder) plain(n *node) *endpointv3.LbEndpoint {
	socket := n.only("endpoint").only("address").only("socket_address")
	if socket == nil || socket.kind != mapping || len(socket.kids) != 4 || d.depth+5 > maxDepth {
		return nil
	}
	address, port := &socket.kids[1], &socket.kids[3]
	if socket.kids[0].text != "address" || socket.kids[2].text != "port_value" || socket.kids[0].ignored || socket.kids[2].ignored {
		return nil
	}
	number := uint32(0)
	for i := range len(port.text) {
		c := port.text[i]
		if c < '0' || c > '9' || c == '0' && i == 0 || number > 65535 {
			return nil
		}
		number = number*10 + uint32(c-'0')
	}
	if port.kind != scalar || number == 0 || number > 65535 || address.kind != scalar || address.text == "" || address.valueType() != stringValue || address.isNull() {
		return nil
	}
	if d.budget.used.Add(10) > maxValues {
		return nil
	}
	e := new(plainEndpoint)
	e.lb.HostIdentifier = &e.inLB
	e.inLB.Endpoint = &e.endpoint
	e.endpoint.Address = &e.address
	e.address.Address = &e.inOne
	e.inOne.SocketAddress = &e.socket
	e.socket.Address = address.text
	e.socket.PortSpecifier = &e.port
	e.port.PortValue = number
	return &e.lb
}

// only returns the value of a mapping's one key, or nil.
func (n *node) only(key string) *node {
	if n == nil || n.kind != mapping || len(n.kids) != 2 || n.kids[0].text != key || n.kids[0].ignored {
		return nil
	}
	return &n.kids[1]
}
