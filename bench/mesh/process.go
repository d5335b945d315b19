//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// roleVariable is set in the environment of this program's own children.
const roleVariable = "MAGLEV_BENCH_ROLE"

// beRole does what a child is there for. It is false if this process is none.
func beRole() (bool, error) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		return false, nil
	case "backends":
		return true, beBackends(os.Stdin, os.Stdout)
	case "load":
		return true, beLoad(os.Stdin, os.Stdout)
	case "spinner":
		return true, beSpinner(os.Stdin)
	default:
		return true, fmt.Errorf("%s is %q", roleVariable, role)
	}
}

// A process is a child, perhaps with children of its own.
type process struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser // of this program's own; they end when it is closed
	out   *bufio.Reader
	log   string // path of what it has said
	ended chan struct{}
}

// startRole starts this program once more.
func startRole(role string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p := &process{name: role, cmd: cmd, in: in, out: bufio.NewReader(out)}
	return p, p.start()
}

// startPeer starts a proxy and returns once it answers.
func startPeer(ctx context.Context, p *peer, binary string, s *site) (*process, error) {
	config, err := s.write(p.config)
	if err != nil {
		return nil, err
	}
	proc, err := launchPeer(p, binary, config, s)
	if err != nil {
		return nil, err
	}
	if err := proc.await(ctx, fmt.Sprintf("http://127.0.0.1:%d/ping", s.Listen), time.Minute); err != nil {
		proc.stop()
		return nil, err
	}
	return proc, nil
}

// launchPeer starts a proxy with a configuration.
func launchPeer(p *peer, binary, config string, s *site) (*process, error) {
	cmd := exec.Command(binary, p.args(config, s.Workers)...)
	if p.env != nil {
		cmd.Env = append(os.Environ(), p.env(s.Workers)...)
	}
	log, err := os.Create(filepath.Join(s.Dir, "log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	cmd.Stdout, cmd.Stderr = log, log
	proc := &process{name: p.name, cmd: cmd, log: log.Name()}
	return proc, proc.start()
}

func (p *process) start() error {
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.ended = make(chan struct{})
	if p.in == nil { // else Wait would close out under its reader
		go func() {
			_ = p.cmd.Wait()
			close(p.ended)
		}()
	}
	return nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the process and its children.
func (p *process) stop() {
	if p.in != nil {
		_ = p.in.Close()
		go func() {
			_ = p.cmd.Wait()
			close(p.ended)
		}()
	} else {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
	}
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL) // the group, if any of it is left
	<-p.ended
}

// line reads a line of JSON that the process writes.
func (p *process) line(value any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	return json.Unmarshal(line, value)
}

// await asks for a URL until the answer is 200.
func (p *process) await(ctx context.Context, url string, limit time.Duration) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Second}
	for deadline := time.Now().Add(limit); ; time.Sleep(500 * time.Microsecond) {
		select {
		case <-p.ended:
			said, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s has ended: %s", p.name, lastLines(said))
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		req.Host = "shop.test"
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		if time.Now().After(deadline) {
			said, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s is not ready: %w; it says: %s", p.name, err, lastLines(said))
		}
	}
}

func lastLines(text []byte) []byte { return text[max(0, len(text)-2000):] }

// startBackends returns the process and where its backends are.
func startBackends() (*process, []netip.AddrPort, error) {
	p, err := startRole("backends")
	if err != nil {
		return nil, nil, err
	}
	var addresses []netip.AddrPort
	if err := p.line(&addresses); err != nil {
		p.stop()
		return nil, nil, err
	}
	return p, addresses, nil
}

// newSite makes a site in a directory of its own, with ports that are free.
func (b *bench) newSite(addresses []netip.AddrPort) (*site, error) {
	dir, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		return nil, err
	}
	s := &site{Dir: dir, Workers: b.opts.workers, MaxConnections: b.maxConnections, Backends: addresses}
	for _, port := range []*uint16{&s.Listen, &s.Admin} {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer func() { _ = listener.Close() }() // at the end, so that the two differ
		*port = listener.Addr().(*net.TCPAddr).AddrPort().Port()
	}
	return s, nil
}
