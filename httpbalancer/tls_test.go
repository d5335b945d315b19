package httpbalancer_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/httpbalancer"
)

// serveTLS starts an https server, whose certificate is of example.com and
// 127.0.0.1, and which answers with the SNI it has seen and the protocol.
func serveTLS(t *testing.T, http2 bool) (*server, *tls.Config) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.ServerName+" "+r.Proto)
	}), func(s *httptest.Server) {
		s.EnableHTTP2, s.TLS = http2, new(tls.Config)
	})
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, &tls.Config{RootCAs: roots}
}

func TestServerNameOfBackendsByAddress(t *testing.T) {
	s, config := serveTLS(t, false)
	withName := config.Clone()
	withName.ServerName = "pattern.example.com"
	for _, c := range []struct {
		name, option, backend string
		config                *tls.Config
		want                  string // SNI; an address is none (RFC 6066, section 3)
		fails                 bool
	}{
		{"none", "", "", config, "", false},
		{"of the options", "example.com", "", config, "example.com", false},
		{"of the backend", "other.invalid", "example.com", config, "example.com", false},
		{"of the pattern", "", "", withName, "pattern.example.com", false},
		{"of the options over the pattern", "example.com", "", withName, "example.com", false},
		{"that the certificate does not have", "", "other.invalid", config, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			pattern := &http.Transport{TLSClientConfig: c.config}
			b := newTransport(t, httpbalancer.Options{
				Backends:   []httpbalancer.Backend{{URL: s.URL, ServerName: c.backend}},
				ServerName: c.option,
				Transport:  pattern,
			})
			resp, err := b.RoundTrip(request(t, "GET", "key", nil))
			if c.fails {
				require.ErrorAs(t, err, new(*tls.CertificateVerificationError))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want+" HTTP/1.1", read(t, resp))
			require.NotEqual(t, "service.example", resp.TLS.ServerName)
			if c.config == config {
				require.Empty(t, config.ServerName) // the caller's is not changed
			}
		})
	}
}

// Clones of one pattern must not share the name.
func TestServerNamesOfBackendsDoNotMix(t *testing.T) {
	s, config := serveTLS(t, false)
	other, _ := serveTLS(t, false)
	config.RootCAs.AddCert(other.Certificate())
	b := newTransport(t, httpbalancer.Options{
		Backends:  []httpbalancer.Backend{{URL: s.URL, ServerName: "example.com"}, {URL: other.URL, ServerName: "www.example.com"}},
		Transport: &http.Transport{TLSClientConfig: config},
	})
	want := map[string]string{s.name: "example.com", other.name: "www.example.com"}
	seen := make(map[string]bool)
	for i := range 20 {
		resp, err := b.RoundTrip(request(t, "GET", strconv.Itoa(i), nil))
		require.NoError(t, err)
		backend := resp.Header.Get("X-Backend")
		require.Equal(t, want[backend]+" HTTP/1.1", read(t, resp))
		seen[backend] = true
	}
	require.Len(t, seen, 2)
}

// HTTP/2 is tried when a plain http.Transport of the same pattern would.
func TestHTTP2IsTriedAsThePatternWould(t *testing.T) {
	s, config := serveTLS(t, true)
	for _, c := range []struct {
		name    string
		pattern *http.Transport
		insert  bool // the roots go into the pattern's config after New, as a plain one has none
		want    string
	}{
		{"default", nil, true, "HTTP/2.0"},
		{"zero", &http.Transport{}, true, "HTTP/2.0"},
		{"config", &http.Transport{TLSClientConfig: config}, false, "HTTP/1.1"},
		{"forced", &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}, false, "HTTP/2.0"},
		{"disabled", &http.Transport{TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}, true, "HTTP/1.1"},
		{"own dialer", &http.Transport{DialContext: new(net.Dialer).DialContext}, true, "HTTP/1.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := httpbalancer.Options{Backends: backendsOf(s), ServerName: "example.com", Transport: c.pattern}
			if c.insert {
				opts.Wrap = func(_ httpbalancer.Backend, next http.RoundTripper) http.RoundTripper {
					clone := next.(*http.Transport)
					if clone.TLSClientConfig == nil {
						clone.TLSClientConfig = new(tls.Config)
					}
					clone.TLSClientConfig.RootCAs = config.RootCAs
					return next
				}
			}
			b := newTransport(t, opts)
			for range 3 {
				resp, err := b.RoundTrip(request(t, "GET", "key", nil))
				require.NoError(t, err)
				require.Equal(t, "example.com "+c.want, read(t, resp))
			}
			_, opened := s.conns()
			require.LessOrEqual(t, opened, 6)
		})
	}
}

func TestH2CByThePatternsProtocols(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }), h2c)
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s), Transport: onlyH2C()})
	resp, err := b.RoundTrip(request(t, "GET", "key", nil))
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0", read(t, resp))
}

// What fails before a request can have been sent is retried even if the request is
// a POST without GetBody: its body has not been read.
func TestPOSTIsRetriedWhenTheHandshakeFails(t *testing.T) {
	s, config := serveTLS(t, false)
	listen := func(handle func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go handle(c)
			}
		}()
		return l.Addr().String()
	}
	plain := serve(t, http.HandlerFunc(ok))
	other, _ := serveTLS(t, false) // it is given a name that its certificate does not have
	for name, broken := range map[string]string{
		"refused":     refusing(t),
		"closed":      listen(func(c net.Conn) { _ = c.Close() }),
		"reset":       listen(func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }),
		"hangs":       listen(func(c net.Conn) { _, _ = io.Copy(io.Discard, c); _ = c.Close() }),
		"no TLS":      plain.name,
		"certificate": other.name,
	} {
		t.Run(name, func(t *testing.T) {
			key := keyOf(t, broken, s.name)
			backends := append(backendsOf(s), httpbalancer.Backend{URL: "https://" + broken})
			if name == "certificate" {
				backends[1].ServerName = "other.invalid"
			}
			b := newTransport(t, httpbalancer.Options{
				Backends:  backends,
				Transport: &http.Transport{TLSClientConfig: config, TLSHandshakeTimeout: 100 * time.Millisecond},
			})
			out := &body{Reader: strings.NewReader("hello")}
			resp, err := b.RoundTrip(request(t, "POST", key, out))
			require.NoError(t, err)
			require.Equal(t, s.name, resp.Header.Get("X-Backend"))
			read(t, resp)
			require.EqualValues(t, 1, b.Stats().Retries)
			require.Equal(t, 1, out.closes())
		})
	}
}

// The pattern's dialers are used, and their errors are connect errors too.
func TestDialersOfThePattern(t *testing.T) {
	s, config := serveTLS(t, false)
	plain := serve(t, http.HandlerFunc(ok))
	dialed := make(chan string, 10)
	for name, pattern := range map[string]*http.Transport{
		"DialContext": {DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialed <- addr
			return new(net.Dialer).DialContext(ctx, network, addr)
		}},
		"Dial": {Dial: func(network, addr string) (net.Conn, error) { //nolint:staticcheck // it is supported
			dialed <- addr
			return net.Dial(network, addr)
		}},
		"DialTLSContext": {DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialed <- addr
			return (&tls.Dialer{Config: config}).DialContext(ctx, network, addr)
		}},
		"DialTLS": {DialTLS: func(network, addr string) (net.Conn, error) { //nolint:staticcheck // it is supported
			dialed <- addr
			return tls.Dial(network, addr, config)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			target, scheme := plain, "http://"
			if strings.HasPrefix(name, "DialTLS") {
				target, scheme = s, "https://"
			}
			dead := refusing(t)
			b := newTransport(t, httpbalancer.Options{
				Backends:  append(backendsOf(target), httpbalancer.Backend{URL: scheme + dead}),
				Transport: pattern,
			})
			resp, err := b.RoundTrip(request(t, "POST", keyOf(t, dead, target.name), &body{Reader: strings.NewReader("hello")}))
			require.NoError(t, err)
			read(t, resp)
			require.Equal(t, dead, <-dialed)
			require.Equal(t, target.name, <-dialed)
		})
	}
}
