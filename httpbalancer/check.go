package httpbalancer

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/maglev-lb/maglev/health"
)

// healthOptions are the monitor's.
func (t *Transport) healthOptions() health.Options {
	opts := health.Options{Outlier: t.opts.Outlier}
	if t.opts.Check != nil {
		check := t.opts.Check.Check
		if check.Probe == nil {
			check.Probe = t.probe
		}
		opts.Check = &check
	}
	return opts
}

// probe asks a backend for its health. It is a request as any other to the
// backend's transport, and none to the balancer.
func (t *Transport) probe(ctx context.Context, name string) error {
	t.mu.Lock()
	u := t.upstreams[name]
	t.mu.Unlock()
	if u == nil {
		return fmt.Errorf("httpbalancer: check: %w: %q", ErrNoBackend, name)
	}
	c := u.conn.Load()
	c.inFlight.Add(1)
	defer c.done()
	check := t.opts.Check
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://host"+orDefault(check.Path, "/"), nil)
	if err != nil {
		return fmt.Errorf("httpbalancer: check: %w", err)
	}
	req.URL.Scheme, req.URL.Host = c.scheme, c.host
	req.Host = check.Host
	req.Header.Set("User-Agent", "maglev-health-check")
	resp, err := c.roundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	const enough = 64 << 10 // so that the connection can be used again
	if _, err := io.CopyN(io.Discard, resp.Body, enough); err != nil && err != io.EOF {
		return fmt.Errorf("reading the response's body: %w", err)
	}
	healthy := check.Healthy
	if healthy == nil {
		healthy = func(status int) bool { return status >= 200 && status <= 299 }
	}
	if !healthy(resp.StatusCode) {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
