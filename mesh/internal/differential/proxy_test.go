package differential

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"sync"
	"time"
)

// A proxy is what is tested: a program that runs with a configuration.
type proxy interface {
	// start starts it and returns once its listeners serve.
	start(s *setup) error
	stop()
}

// A program is a proxy that is a process. The admin interface says when it is ready.
type program struct {
	binary    string
	arguments []string

	cancel context.CancelFunc
	ended  chan struct{}
	log    lockedBuffer
}

// envoyProgram is the real Envoy.
func envoyProgram(binary string) *program {
	return &program{binary: binary, arguments: []string{
		"--concurrency", "1", "--disable-hot-restart", "--file-flush-interval-msec", "10", "--log-level", "warn",
	}}
}

// meshproxyProgram is ours.
func meshproxyProgram(binary string) *program { return &program{binary: binary} }

func (p *program) start(s *setup) error {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.ended = cancel, make(chan struct{})
	cmd := exec.CommandContext(ctx, p.binary, append([]string{"-c", s.bootstrap}, p.arguments...)...)
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	if err := cmd.Start(); err != nil {
		cancel()
		return err
	}
	go func() {
		defer close(p.ended)
		_ = cmd.Wait()
	}()
	url := fmt.Sprintf("http://127.0.0.1:%d/ready", s.ports["admin"])
	for deadline := time.Now().Add(30 * time.Second); ; {
		if ready(ctx, url) {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended: %s", p.binary, p.log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			p.stop()
			return fmt.Errorf("%s was not ready in time: %s", p.binary, p.log.String())
		}
	}
}

func ready(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	req.Close = true
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func (p *program) stop() {
	p.cancel()
	<-p.ended
}

// A lockedBuffer is what a program prints.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// freePort returns a port that was free a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
