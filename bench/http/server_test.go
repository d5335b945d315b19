package http

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// serve is set in the environment of the process that is to be the servers.
const serve = "MAGLEV_BENCH_SERVE"

func TestMain(m *testing.M) {
	if os.Getenv(serve) != "" {
		if err := beServers(os.Stdout, os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beServers serves until the input ends, which it does with the process that has
// started this one. It writes the addresses, a line each.
func beServers(out io.Writer, in io.Reader) error {
	answer := bytes.Repeat([]byte("y"), 1<<10)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = w.Write(answer)
		}),
		Protocols: new(http.Protocols),
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	for range servers {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		go func() { _ = server.Serve(listener) }()
		fmt.Fprintln(out, listener.Addr())
	}
	_, err := io.Copy(io.Discard, in)
	return err
}

// startServers starts this program once more, as the servers, and returns their
// addresses.
func startServers(b *testing.B) []string {
	self, err := os.Executable()
	require.NoError(b, err)
	cmd := exec.CommandContext(b.Context(), self)
	cmd.Env = append(os.Environ(), serve+"=1")
	cmd.Stderr = os.Stderr
	_, err = cmd.StdinPipe()
	require.NoError(b, err)
	out, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	hosts := make([]string, 0, servers)
	for lines := bufio.NewReader(out); len(hosts) < servers; {
		line, err := lines.ReadString('\n')
		require.NoError(b, err)
		hosts = append(hosts, strings.TrimSpace(line))
	}
	return hosts
}
