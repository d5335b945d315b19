// Package http measures what balancing on the client costs: the processor time of
// a client that sends requests to eight servers, which are in a process of their
// own.
package http

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bufbuild/httplb"
	"github.com/bufbuild/httplb/resolver"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/httpbalancer"
)

const (
	servers  = 8
	workers  = 8
	perBatch = 2000 // requests of one client in its turn
)

// BenchmarkClient lets the clients take turns, in random order. For each it
// reports its processor time for a request, the median of its turns, and the median
// ratio to the plain client's of the same round. Run it with -benchtime 40x or so.
func BenchmarkClient(b *testing.B) {
	hosts := startServers(b)
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2"} {
		clients := newClients(b, hosts, protocol == "HTTP/2")
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			b.Run(fmt.Sprintf("protocol=%s/method=%s", protocol[5:], method), func(b *testing.B) {
				took := make(map[string][]float64)
				for _, c := range clients { // connections
					batch(b, c, method, protocol)
				}
				for b.Loop() {
					turns := rand.Perm(len(clients))
					for _, i := range turns {
						c := clients[i]
						took[c.name] = append(took[c.name], batch(b, c, method, protocol).Seconds()*1e6/perBatch)
					}
				}
				b.ReportMetric(0, "ns/op") // the sum of all says nothing
				for _, c := range clients {
					ratios := make([]float64, len(took[c.name]))
					for i, t := range took[c.name] {
						ratios[i] = t / took["plain"][i]
					}
					b.ReportMetric(median(took[c.name]), c.name+"-us")
					b.ReportMetric(median(ratios), c.name+"-x")
				}
			})
		}
	}
}

// batch sends requests and returns the processor time that took.
func batch(b *testing.B, c client, method, protocol string) time.Duration {
	body := bytes.Repeat([]byte("x"), 1<<10)
	before := processorTime(b)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w; i < perBatch; i += workers {
				key := "user-" + strconv.Itoa(i)
				var out io.Reader
				if method == http.MethodPost {
					out = bytes.NewReader(body)
				}
				req, err := http.NewRequestWithContext(context.Background(), method, c.url(key)+"/item/"+key, out)
				if err != nil {
					b.Error(err)
					return
				}
				req.Header.Set("X-User", key)
				resp, err := c.Do(req)
				if err != nil {
					b.Error(c.name, err)
					return
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if err != nil || n != 1<<10 || resp.Proto[:len(protocol)] != protocol {
					b.Error(c.name, resp.Proto, n, err)
				}
				_ = resp.Body.Close()
			}
		})
	}
	wg.Wait()
	return processorTime(b) - before
}

func processorTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

// A client is an http.Client, and what URL, without a path, it takes for a key.
type client struct {
	name string
	*http.Client
	url func(key string) string
}

func newClients(b *testing.B, hosts []string, http2 bool) []client {
	transport := func() *http.Transport {
		t := &http.Transport{MaxIdleConnsPerHost: 256, IdleConnTimeout: 90 * time.Second}
		if http2 {
			t.Protocols = new(http.Protocols)
			t.Protocols.SetUnencryptedHTTP2(true)
		}
		return t
	}
	backends := make([]maglev.Backend, len(hosts))
	ofOurs := make([]httpbalancer.Backend, len(hosts))
	for i, host := range hosts {
		backends[i] = maglev.Backend{Name: host}
		ofOurs[i] = httpbalancer.Backend{URL: "http://" + host}
	}
	table, err := maglev.New(backends, maglev.Options{})
	require.NoError(b, err)
	ours, err := httpbalancer.New(httpbalancer.Options{
		Backends:  ofOurs,
		Hash:      hashpolicy.List{hashpolicy.Header("X-User")},
		Transport: transport(),
	})
	require.NoError(b, err)
	b.Cleanup(func() { _ = ours.Close() })

	scheme := "http"
	if http2 {
		scheme = "h2c"
	}
	rival := httplb.NewClient(httplb.WithResolver(static(hosts)), httplb.WithDefaultTimeout(time.Minute))
	b.Cleanup(func() { _ = rival.Close() })

	service := func(string) string { return "http://cache.internal" }
	return []client{
		{"plain", &http.Client{Transport: transport()}, func(key string) string {
			return "http://" + table.Backend(table.LookupString(key)).Name
		}},
		{"naive", &http.Client{Transport: &naive{table, transport()}}, service},
		{"maglev", &http.Client{Transport: ours}, service},
		{"httplb", rival.Client, func(string) string { return scheme + "://cache.internal" }},
	}
}

// naive is what fits into a screen: a copy of the request to the key's backend. It
// counts nothing, tries nothing again, checks nobody, and its set never changes.
type naive struct {
	table *maglev.Table
	next  http.RoundTripper
}

func (n *naive) RoundTrip(req *http.Request) (*http.Response, error) {
	host := n.table.Backend(n.table.LookupString(req.Header.Get("X-User"))).Name
	out := new(http.Request)
	*out = *req
	out.URL = new(url.URL)
	*out.URL = *req.URL
	out.URL.Host = host
	if out.Host == "" {
		out.Host = req.URL.Host
	}
	resp, err := n.next.RoundTrip(out)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// static is a resolver of httplb's that always finds the same.
type static []string

func (s static) New(_ context.Context, _, _ string, receiver resolver.Receiver, _ <-chan struct{}) io.Closer {
	all := make([]resolver.Address, len(s))
	for i, host := range s {
		all[i].HostPort = host
	}
	go receiver.OnResolve(all)
	return io.NopCloser(nil)
}
