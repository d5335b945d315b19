package grpcbalancer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/ringhash"
)

// ErrBackend is wrapped by the errors about a [Backend] that is not usable, in whatever
// way it has been given.
var ErrBackend = errors.New("backend not usable")

// A Backend is a server, as the resolvers of this package are given it.
//
// Addresses are written in one way, whichever they come in: host names in lower case,
// IP addresses as package netip has them, ports without leading zeros. So two clients
// that spell an address differently have the same table.
type Backend struct {
	// Address is its host and port: an IP address or a name, which is resolved when
	// it is connected to, and a number from 1 to 65535, such as "10.0.0.1:443",
	// "[fd00::1]:443" or "cache-1.example:443". A unix socket is "unix:/path" or,
	// where there are abstract ones, "unix:@name". Required.
	Address string

	// AdditionalAddresses are others of the same server, such as an IPv6 address
	// beside an IPv4 one: one connection is made, as gRFC A61 says. Default: none.
	AdditionalAddresses []string

	// Weight is its share of the keys relative to the others'. Default (0): 1.
	Weight uint32

	// Key is what is hashed of it: the same for everybody who is to send a key to
	// the same place, and unique. Set it if addresses change and keys are to stay.
	// Default (""): Address.
	Key string

	// ServerName is a name or an IP address, with or without a port: what the
	// server's certificate has to be for, and the :authority of calls to it. It is as
	// trusted as the address. Default (""): that of the target, see [StaticScheme].
	ServerName string
}

// A fieldError says what is wrong with a field of a backend.
type fieldError struct{ field, value, why string }

func (e *fieldError) Error() string {
	return fmt.Sprintf("%s %q: %v: %s", e.field, e.value, ErrBackend, e.why)
}

func (*fieldError) Unwrap() error { return ErrBackend }

// checkBackends returns the backends with the addresses in their one form and the defaults
// filled in. An error names two backends if each alone would do; it begins with the
// place of the backend, in the words of label.
//
// The policy itself has rules for endpoints with the same addresses or the same key, as
// some resolvers return them. In a list that somebody has written they are a mistake:
// one server would have the keys of two.
func checkBackends(backends []Backend, label func(i int) string) ([]Backend, error) {
	checked := make([]Backend, len(backends))
	keys := make(map[string]int, len(backends))
	owners := make(map[string]int, len(backends)) // by address
	for i, b := range backends {
		b, err := b.check()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", label(i), err)
		}
		for _, a := range b.all() {
			j, taken := owners[a]
			switch {
			case taken && i == j:
				return nil, fmt.Errorf("%s: %w", label(i), &fieldError{"address", a, "it is listed twice"})
			case taken:
				return nil, fmt.Errorf("%s: %w", label(i), &fieldError{"address", a, "it is one of " + label(j) + " too; list it once, with the sum of the weights"})
			}
			owners[a] = i
		}
		if j, taken := keys[b.Key]; taken {
			return nil, fmt.Errorf("%s: %w", label(i), &fieldError{"key", b.Key, "it is that of " + label(j) + " too; give one of them another"})
		}
		keys[b.Key] = i
		checked[i] = b
	}
	return checked, nil
}

func (b Backend) all() []string {
	return append([]string{b.Address}, b.AdditionalAddresses...)
}

func (b Backend) check() (Backend, error) {
	addresses := b.all()
	for i, a := range addresses {
		address, err := checkAddress(a)
		if err != nil {
			return b, err
		}
		addresses[i] = address
	}
	b.Address, b.AdditionalAddresses = addresses[0], addresses[1:]
	b.Weight = max(b.Weight, 1)
	if b.Key == "" {
		b.Key = b.Address
	}
	if b.ServerName != "" && !isServerName(b.ServerName) {
		return b, &fieldError{"server name", b.ServerName, `it must be a name or an IP address, with or without a port, such as "cache.example"`}
	}
	return b, nil
}

// unixPrefix is what gRPC knows the address of a unix socket by.
const unixPrefix = "unix:"

// checkAddress returns an address in its one form.
func checkAddress(address string) (string, error) {
	wrong := func(why string) (string, error) { return "", &fieldError{"address", address, why} }
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		if path == "" || strings.ContainsRune(path, 0) {
			return wrong(`it must have the path of a unix socket, such as "unix:/run/cache.sock"`)
		}
		if rest := strings.TrimLeft(path, "/"); rest != path { // unix:///run/cache.sock
			return unixPrefix + "/" + rest, nil
		}
		return address, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return wrong(`it must be a host and a port, such as "10.0.0.1:443", with IPv6 addresses in brackets, such as "[fd00::1]:443"`)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return wrong("its port must be a number from 1 to 65535")
	}
	host, ok := checkHost(host)
	if !ok || strings.HasPrefix(address, "[") != strings.Contains(host, ":") {
		return wrong(`its host must be an IP address, with IPv6 addresses in brackets, or a name of letters, digits and "-._"; international names begin with "xn--"`)
	}
	return net.JoinHostPort(host, strconv.FormatUint(n, 10)), nil
}

// checkHost returns an IP address or a name in its one form, false if it is neither.
func checkHost(host string) (string, bool) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.String(), ip.Zone() == "" || isName(ip.Zone())
	}
	return strings.ToLower(host), isName(host)
}

func isName(text string) bool {
	named := false // by something other than punctuation
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
			named = true
		case strings.IndexByte("-._", c) < 0:
			return false
		}
	}
	return named
}

// isServerName returns whether a text can be a server name: it is written into the header
// of calls as it is.
func isServerName(name string) bool {
	if host, port, err := net.SplitHostPort(name); err == nil {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return false
		}
		name = host
	}
	_, ok := checkHost(name)
	return ok && !strings.Contains(name, "%")
}

// endpoint returns a checked backend as the policy has it. If the target has no name for
// all of them, each address is its own.
//
// The key is always set: without it the policy would take the first address, and
// that is what a resolver in between may change.
func (b Backend) endpoint(named bool) resolver.Endpoint {
	var e resolver.Endpoint
	for _, a := range b.all() {
		name := b.ServerName
		if name == "" && !named {
			name = ownName(a)
		}
		e.Addresses = append(e.Addresses, resolver.Address{Addr: a, ServerName: name})
	}
	return weight.Set(ringhash.SetHashKey(e, b.Key), weight.EndpointInfo{Weight: b.Weight})
}

// ownName returns the server name of an address that has none but itself.
func ownName(address string) string {
	if strings.HasPrefix(address, unixPrefix) {
		return "localhost" // as in gRPC's resolver for unix sockets
	}
	if at, after, ok := strings.Cut(address, "%"); ok { // the zone of an IPv6 address says something on this machine alone
		if _, port, ok := strings.Cut(after, "]"); ok {
			return at + "]" + port
		}
	}
	return address
}

// stateOf returns checked backends as the state of a resolver. It has no service config,
// as that would take the place of the one the user has given.
func stateOf(backends []Backend, named bool) resolver.State {
	endpoints := make([]resolver.Endpoint, len(backends))
	for i, b := range backends {
		endpoints[i] = b.endpoint(named)
	}
	return resolver.State{Endpoints: endpoints}
}
