package httpbalancer

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// A Backend is a server that requests are sent to.
type Backend struct {
	// URL is its scheme, http or https, and its host, with a port unless it is
	// the scheme's. It has no path but "/", no query and no user: a request keeps
	// its own. Required.
	URL string

	// Name is its identity and hash key: the same for everybody who is to send
	// a key to the same place, and unique. Set it if addresses change and keys
	// are to stay. Default (""): the URL's host and port, in lower case,
	// with the port of the scheme filled in, such as "10.0.0.1:80" or "[::1]:443",
	// which is Envoy's name for it.
	Name string

	// Weight is its share of the keys relative to the others', from 0 to
	// 1<<32 - 1. Default (0): 1.
	Weight int

	// Locality is read if Options.Balancer.Table.LocalityWeights is set.
	Locality string

	// ServerName is the name in its TLS handshake and certificate. Default
	// (""): Options.ServerName.
	ServerName string

	// Draining backends get no new keys, and keep their slots.
	Draining bool
}

// A target is a Backend that has been checked.
type target struct {
	backend      Backend // as it was given
	name         string
	weight       uint32
	scheme, host string // of requests
	serverName   string
}

func (t *Transport) parse(backends []Backend) ([]target, error) {
	targets := make([]target, len(backends))
	index := make(map[string]int, len(backends))
	for i, b := range backends {
		to, err := parse(b)
		if err != nil {
			return nil, fmt.Errorf("httpbalancer: backends[%d].%w", i, err)
		}
		if j, ok := index[to.name]; ok {
			return nil, fmt.Errorf("httpbalancer: backends[%d] and [%d]: %w: both are named %q; give one of them another Name", j, i, ErrBackend, to.name)
		}
		index[to.name] = i
		if to.serverName == "" {
			to.serverName = t.opts.ServerName
		}
		targets[i] = to
	}
	return targets, nil
}

// parse checks a backend. Its errors begin with the field.
func parse(b Backend) (target, error) {
	field, value := "URL", strconv.Quote(b.URL)
	wrong := func(why string, args ...any) (target, error) {
		return target{}, fmt.Errorf("%s %s: %w: %s", field, value, ErrBackend, fmt.Sprintf(why, args...))
	}
	if b.Weight < 0 || uint64(b.Weight) > math.MaxUint32 {
		field, value = "Weight", strconv.Itoa(b.Weight)
		return wrong("it must be from 1 to %d, or 0 for 1", uint32(math.MaxUint32))
	}
	u, err := url.Parse(b.URL)
	if err != nil {
		var cause *url.Error
		if errors.As(err, &cause) {
			err = cause.Err
		}
		if at := strings.LastIndexByte(b.URL, '@'); at >= 0 {
			value = strconv.Quote("…" + b.URL[at:]) // there may be a password before
		}
		return wrong("%v; it must be such as http://10.0.0.1:8080", err)
	}
	if u.User != nil {
		value = strconv.Quote(u.Redacted())
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	switch {
	case port == "":
		return wrong("its scheme must be http or https, such as in http://10.0.0.1:8080")
	case u.Hostname() == "":
		return wrong("it must have a host, such as http://10.0.0.1:8080")
	case u.User != nil:
		return wrong("it must not have a user; set Authorization in requests")
	case !isHost(u.Hostname()):
		return wrong("its host must be an IP address or a name, such as in http://10.0.0.1:8080")
	case u.Path != "" && u.Path != "/":
		return wrong("it must not have a path; a request keeps its own")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.HasSuffix(b.URL, "#"):
		return wrong("it must not have a query or fragment")
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return wrong("its port must be from 1 to 65535")
		}
		port = strconv.FormatUint(n, 10)
	} else if strings.HasSuffix(u.Host, ":") {
		return wrong("its port is empty")
	}
	to := target{
		backend:    b,
		name:       b.Name,
		weight:     uint32(max(b.Weight, 1)),
		scheme:     u.Scheme,
		host:       net.JoinHostPort(hostText(u.Hostname()), port),
		serverName: b.ServerName,
	}
	if to.name == "" {
		to.name = to.host
	}
	return to, nil
}

// isHost returns whether a text is an IP address, or of the characters of names, which
// beyond ASCII are net/http's to encode.
func isHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	named := false // by something other than punctuation
	for _, c := range host {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c > 0x7f:
			named = true
		case c != '-' && c != '.' && c != '_':
			return false
		}
	}
	return named
}

// hostText writes a host as Envoy does: an address as inet_ntop, a name in lower
// case.
func hostText(host string) string {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return strings.ToLower(host)
	}
	b := a.As16()
	if a.Is6() && [12]byte(b[:12]) == [12]byte{} && (b[12] != 0 || b[13] != 0) {
		return "::" + netip.AddrFrom4([4]byte(b[12:])).String()
	}
	return a.String()
}
