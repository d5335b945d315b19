package httpbalancer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DNS is a [Discoverer] that resolves a host again and again: each of its addresses
// is a backend. net.Resolver tells no time to live, so there is an interval. On an
// error, and on an empty answer, the last set stays.
type DNS struct {
	// URL is the scheme, host and port of the backends, as in [Backend.URL],
	// with a host to resolve. It is the ServerName of https backends.
	URL string

	// Interval is the time from one look-up to the next, and up to a tenth
	// more, so that a fleet does not ask all at once. Default (0): 30 s.
	Interval time.Duration

	// Timeout is that of one look-up. Default (0): 5 s.
	Timeout time.Duration

	// Network is "ip4" or "ip6" to take addresses of that kind alone. Default
	// (""): both.
	Network string

	// Resolver looks up. Default (nil): net.DefaultResolver.
	Resolver interface {
		LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
	}
}

// Validate returns an error, which wraps [ErrOption] or [ErrBackend], if a field is
// out of range.
func (d DNS) Validate() error {
	to, err := parse(Backend{URL: d.URL})
	if err != nil {
		return fmt.Errorf("httpbalancer: DNS.%w", err)
	}
	if strings.ContainsFunc(to.host, func(c rune) bool { return c > 0x7f }) {
		return fmt.Errorf("httpbalancer: DNS.URL %q: %w: its host must be in ASCII, xn--… for an international name", d.URL, ErrBackend)
	}
	wrong := func(field string, value any, allowed string) error {
		return fmt.Errorf("httpbalancer: DNS.%s %v: %w: it must be %s", field, value, ErrOption, allowed)
	}
	switch {
	case d.Interval < 0:
		return wrong("Interval", d.Interval, "positive, or 0 for 30s")
	case d.Timeout < 0:
		return wrong("Timeout", d.Timeout, "positive, or 0 for 5s")
	case d.Network != "" && d.Network != "ip" && d.Network != "ip4" && d.Network != "ip6":
		return wrong("Network", fmt.Sprintf("%q", d.Network), `"ip4", "ip6", or "" for both`)
	}
	return nil
}

// Discover implements [Discoverer].
func (d DNS) Discover(ctx context.Context, update func([]Backend) error) error {
	if err := d.Validate(); err != nil {
		return err
	}
	if d.Interval == 0 {
		d.Interval = 30 * time.Second
	}
	if d.Timeout == 0 {
		d.Timeout = 5 * time.Second
	}
	if d.Network == "" {
		d.Network = "ip"
	}
	if d.Resolver == nil {
		d.Resolver = net.DefaultResolver
	}
	for {
		backends, err := d.lookUp(ctx)
		if err != nil {
			return err
		}
		if err := update(backends); err != nil {
			return err
		}
		select {
		case <-time.After(d.Interval + rand.N(d.Interval/10+1)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (d DNS) lookUp(ctx context.Context) ([]Backend, error) {
	to, err := url.Parse(d.URL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	found, err := d.Resolver.LookupNetIP(ctx, d.Network, to.Hostname())
	if err != nil {
		return nil, fmt.Errorf("httpbalancer: DNS: %w", err)
	}
	for i := range found {
		found[i] = found[i].Unmap()
	}
	slices.SortFunc(found, netip.Addr.Compare)
	found = slices.Compact(found)
	backends := make([]Backend, len(found))
	for i, addr := range found {
		at := url.URL{Scheme: to.Scheme, Host: addr.String()}
		if addr.Is6() {
			at.Host = "[" + at.Host + "]"
		}
		if port := to.Port(); port != "" {
			at.Host += ":" + port
		}
		backends[i].URL = at.String()
		if to.Scheme == "https" {
			backends[i].ServerName = to.Hostname()
		}
	}
	return backends, nil
}
