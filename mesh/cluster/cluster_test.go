package cluster

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/require"
)

// defaults returns a cluster with the defaults that package config gives it.
func defaults() *config.Cluster {
	b := config.Breakers{Connections: 1024, Pending: 1024, Requests: 1024, Retries: 3}
	return &config.Cluster{
		Name: "test", Policy: config.MaglevPolicy, Maglev: config.Maglev{TableSize: 65537},
		LeastRequestChoices: 2, ConnectTimeout: 5 * time.Second, Overprovisioning: 140, PanicThreshold: 50,
		Breakers: [2]config.Breakers{b, b},
		DNS:      config.DNS{Refresh: 5 * time.Second},
	}
}

// endpoints reads endpoints such as "10.0.0.1:80", with what is special about them behind it:
// "w=3", "unhealthy", "draining", "degraded", "key=x", "canary", "unchecked".
func endpoints(texts ...string) []config.Endpoint {
	all := make([]config.Endpoint, len(texts))
	for i, text := range texts {
		words := strings.Fields(text)
		colon := strings.LastIndex(words[0], ":")
		port, err := strconv.ParseUint(words[0][colon+1:], 10, 16)
		if err != nil {
			panic(err)
		}
		e := config.Endpoint{Weight: 1, Address: config.SocketAddress{Host: strings.Trim(words[0][:colon], "[]"), Port: uint16(port)}}
		for _, word := range words[1:] {
			name, value, _ := strings.Cut(word, "=")
			switch name {
			case "w":
				w, _ := strconv.ParseUint(value, 10, 32)
				e.Weight = uint32(w)
			case "key":
				e.HashKey = value
			case "unhealthy":
				e.Health = config.Unhealthy
			case "draining":
				e.Health = config.Draining
			case "degraded":
				e.Health = config.Degraded
			case "canary":
				e.Canary = true
			case "unchecked":
				e.NoActiveCheck = true
			default:
				panic(text)
			}
		}
		all[i] = e
	}
	return all
}

// priority returns a priority of one locality.
func priority(texts ...string) config.PriorityLevel {
	return config.PriorityLevel{Localities: []config.Locality{{Endpoints: endpoints(texts...)}}}
}

// many returns the addresses of n hosts, each with what is behind it.
func many(n int, rest string) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("10.0.%d.%d:80 %s", i/250, i%250+1, rest)
	}
	return texts
}

// open returns the one cluster of a Set, which is closed at the end of the test.
func open(t testing.TB, c *config.Cluster, opts Options) *Cluster {
	s, err := New([]*config.Cluster{c}, opts)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s.All()[0]
}

// picks returns how often each host is picked in n picks, which take all hashes and random numbers alike.
func picks(c *Cluster, n int) map[string]int {
	counts := make(map[string]int)
	for i := range n {
		random := mix(uint64(i))
		text := "none"
		if h := c.Pick(&Need{Hash: random, HasHash: true, Random: random}); h != nil {
			text = h.Address().Text
		}
		counts[text]++
	}
	return counts
}

// A pool that knows whether it was closed.
type testPool struct {
	host   *Host
	closed bool
}

func (p *testPool) Close() error {
	p.closed = true
	return nil
}

func withPools() Options {
	return Options{NewPool: func(_ *Cluster, h *Host) io.Closer { return &testPool{host: h} }}
}
