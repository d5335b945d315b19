package route

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// forwarding returns the route of a table that forwards everything so.
func forwarding(f *config.Forward) *Route {
	t := New(&config.RouteConfig{VirtualHosts: []*config.VirtualHost{{
		Domains: []string{"*"}, Routes: []*config.Route{{Match: config.RouteMatch{Prefix: new("/")}, Forward: f}},
	}}})
	_, r := t.Match(&message.Exchange{Request: message.Request{Path: "/"}}, 0)
	return r
}

func weights(header string, useHash bool, hash hashpolicy.List) *Route {
	return forwarding(&config.Forward{Hash: hash, Weighted: &config.WeightedClusters{
		Header: header, UseHash: useHash, Total: 100,
		Clusters: []config.WeightedCluster{{Name: "a", Weight: 10}, {Name: "b", Weight: 20}, {Name: "none", Weight: 0}, {Name: "d", Weight: 70}},
	}})
}

func TestWeightedClusters(t *testing.T) {
	r := weights("", false, nil)
	for random, want := range map[uint64]string{0: "a", 9: "a", 10: "b", 29: "b", 30: "d", 99: "d", 100: "a", 1<<64 - 1: "b"} {
		name, w := r.Cluster(&message.Exchange{}, random)
		assert.Equal(t, want, name, random)
		assert.Equal(t, want, w.Config.Name)
	}
}

func TestWeightedClustersByHeader(t *testing.T) {
	r := weights("x-w", false, nil)
	for _, c := range []struct {
		values []string
		want   string
	}{
		{[]string{"5"}, "a"}, {[]string{"105"}, "a"}, {[]string{"+15"}, "b"}, {[]string{"030"}, "d"}, {[]string{"18446744073709551615"}, "b"},
		// What is not one number is of no account: the random number picks.
		{nil, "d"}, {[]string{""}, "d"}, {[]string{"x"}, "d"}, {[]string{"-1"}, "d"}, {[]string{"5.0"}, "d"}, {[]string{"0x5"}, "d"}, {[]string{"1_0"}, "d"},
		{[]string{"++5"}, "d"}, {[]string{"18446744073709551616"}, "d"}, {[]string{"5", "5"}, "d"},
	} {
		ex := &message.Exchange{}
		for _, v := range c.values {
			ex.Request.Fields.Add("x-w", v)
		}
		name, _ := r.Cluster(ex, 50)
		assert.Equal(t, c.want, name, c.values)
	}
}

func TestWeightedClustersByHash(t *testing.T) {
	cookie := hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "c", TTL: time.Second})
	r := weights("", true, hashpolicy.List{hashpolicy.Header("x-h"), cookie})
	for _, value := range []string{"1", "2", "3", "4", "5", "6"} {
		ex := &message.Exchange{Request: message.Request{Fields: fields("x-h", value)}}
		_, ofHash := r.Cluster(ex, 50)
		want, _ := r.Cluster(&message.Exchange{}, maglev.XXHash(value, 0))
		assert.Same(t, ofHash, &r.weighted[map[string]int{"a": 0, "b": 1, "d": 3}[want]], value)
	}
	// A cookie that would be generated decides nothing here.
	ex := &message.Exchange{Downstream: &message.Connection{Remote: message.Address{Text: "192.0.2.1:5"}, Local: message.Address{Text: "192.0.2.2:80"}}}
	for random, want := range map[uint64]string{5: "a", 15: "b", 50: "d"} {
		name, _ := r.Cluster(ex, random)
		assert.Equal(t, want, name)
	}
}

func TestSourceIPIsTheClientsAndACookieTheConnections(t *testing.T) {
	connection := &message.Connection{Remote: message.Address{Text: "192.0.2.1:5"}, Local: message.Address{Text: "192.0.2.2:80"}}
	for _, c := range []struct{ remote, hashed string }{
		{"203.0.113.9:0", "203.0.113.9"},
		{"[2001:db8::1]:443", "2001:db8::1"},
		{"[::ffff:192.0.2.7]:0", "::ffff:192.0.2.7"}, // as x-forwarded-for has it
	} {
		ex := &message.Exchange{Downstream: connection, Remote: message.Address{Text: c.remote}}
		hash, ok, cookies := forwarding(&config.Forward{Hash: hashpolicy.List{config.SourceIP()}}).Hash(ex)
		assert.True(t, ok)
		assert.Empty(t, cookies)
		assert.Equal(t, maglev.XXHash(c.hashed, 0), hash, c.remote)
	}
	ex := &message.Exchange{Downstream: connection, Remote: message.Address{Text: "203.0.113.9:0"}}
	cookie := hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "c", TTL: 9 * time.Second})
	hash, ok, cookies := forwarding(&config.Forward{Hash: hashpolicy.List{cookie}}).Hash(ex)
	assert.True(t, ok)
	value := fmt.Sprintf("%016x", maglev.XXHash("192.0.2.1:5192.0.2.2:80", 0))
	assert.Equal(t, []string{`c="` + value + `"; Max-Age=9; HttpOnly`}, cookies)
	assert.Equal(t, maglev.XXHash(value, 0), hash)

	ex = &message.Exchange{Remote: message.Address{Text: "/run/proxy.sock"}}
	_, ok, _ = forwarding(&config.Forward{Hash: hashpolicy.List{config.SourceIP()}}).Hash(ex)
	assert.False(t, ok)
	_, ok, _ = forwarding(&config.Forward{}).Hash(ex)
	assert.False(t, ok)
}

func TestHashSeesTheRequestAsItIsSent(t *testing.T) {
	r := forwarding(&config.Forward{PrefixRewrite: new("/new/"), HostRewrite: new("host.test"), Hash: hashpolicy.List{
		hashpolicy.Header(":path"), hashpolicy.Header("host"), hashpolicy.QueryParameter("q"), hashpolicy.Cookie("c"), hashpolicy.Header(":method"),
	}})
	want := forwarding(&config.Forward{Hash: hashpolicy.List{
		hashpolicy.Header("1"), hashpolicy.Header("2"), hashpolicy.Header("3"), hashpolicy.Header("4"), hashpolicy.Header("5"),
	}})
	ex := &message.Exchange{Request: message.Request{Method: "GET", Authority: "old", Path: "/a?q=v&q=w", Fields: fields("cookie", "a=1", "cookie", "c=2")}}
	r.RewriteRequest(ex, nil, true)
	got, ok, _ := r.Hash(ex)
	assert.True(t, ok)
	parts := &message.Exchange{Request: message.Request{Fields: fields("1", "/new/a?q=v&q=w", "2", "host.test", "3", "v", "4", "2", "5", "GET")}}
	hash, _, _ := want.Hash(parts)
	assert.Equal(t, hash, got)
}
