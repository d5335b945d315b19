package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/proxy"
)

// configuration is what the sidecar does.
//
//go:embed envoy.yaml
var configuration string

// A sidecar is a proxy in this process, and what it leaves in the file system.
type sidecar struct {
	proxy *proxy.Proxy
	addr  string // where clients come in
	admin string
	dir   string // of the access log
}

// startSidecar runs the configuration in front of services.
func startSidecar(ctx context.Context, behind *services) (s *sidecar, err error) {
	s = new(sidecar)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "maglev-mesh-"); err != nil {
		return s, err
	}
	text, err := located(configuration, behind, s.log())
	if err != nil {
		return s, err
	}
	bootstrap, err := config.Parse("envoy.yaml", []byte(text))
	if err != nil {
		return s, err
	}
	if s.proxy, err = proxy.Start(ctx, bootstrap, proxy.Options{}); err != nil {
		return s, err
	}
	s.addr, s.admin = s.proxy.Addr(0).String(), s.proxy.AdminAddr().String()
	return s, nil
}

// located puts the ports and the file of this run in place of those of the configuration.
func located(text string, behind *services, log string) (string, error) {
	const anyPort = 0 // let the system choose
	places := map[string]string{
		"port_value: 9901}": fmt.Sprintf("port_value: %d}", anyPort),
		"port_value: 8080}": fmt.Sprintf("port_value: %d}", anyPort),
		"port_value: 7001}": fmt.Sprintf("port_value: %d}", behind.shop.port),
		"path: /dev/stdout": fmt.Sprintf("path: %q", log),
	}
	for i, c := range behind.carts {
		places[fmt.Sprintf("port_value: %d}", 7101+i)] = fmt.Sprintf("port_value: %d}", c.port)
	}
	var pairs []string
	for from, to := range places {
		if strings.Count(text, from) != 1 {
			return "", fmt.Errorf("envoy.yaml: %q does not stand there exactly once", from)
		}
		pairs = append(pairs, from, to)
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

func (s *sidecar) log() string { return filepath.Join(s.dir, "access.log") }

// lines returns the lines of the access log; all of them once the proxy is closed.
func (s *sidecar) lines() ([]string, error) {
	text, err := os.ReadFile(s.log())
	return strings.Split(strings.TrimSpace(string(text)), "\n"), err
}

// stats returns the statistics, "name: value" each, as the admin server has them.
func (s *sidecar) stats(ctx context.Context) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.admin+"/stats", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking for statistics: %w", err)
	}
	defer resp.Body.Close()
	all := make(map[string]string)
	scanner := bufio.NewScanner(resp.Body)
	for scanner.Scan() {
		name, value, _ := strings.Cut(scanner.Text(), ": ")
		all[name] = value
	}
	return all, scanner.Err()
}

func (s *sidecar) close() error {
	var errs []error
	if s.proxy != nil {
		errs = append(errs, s.proxy.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
