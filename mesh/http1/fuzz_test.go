package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A request that is taken is one to net/http too, and the same one. It may come in two
// pieces.
func FuzzRequest(f *testing.F) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /a?b HTTP/1.1\r\nHost: a:80\r\nX: y\r\nContent-Length: 3\r\n\r\nabc",
		"PUT http://b/ HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
		"\r\nOPTIONS * HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"CONNECT a:80 HTTP/1.1\r\nHost: b\r\n\r\n",
	} {
		f.Add([]byte(text), uint16(7))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint16) {
		text := bytes.Clone(b)
		var p http1.Parser
		var r message.Request
		n, head, err := new(http1.Parser).Request(b, &r)
		if first := bytes.Clone(text); int(cut) < len(text) {
			var again message.Request
			m, _, errAgain := p.Request(first[:cut], &again)
			if m == 0 && errAgain == nil {
				m, _, errAgain = p.Request(first, &again)
			}
			require.Equal(t, n, m)
			require.Equal(t, err, errAgain)
			if n > 0 {
				require.Equal(t, r, again)
			}
		}
		if n == 0 || err != nil {
			return
		}
		want, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(bytes.TrimLeft(text, "\r\n"))))
		if e := new(url.Error); errors.As(err, &e) {
			return // it wants percent signs to be right
		}
		require.NoError(t, err)
		require.Equal(t, want.Method, r.Method)
		require.Equal(t, want.ProtoMinor, head.Minor)
		if !r.Fields.Has("proxy-connection") { // which it does not look at
			require.Equal(t, want.Close, head.Close)
		}
		if r.Method != "CONNECT" {
			require.True(t, strings.HasSuffix("/"+want.RequestURI, r.Path), "%q of %q", r.Path, want.RequestURI)
		}
		require.Equal(t, want.Host, r.Authority)
		switch head.Body {
		case http1.InChunks:
			require.Equal(t, []string{"chunked"}, want.TransferEncoding)
		default:
			require.Empty(t, want.TransferEncoding)
			require.Equal(t, want.ContentLength, int64(head.Body))
		}
		fields := make(http.Header)
		for _, f := range r.Fields {
			if f.Name != "transfer-encoding" {
				fields[textproto.CanonicalMIMEHeaderKey(f.Name)] = append(fields[textproto.CanonicalMIMEHeaderKey(f.Name)], f.Value)
			}
		}
		require.Equal(t, want.Header, fields)
	})
}
