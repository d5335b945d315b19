package envoy

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// A Proxy is an Envoy that runs, for tests that send requests through it.
type Proxy struct {
	dir    string
	admin  string // host:port
	cancel context.CancelFunc
	cmd    *exec.Cmd
	read   sync.WaitGroup // of its log

	mu     sync.Mutex
	recent []string // the last lines of its log
}

// Start starts an Envoy with a bootstrap, which is written in JSON, and returns
// once its listeners take connections. Listeners should have port 0: [Proxy.Listeners]
// says which one each got. The bootstrap's "admin" is set here.
//
// The Envoy runs until Close, or until ctx is done.
func Start(ctx context.Context, binary string, bootstrap map[string]any) (*Proxy, error) {
	dir, err := os.MkdirTemp("", "maglev-envoy-")
	if err != nil {
		return nil, fmt.Errorf("envoy: no directory for the configuration: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &Proxy{dir: dir, cancel: cancel}
	if err := p.start(ctx, binary, bootstrap); err != nil {
		return nil, errors.Join(fmt.Errorf("envoy: %w; the end of its log:\n%s", err, p.tail()), p.Close())
	}
	return p, nil
}

func (p *Proxy) start(ctx context.Context, binary string, bootstrap map[string]any) error {
	config := object{"admin": object{"address": socketAddress("127.0.0.1")}}
	for field, value := range bootstrap {
		if _, ok := config[field]; ok {
			return fmt.Errorf("the bootstrap has %q, which Start sets", field)
		}
		config[field] = value
	}
	text, err := json.Marshal(config)
	if err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	file, address := filepath.Join(p.dir, "envoy.json"), filepath.Join(p.dir, "admin")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return fmt.Errorf("writing the configuration: %w", err)
	}
	p.cmd = exec.CommandContext(ctx, binary, "-c", file, "--admin-address-path", address,
		"--concurrency", "1", "--disable-hot-restart", "--log-format", "%v")
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		p.cmd = nil
		return fmt.Errorf("starting %s: %w", binary, err)
	}
	up, ended := make(chan struct{}), make(chan struct{})
	p.read.Go(func() {
		defer close(ended)
		p.readLog(log, up)
	})
	// The log may outlive the process if that is a script around Envoy.
	context.AfterFunc(ctx, func() { log.Close() })
	limit, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case <-up:
	case <-ended:
		return errors.New("it ended before it was up")
	case <-limit.Done():
		return fmt.Errorf("it was not up in time: %w", limit.Err())
	}
	admin, err := os.ReadFile(address)
	if err != nil {
		return fmt.Errorf("the address of its admin interface: %w", err)
	}
	p.admin = strings.TrimSpace(string(admin))
	return nil
}

// readLog reads until the log ends, for Envoy would stop if nobody did. It closes
// up at the line that says that the listeners are open.
func (p *Proxy) readLog(log io.Reader, up chan<- struct{}) {
	lines := bufio.NewReaderSize(log, 1<<16)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\n")
		p.mu.Lock()
		p.recent = append(p.recent, line)
		if len(p.recent) > 20 {
			p.recent = p.recent[1:]
		}
		p.mu.Unlock()
		if up != nil && line == "all dependencies initialized. starting workers" {
			close(up)
			up = nil
		}
	}
}

func (p *Proxy) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := make([]string, len(p.recent))
	for i, line := range p.recent {
		text[i] = "\t" + line[:min(len(line), 300)]
	}
	return strings.Join(text, "\n")
}

// Listeners returns the address, host:port, of each listener by its name.
func (p *Proxy) Listeners(ctx context.Context) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+"/listeners?format=json", nil)
	if err != nil {
		return nil, fmt.Errorf("envoy: asking for the listeners: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("envoy: asking for the listeners: %w", err)
	}
	defer resp.Body.Close()
	var answer struct {
		Statuses []struct {
			Name    string `json:"name"`
			Address struct {
				Socket struct {
					Address string `json:"address"`
					Port    int    `json:"port_value"`
				} `json:"socket_address"`
			} `json:"local_address"`
		} `json:"listener_statuses"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("envoy: the list of listeners: %w", err)
	}
	addresses := make(map[string]string)
	for _, l := range answer.Statuses {
		host := l.Address.Socket.Address
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		addresses[l.Name] = fmt.Sprintf("%s:%d", host, l.Address.Socket.Port)
	}
	return addresses, nil
}

// Close stops the Envoy and waits until it is gone.
func (p *Proxy) Close() error {
	p.cancel()
	if p.cmd != nil {
		p.read.Wait()
		_ = p.cmd.Wait() // killed, which is no failure
		p.cmd = nil
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("envoy: removing its configuration: %w", err)
	}
	return nil
}

// socketAddress is an address with a port of the system's choice.
func socketAddress(host string) object {
	return object{"socket_address": object{"address": host, "port_value": 0}}
}
