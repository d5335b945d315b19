//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
)

// checkAll makes sure, before anything is measured, that the peers do the same work and do it
// right, and that those with Envoy's configuration choose the same backends.
func (b *bench) checkAll(ctx context.Context) error {
	behind, addresses, err := startBackends()
	if err != nil {
		return err
	}
	defer behind.stop()
	choices := make(map[string][]string)
	for _, p := range b.peers {
		if p.find == nil {
			continue
		}
		w := &world{backends: behind}
		stop, err := b.addProxy(ctx, w, p, addresses)
		if err != nil {
			return err
		}
		choices[p.name], err = check(ctx, "http://"+w.targets[0].String())
		stop()
		if err != nil {
			return fmt.Errorf("%s is not right: %w", p.name, err)
		}
		fmt.Fprintf(b.progress, "%s is right\n", p.name)
	}
	ours, theirs := choices["meshproxy"], choices["envoy"]
	if ours == nil || theirs == nil {
		return nil
	}
	for user := range ours {
		if ours[user] != theirs[user] {
			return fmt.Errorf("user-%d goes to backend %s with meshproxy and to %s with envoy", user, ours[user], theirs[user])
		}
	}
	fmt.Fprintf(b.progress, "meshproxy and envoy choose the same backends for %d keys\n", len(ours))
	return nil
}

// check asks a proxy for everything that its configuration says, and returns the backends it
// chooses for the users.
func check(ctx context.Context, proxy string) ([]string, error) {
	c := &checker{ctx: ctx, proxy: proxy, client: http.Client{
		Transport:     &http.Transport{DisableCompression: true, MaxConnsPerHost: 1},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	defer c.client.CloseIdleConnections()
	for _, step := range []func() error{c.checkRoutes, c.checkHead, c.checkBodies} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	choices := make([]string, users)
	counts := make(map[string]int)
	for user := range choices {
		resp, body, err := c.do(http.MethodGet, "shop.test", fmt.Sprintf("/api/item/%d", user), nil,
			"X-User", fmt.Sprintf("user-%d", user))
		if err != nil {
			return nil, err
		}
		if resp.StatusCode != http.StatusOK || !bytes.Equal(body, patternBody(smallBody)) {
			return nil, fmt.Errorf("an item is %s with %d bytes", resp.Status, len(body))
		}
		if resp.Close {
			return nil, fmt.Errorf("the connection is closed after request %d", user+1)
		}
		choices[user] = resp.Header.Get("X-Backend")
		counts[choices[user]]++
	}
	for id := range backends {
		if n := counts[fmt.Sprint(id)]; n < users/backends/2 {
			return nil, fmt.Errorf("backend %d has %d of %d keys", id, n, users)
		}
	}
	return choices, nil
}

// A checker asks over one connection.
type checker struct {
	ctx    context.Context
	proxy  string
	client http.Client
}

func (c *checker) do(method, host, path string, body []byte, headers ...string) (*http.Response, []byte, error) {
	var in io.Reader
	if body != nil {
		in = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(c.ctx, method, c.proxy+path, in)
	if err != nil {
		return nil, nil, err
	}
	req.Host = host
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(resp.Body)
	return resp, got, err
}

func (c *checker) checkRoutes() error {
	for _, route := range []struct {
		host, path, version string
		status              int
	}{
		{"shop.test", "/ping", "", 200},
		{"eu.shop.test", "/ping", "", 200},
		{"other.test", "/ping", "", 404},
		{"shop.test", "/nowhere", "", 404},
		{"shop.test", "/api/item/1", "beta", 503},
		{"shop.test", "/old/item/1", "", 301},
		{"static.shop.test", "/logo", "", 301},
	} {
		resp, _, err := c.do(http.MethodGet, route.host, route.path, nil, "X-Version", route.version)
		if err != nil {
			return err
		}
		if resp.StatusCode != route.status && (route.status != 301 || resp.StatusCode != 302) {
			return fmt.Errorf("%s%s: status %d, not %d", route.host, route.path, resp.StatusCode, route.status)
		}
	}
	return nil
}

// checkHead looks at what the mutations have made of a request and its answer.
func (c *checker) checkHead() error {
	resp, body, err := c.do(http.MethodGet, "shop.test", "/api/head", nil, "X-User", "user-1", "X-Internal", "1")
	if err != nil {
		return err
	}
	head := strings.ToLower(string(body))
	if !strings.HasPrefix(head, "get /head http/1.1\r\n") {
		return fmt.Errorf("the path was not rewritten: %q", body)
	}
	for _, want := range []string{"host: shop.test", "x-user: user-1", "x-entered: shop", "x-route: api", "x-forwarded-proto: http", "x-request-id: "} {
		if !strings.Contains(head, "\r\n"+want) {
			return fmt.Errorf("the backend does not see %q: %q", want, body)
		}
	}
	if strings.Contains(head, "x-internal") {
		return fmt.Errorf("the backend sees x-internal: %q", body)
	}
	if resp.Header.Get("X-Proxied") != "yes" || resp.Header.Get("X-Secret") != "" {
		return fmt.Errorf("the answer's headers were not changed: %v", resp.Header)
	}
	return nil
}

// checkBodies sends 10 MB either way, byte for byte.
func (c *checker) checkBodies() error {
	resp, body, err := c.do(http.MethodGet, "shop.test", "/api/big", nil)
	if err != nil {
		return err
	}
	big := patternBody(bigBody)
	if resp.StatusCode != http.StatusOK || !bytes.Equal(body, big) {
		return fmt.Errorf("10 MB came as %s with %d bytes, or others", resp.Status, len(body))
	}
	_, body, err = c.do(http.MethodPut, "shop.test", "/api/upload/check", big)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("%d %08x", bigBody, crc32.ChecksumIEEE(big)); string(body) != want {
		return fmt.Errorf("10 MB went as %q, not %q", body, want)
	}
	return nil
}
