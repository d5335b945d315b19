package grpcbalancer

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc/resolver"
)

// StaticScheme is the scheme of targets that list their backends:
//
//	maglev:///10.0.0.1:443,10.0.0.2:443;weight=2;key=cache-b
//
// Backends are separated by commas, the parameters of one follow semicolons:
//
//   - weight, from 1 to 4294967295, is [Backend.Weight];
//   - key is [Backend.Key];
//   - name is [Backend.ServerName].
//
// More addresses of one backend follow plus signs: 10.0.0.1:443+[fd00::1]:443. What is
// not a letter, a digit or one of "-._~:[]/@" has to be percent-encoded: a key "a,b" is
// key=a%2Cb.
//
// # Names
//
// All targets of this package have this in common. A name in front of the list, as in
// maglev://cache.example/10.0.0.1:443,10.0.0.2:443, is the authority of the channel:
// the :authority of its calls, and the name that all certificates have to be for.
// Without one each address is its own name, so that the server at 10.0.0.1:443 has
// to have a certificate for 10.0.0.1. A backend with a ServerName has that, with or
// without a name in front. What grpc.WithAuthority says comes before all of these;
// the ServerName of transport credentials comes before addresses and the name in
// front.
//
// # Proxies
//
// If an environment variable such as HTTPS_PROXY names a proxy, gRPC replaces the
// addresses of endpoints by that of the proxy and drops their keys and weights, which
// leaves one backend. Use grpc.WithNoProxy, or NO_PROXY, for targets whose backends
// are behind one.
const StaticScheme = "maglev"

func init() {
	resolver.Register(staticBuilder{})
}

// A staticBuilder builds resolvers that know their backends from the target.
type staticBuilder struct{}

func (staticBuilder) Scheme() string { return StaticScheme }

// OverrideAuthority implements [resolver.AuthorityOverrider].
func (staticBuilder) OverrideAuthority(t resolver.Target) string { return authorityOf(t.URL.Host) }

// Build implements [resolver.Builder]. An error names the part of the target, and what
// is allowed.
func (staticBuilder) Build(t resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	backends, err := parseTarget(t.URL)
	if err != nil {
		return nil, err
	}
	// What it returns asks for another try, which would bring the same.
	_ = cc.UpdateState(stateOf(backends, isNamed(opts.Authority)))
	return static{}, nil
}

// static is a resolver that has said all it knows.
type static struct{}

func (static) ResolveNow(resolver.ResolveNowOptions) {}
func (static) Close()                                {}

// nameless is the authority of a channel whose target has no name. Its addresses have
// server names of their own, so nobody gets to see it. It is one that no certificate is
// for (RFC 6761, section 6.4), should a connection ever have no other.
const nameless = "maglev.invalid"

// authorityOf returns a name as an authority (RFC 3986, section 3.2).
func authorityOf(name string) string {
	if name == "" {
		return nameless
	}
	return strings.NewReplacer("%5B", "[", "%5D", "]").Replace(url.PathEscape(name))
}

// isNamed returns whether a channel has a name for all its backends: from the target,
// an option, or its credentials.
func isNamed(authority string) bool { return authority != nameless }

// parseTarget returns the backends that a target lists.
func parseTarget(u url.URL) ([]Backend, error) {
	if err := checkTarget(u, "maglev:///10.0.0.1:443,10.0.0.2:443"); err != nil {
		return nil, err
	}
	if err := checkNoQuery(u, "; those of a backend follow semicolons"); err != nil {
		return nil, err
	}
	list := listOf(u)
	if list == "" {
		hint := ""
		if u.Host != "" {
			hint = fmt.Sprintf("; %q is taken for the name of the channel, write maglev:/// with three slashes if it is a backend", u.Host)
		}
		return nil, fmt.Errorf("grpcbalancer: target: it lists no backends; it must be such as maglev:///10.0.0.1:443,10.0.0.2:443%s", hint)
	}
	texts := strings.Split(list, ",")
	label := func(i int) string { return fmt.Sprintf("backend %d (%s)", i+1, texts[i]) }
	backends := make([]Backend, len(texts))
	for i, text := range texts {
		b, err := parseBackend(text)
		if err != nil {
			return nil, fmt.Errorf("grpcbalancer: target: %s: %w", label(i), err)
		}
		backends[i] = b
	}
	checked, err := checkBackends(backends, label)
	if err != nil {
		return nil, fmt.Errorf("grpcbalancer: target: %w", err)
	}
	return checked, nil
}

// checkTarget refuses what no target of this package has.
func checkTarget(u url.URL, such string) error {
	switch {
	case u.User != nil:
		return fmt.Errorf("grpcbalancer: target: it must not have a user before an @; it must be such as %s", such)
	case u.Fragment != "":
		return fmt.Errorf("grpcbalancer: target: %q: it must not have a fragment; write %%23 for a number sign", "#"+u.Fragment)
	}
	return nil
}

func checkNoQuery(u url.URL, hint string) error {
	if u.RawQuery != "" || u.ForceQuery {
		return fmt.Errorf("grpcbalancer: target: %q: it has no parameters after a question mark%s", "?"+u.RawQuery, hint)
	}
	return nil
}

// listOf returns the list of a target as it has been written: once it is decoded, a
// comma of a key is one like those between backends.
func listOf(u url.URL) string {
	switch {
	case u.Opaque != "": // maglev:10.0.0.1:443
		return u.Opaque
	case u.RawPath != "":
		return strings.TrimPrefix(u.RawPath, "/")
	}
	return strings.TrimPrefix(u.EscapedPath(), "/")
}

// parseBackend reads a backend of a list. It is yet to be checked.
func parseBackend(text string) (Backend, error) {
	var b Backend
	addresses, parameters, _ := strings.Cut(text, ";")
	for i, a := range strings.Split(addresses, "+") {
		decoded, err := url.PathUnescape(a)
		switch {
		case err != nil:
			return b, &fieldError{"address", a, "a percent sign must be followed by two hexadecimal digits"}
		case i == 0:
			b.Address = decoded
		default:
			b.AdditionalAddresses = append(b.AdditionalAddresses, decoded)
		}
	}
	if strings.HasSuffix(text, ";") {
		return b, fmt.Errorf("%w: it ends in a semicolon, which must be followed by weight, key or name", ErrBackend)
	}
	seen := make(map[string]bool)
	for p := range strings.SplitSeq(parameters, ";") {
		if parameters == "" {
			break
		}
		name, value, found := strings.Cut(p, "=")
		decoded, err := url.PathUnescape(value)
		switch {
		case err != nil:
			return b, &fieldError{name, value, "a percent sign must be followed by two hexadecimal digits"}
		case !found || decoded == "":
			return b, &fieldError{"parameter", p, "it must be a name, an equals sign and a value, such as weight=2"}
		case seen[name]:
			return b, &fieldError{"parameter", p, "there is one of that name before it"}
		}
		seen[name] = true
		switch name {
		case "weight":
			n, err := strconv.ParseUint(decoded, 10, 32)
			if err != nil || n == 0 {
				return b, badWeight(decoded)
			}
			b.Weight = uint32(n)
		case "key":
			b.Key = decoded
		case "name":
			b.ServerName = decoded
		default:
			return b, &fieldError{"parameter", p, "its name must be weight, key or name"}
		}
	}
	return b, nil
}

func badWeight(value string) error {
	return &fieldError{"weight", value, "it must be a whole number from 1 to 4294967295; to give a backend no calls, leave it out"}
}
