//go:build linux

package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
)

//go:embed configs
var configFiles embed.FS

var configs = template.Must(template.ParseFS(configFiles, "configs/*"))

// A peer is what requests go through.
type peer struct {
	name   string
	config string                                                // the name of its configuration's file
	find   func(ctx context.Context, dir string) (string, error) // its binary, made in dir if need be
	args   func(config string, workers int) []string
	env    func(workers int) []string // nil: none of its own
	admin  bool                       // it has Envoy's administration
	// version is the arguments with which it tells its version.
	version []string
}

// none is no proxy: what the others' latencies are compared with.
const none = "none"

var peers = []peer{
	{name: none},
	{
		name: "meshproxy", config: "envoy.yaml", admin: true,
		find: buildMeshproxy,
		args: func(config string, _ int) []string { return []string{"-c", config} },
		env:  func(workers int) []string { return []string{"GOMAXPROCS=" + strconv.Itoa(workers)} },
	},
	{
		name: "envoy", config: "envoy.yaml", admin: true,
		find: findEnvoy,
		args: func(config string, workers int) []string {
			return []string{"-c", config, "--concurrency", strconv.Itoa(workers), "--disable-hot-restart", "--log-level", "warn"}
		},
		version: []string{"--version"},
	},
	{
		name: "nginx", config: "nginx.conf",
		find: findInPath("nginx"),
		args: func(config string, _ int) []string {
			return []string{"-c", config, "-p", filepath.Dir(config), "-e", filepath.Join(filepath.Dir(config), "error.log")}
		},
		version: []string{"-v"},
	},
	{
		name: "haproxy", config: "haproxy.cfg",
		find:    findInPath("haproxy"),
		args:    func(config string, _ int) []string { return []string{"-db", "-f", config} },
		version: []string{"-v"},
	},
}

func peerNamed(name string) (*peer, error) {
	names := make([]string, len(peers))
	for i := range peers {
		if peers[i].name == name {
			return &peers[i], nil
		}
		names[i] = peers[i].name
	}
	return nil, fmt.Errorf("there is no peer %q, only %s", name, strings.Join(names, ", "))
}

// A site is what a configuration is filled with.
type site struct {
	Dir            string // of the proxy's own
	Listen, Admin  uint16
	Workers        int
	MaxConnections int // it may have
	Backends       []netip.AddrPort
	Clusters       []cluster // of configs/clusters.yaml
}

// write writes a configuration into the site's directory.
func (s *site) write(name string) (string, error) {
	var text bytes.Buffer
	if err := configs.ExecuteTemplate(&text, name, s); err != nil {
		return "", err
	}
	path := filepath.Join(s.Dir, name)
	return path, os.WriteFile(path, text.Bytes(), 0o600)
}

// errAbsent is wrapped by the error of a peer that is not there.
var errAbsent = errors.New("not installed")

func findInPath(name string) func(context.Context, string) (string, error) {
	return func(context.Context, string) (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			if path, err = exec.LookPath("/usr/sbin/" + name); err != nil {
				return "", fmt.Errorf("%s: %w: run bench/mesh/install", name, errAbsent)
			}
		}
		return path, nil
	}
}

// findEnvoy takes the Envoy that MAGLEV_ENVOY names, or has one installed into a cache.
func findEnvoy(ctx context.Context, _ string) (string, error) {
	if binary := os.Getenv("MAGLEV_ENVOY"); binary != "" {
		return binary, nil
	}
	root, err := repository(ctx)
	if err != nil {
		return "", err
	}
	install := exec.CommandContext(ctx, filepath.Join(root, ".ci", "install-envoy"))
	install.Stderr = os.Stderr
	out, err := install.Output()
	if err != nil {
		return "", fmt.Errorf("envoy: %w: .ci/install-envoy: %w", errAbsent, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// buildMeshproxy builds it from the module beside this one.
func buildMeshproxy(ctx context.Context, dir string) (string, error) {
	root, err := repository(ctx)
	if err != nil {
		return "", err
	}
	module := filepath.Join(root, "mesh")
	if _, err := os.Stat(filepath.Join(module, "cmd", "meshproxy")); err != nil {
		return "", fmt.Errorf("meshproxy: %w: %w", errAbsent, err)
	}
	binary := filepath.Join(dir, "meshproxy")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/meshproxy")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // as the README has it
	build.Dir = module
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build meshproxy: %w\n%s", err, out)
	}
	return binary, nil
}

// repository is the directory of the root module.
func repository(ctx context.Context) (string, error) {
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/maglev-lb/maglev")
	out, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
