package route

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

// tableOf makes a table of virtual hosts with these domains, each of one name, and one route for
// all paths.
func tableOf(change func(*config.RouteConfig), domains ...string) *Table {
	rc := &config.RouteConfig{}
	for _, domain := range domains {
		rc.VirtualHosts = append(rc.VirtualHosts, &config.VirtualHost{
			Name: domain, Domains: strings.Fields(domain),
			Routes: []*config.Route{{Match: config.RouteMatch{Prefix: new("/")}, Forward: &config.Forward{Cluster: "c"}}},
		})
	}
	if change != nil {
		change(rc)
	}
	return New(rc)
}

func hostOf(t *Table, authority string) string {
	h, _ := t.Match(&message.Exchange{Request: message.Request{Method: "GET", Scheme: "http", Authority: authority, Path: "/"}}, 0)
	if h == nil {
		return "none"
	}
	return h.Config.Name
}

func TestDomains(t *testing.T) {
	table := tableOf(nil, "www.foo.com", "*.foo.com", "*-bar.baz.com", "*.baz.com", "foo.* bar.*", "foo.ba.*", "host:8080", "[::1]", "*:99")
	for _, c := range []struct{ authority, want string }{
		{"www.foo.com", "www.foo.com"},
		{"WWW.Foo.Com", "www.foo.com"}, // case does not matter
		{"a.foo.com", "*.foo.com"},
		{"a.b.foo.com", "*.foo.com"},
		{".foo.com", "none"},       // a wildcard is never empty
		{"foo.com", "foo.* bar.*"}, // and has to have the dot
		{"foo-bar.baz.com", "*-bar.baz.com"},
		{"-bar.baz.com", "*.baz.com"}, // the longest is empty here
		{"bar.org", "foo.* bar.*"},
		{"foo.ba.z", "foo.ba.*"},
		{"foo.", "none"},
		{"foo.baz.com", "*.baz.com"}, // suffixes come before prefixes
		{"host:8080", "host:8080"},
		{"host", "none"}, // the port belongs to the host
		{"a.foo.com:80", "none"},
		{"[::1]", "[::1]"},
		{"[::1]:80", "none"},
		{"x:99", "*:99"},
		{"", "none"},
		{"other", "none"},
	} {
		assert.Equal(t, c.want, hostOf(table, c.authority), c.authority)
	}
}

func TestDefaultDomain(t *testing.T) {
	table := tableOf(nil, "*", "a.test", "*.test", "a.*")
	assert.Equal(t, "*", hostOf(table, ""))
	assert.Equal(t, "*", hostOf(table, "other"))
	assert.Equal(t, "a.test", hostOf(table, "a.test"))
	assert.Equal(t, "*.test", hostOf(table, "b.test"))
	assert.Equal(t, "a.*", hostOf(table, "a.b"))
}

func TestIgnorePort(t *testing.T) {
	table := tableOf(func(rc *config.RouteConfig) { rc.IgnorePort = true }, "a.test", "*.b.test", "c:80", "[::1]")
	for _, c := range []struct{ authority, want string }{
		{"a.test:1234", "a.test"},
		{"a.test:", "a.test"},
		{"x.b.test:80", "*.b.test"},
		{"c:80", "none"}, // a domain with a port can never match
		{"[::1]:80", "[::1]"},
		{"[::1]", "[::1]"},
	} {
		assert.Equal(t, c.want, hostOf(table, c.authority), c.authority)
	}
}

func TestManyWildcardsOfOneLength(t *testing.T) {
	var domains []string
	for _, a := range "abcdefghijklmnopqrstuvwxyz" {
		for _, b := range "abcdefghij" {
			domains = append(domains, "*."+string(a)+string(b)+".test", string(a)+string(b)+".*")
		}
	}
	table := tableOf(nil, domains...)
	for _, domain := range domains {
		assert.Equal(t, domain, hostOf(table, strings.Replace(domain, "*", "x", 1)))
	}
}
