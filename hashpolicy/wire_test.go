package hashpolicy_test

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/stretchr/testify/require"
)

// A wire is a request as it stands on the wire of HTTP/1, and a Request of a kind
// that has no maps.
type wire struct {
	target        string
	host          string
	fields        []field
	remote, local string
}

type field struct{ name, value string }

func get(target string, fields ...field) *wire {
	return &wire{target: target, host: "example.test", fields: fields}
}

func (w *wire) Header(name hashpolicy.Name, i int) (value string, count int) {
	switch name.Lower() {
	case ":authority":
		return w.host, 1
	case ":method":
		return "GET", 1
	case ":scheme":
		return "http", 1
	}
	for _, f := range w.fields {
		if strings.EqualFold(f.name, name.Lower()) {
			if count == i {
				value = f.value
			}
			count++
		}
	}
	return value, count
}

func (w *wire) Target() (path, query string, hasQuery bool) { return strings.Cut(w.target, "?") }
func (w *wire) Remote() string                              { return w.remote }
func (w *wire) Local() string                               { return w.local }

func (w *wire) String() string {
	var b strings.Builder
	b.WriteString("GET " + w.target + " HTTP/1.1\r\nhost: " + w.host + "\r\n")
	for _, f := range w.fields {
		b.WriteString(f.name + ": " + f.value + "\r\n")
	}
	b.WriteString("\r\n")
	return b.String()
}

// http returns the request as a server of net/http has it.
func (w *wire) http(t *testing.T) *http.Request {
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(w.String())))
	require.NoError(t, err, "%s", w)
	req.RemoteAddr = w.remote
	if w.local == "" {
		return req
	}
	local, err := net.ResolveTCPAddr("tcp", w.local)
	require.NoError(t, err)
	return req.WithContext(context.WithValue(req.Context(), http.LocalAddrContextKey, net.Addr(local)))
}
