package config

import (
	"strings"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
)

// SourceIP is the hash policy of connection_properties with source_ip. It hashes the address of the
// client as far as x-forwarded-for is trusted, where hashpolicy.SourceIP would hash that
// of the connection, which a generated cookie is made from. It gives no hash for a request that is not
// a [ClientRequest], nor for a client with a path in place of an address.
func SourceIP() hashpolicy.Policy {
	return hashpolicy.Func(func(r hashpolicy.Request) (uint64, bool) {
		request, ok := r.(ClientRequest)
		if !ok {
			return 0, false
		}
		ip := ipOf(request.Client())
		return maglev.XXHash(ip, 0), ip != ""
	})
}

// A ClientRequest is a request that knows its client.
type ClientRequest interface {
	hashpolicy.Request

	// Client returns the client's address as Envoy writes it, with the port: "10.0.0.1:80", "[::1]:80".
	Client() string
}

// ipOf returns what of an address is not its port: without the brackets, and "" for a path.
func ipOf(address string) string {
	i := strings.LastIndexByte(address, ':')
	if i < 0 || address[0] == '/' || address[0] == '@' {
		return ""
	}
	ip := address[:i]
	if strings.HasPrefix(ip, "[") && strings.HasSuffix(ip, "]") {
		ip = ip[1 : len(ip)-1]
	}
	return ip
}
