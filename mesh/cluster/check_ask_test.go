package cluster

import (
	"bufio"
	"context"
	"net"
	"strings"
	"testing"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ask makes one check of a server that answers with some bytes, to whatever it has read up to an
// empty line. It returns what the server has read.
func ask(t *testing.T, k *config.HealthCheck, e config.Endpoint, answer string) (f finding, request string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	read := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		var b strings.Builder
		for k.HTTP != nil || len(k.TCP.Send) > 0 {
			line, err := r.ReadString('\n')
			b.WriteString(line)
			if err != nil || line == "\r\n" {
				break
			}
		}
		c.Write([]byte(answer))
		read <- b.String()
	}()
	port := l.Addr().(*net.TCPAddr).Port
	if e.HealthCheckPort == 1 {
		e.HealthCheckPort = uint16(port)
		port = 1
	}
	e.Address = config.SocketAddress{Host: "127.0.0.1", Port: uint16(port)}
	c := clusterOf(config.RoundRobin, config.PriorityLevel{Localities: []config.Locality{{Endpoints: []config.Endpoint{e}}}})
	c.HealthChecks = []*config.HealthCheck{k}
	host := open(t, c, Options{}).hosts[0][0]
	f = look(t.Context(), host.check)
	return f, <-read
}

func httpCheck(change func(*config.HTTPCheck)) *config.HealthCheck {
	h := &config.HTTPCheck{Path: "/healthz?a=b"}
	if change != nil {
		change(h)
	}
	return &config.HealthCheck{HTTP: h}
}

func TestHTTPCheckRequest(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
	f, request := ask(t, httpCheck(nil), config.Endpoint{}, ok)
	require.NoError(t, f.err)
	// As recorded from an Envoy.
	assert.Equal(t, "GET /healthz?a=b HTTP/1.1\r\nhost: test\r\nuser-agent: Envoy/HC\r\n\r\n", request)

	value, err := format.Parse("x")
	require.NoError(t, err)
	k := httpCheck(func(h *config.HTTPCheck) {
		h.Host, h.Method = "a.test", "HEAD"
		h.Add = []config.HeaderMutation{{Name: "x-a", Value: value}, {Name: "user-agent", Value: value, Action: config.AddIfAbsent}}
		h.Remove = []string{"user-agent"}
	})
	f, request = ask(t, k, config.Endpoint{}, ok)
	require.NoError(t, f.err)
	assert.Equal(t, "HEAD /healthz?a=b HTTP/1.1\r\nhost: a.test\r\nx-a: x\r\nuser-agent: x\r\n\r\n", request)

	f, request = ask(t, k, config.Endpoint{HealthCheckHostname: "b.test", HealthCheckPort: 1}, ok)
	require.NoError(t, f.err)
	assert.Contains(t, request, "host: b.test\r\n")
}

func TestHTTPCheckAnswer(t *testing.T) {
	ranges := httpCheck(func(h *config.HTTPCheck) {
		h.Expected = []config.Range{{Start: 200, End: 300}, {Start: 404, End: 405}}
		h.Retriable = []config.Range{{Start: 500, End: 600}}
	})
	body := httpCheck(func(h *config.HTTPCheck) { h.Receive = [][]byte{[]byte("all"), []byte("well")} })
	tests := []struct {
		name   string
		check  *config.HealthCheck
		answer string
		want   finding
		err    string
	}{
		{"200", httpCheck(nil), "200 OK\r\ncontent-length: 2\r\n\r\nok", passed, ""},
		{"in chunks", httpCheck(nil), "200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", passed, ""},
		{"until close", httpCheck(nil), "200 OK\r\n\r\nok", passed, ""},
		{"degraded", httpCheck(nil), "200 OK\r\nx-envoy-degraded: false\r\ncontent-length: 0\r\n\r\n", finding{degraded: true}, ""},
		{"100 first", httpCheck(nil), "100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", passed, ""},
		{"204", httpCheck(nil), "204 No Content\r\n\r\n", finding{answered: true}, "status 204 is not expected"},
		{"204 expected", ranges, "204 No Content\r\n\r\n", passed, ""},
		{"404 expected", ranges, "404 Not Found\r\ncontent-length: 0\r\n\r\n", passed, ""},
		{"405", ranges, "405 No\r\ncontent-length: 0\r\n\r\n", finding{answered: true}, "status 405 is not expected"},
		{"503 retriable", ranges, "503 No\r\ncontent-length: 0\r\n\r\n", finding{answered: true, retriable: true}, "status 503 is not expected"},
		{"the body", body, "200 OK\r\ncontent-length: 11\r\n\r\nall is well", passed, ""},
		{"in another order", body, "200 OK\r\ncontent-length: 8\r\n\r\nwell all", finding{answered: true}, "the body is not what is expected"},
		{"cut off", httpCheck(nil), "200 OK\r\ncontent-length: 3\r\n\r\nok", finding{}, "the connection was closed before there was an answer"},
		{"nothing", httpCheck(nil), "", finding{}, "malformed"},
		{"not HTTP", httpCheck(nil), "\r\n\r\n", finding{}, "malformed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, _ := ask(t, test.check, config.Endpoint{}, "HTTP/1.1 "+test.answer)
			if test.err == "" {
				require.NoError(t, got.err)
			} else {
				require.Error(t, got.err)
				if test.err != "malformed" {
					assert.EqualError(t, got.err, test.err)
				}
			}
			got.err = nil
			assert.Equal(t, test.want, got)
		})
	}
}

func TestTCPCheck(t *testing.T) {
	tcp := func(send string, receive ...string) *config.HealthCheck {
		k := &config.TCPCheck{Send: []byte(send)}
		for _, r := range receive {
			k.Receive = append(k.Receive, []byte(r))
		}
		return &config.HealthCheck{TCP: k}
	}
	f, _ := ask(t, tcp(""), config.Endpoint{}, "")
	assert.Equal(t, passed, f, "it is enough to connect")
	f, request := ask(t, tcp("PING\r\n\r\n", "PO", "G"), config.Endpoint{}, "PONG")
	assert.Equal(t, passed, f)
	assert.Equal(t, "PING\r\n\r\n", request)
	f, _ = ask(t, tcp("PING\r\n\r\n", "PONG"), config.Endpoint{}, "PANG")
	assert.Error(t, f.err)
	assert.False(t, f.answered)
}

func TestCheckWithoutAnswer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	e := config.Endpoint{Address: config.SocketAddress{Host: "127.0.0.1", Port: uint16(l.Addr().(*net.TCPAddr).Port)}}
	for _, k := range []*config.HealthCheck{httpCheck(nil), {TCP: &config.TCPCheck{Receive: [][]byte{{'a'}}}}} {
		c := clusterOf(config.RoundRobin, config.PriorityLevel{Localities: []config.Locality{{Endpoints: []config.Endpoint{e}}}})
		c.HealthChecks = []*config.HealthCheck{k}
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan finding)
		host := open(t, c, Options{}).hosts[0][0]
		go func() { result <- look(ctx, host.check) }()
		conn, err := l.Accept()
		require.NoError(t, err)
		cancel()
		f := <-result
		assert.Error(t, f.err)
		assert.False(t, f.answered)
		conn.Close()
	}
}
