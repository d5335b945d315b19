package route

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

func replace(t *testing.T, pattern, substitution, text string) string {
	t.Helper()
	re, err := config.CompileRegex(pattern, false)
	assert.NoError(t, err)
	return newSubstitution(&config.RegexRewrite{Regex: re, Substitution: substitution}).in(text)
}

// What Envoy does with a substitution that it cannot read was recorded from it: /abcb?b and the
// pattern b.
func TestSubstitution(t *testing.T) {
	for _, c := range []struct{ pattern, substitution, text, want string }{
		{"e", "X", "/newforreg2_endpoint/tee", "/nXwforrXg2_Xndpoint/tXX"},
		{"^/([^/]+)/(.*)$", `/\2/\1`, "/a/b/c", "/b/c/a"},
		{"b", `k\0`, "/abcb", "/akbckb"},
		{"b", `\\`, "/abcb", `/a\c\`},
		{"b", "$1", "/abcb", "/a$1c$1"},
		{"x*", "-", "/xx/", "-/-/-"}, // empty matches too, but none right after a match
		{"(x)|b", `[\1]`, "/abcb", "/a[]c[]"},
		{"b", `\9`, "/abcb", "/abcb"},   // a group that there is not: nothing is replaced
		{"b", `[\1]`, "/abcb", "/abcb"}, //
		{"b", `[\x]`, "/abcb", "/a[c["}, // no group: it ends there
		{"b", `a\`, "/abcb", "/aaca"},   //
		{"b", `\x\1`, "/abcb", "/abcb"}, // but all of it is looked through for groups
		{"zzz", "X", "/abcb", "/abcb"},
	} {
		assert.Equal(t, c.want, replace(t, c.pattern, c.substitution, c.text), "%s -> %s", c.pattern, c.substitution)
	}
}

func TestOriginalsAreNotTold(t *testing.T) {
	r := forwarding(&config.Forward{PrefixRewrite: new("/new/"), HostRewrite: new("new"), AppendForwardedHost: true, AutoHostRewrite: true})
	ex := &message.Exchange{Request: message.Request{Authority: "old", Path: "/a"}}
	r.RewriteRequest(ex, nil, false)
	assert.Equal(t, message.Request{Authority: "new", Path: "/new/a", Fields: fields("x-forwarded-host", "old")}, ex.Request)
	r.RewriteHost(ex, "", false)
	assert.Equal(t, "new", ex.Request.Authority)
	r.RewriteHost(ex, "ep", false)
	assert.Equal(t, message.Request{Authority: "ep", Path: "/new/a", Fields: fields("x-forwarded-host", "old,new")}, ex.Request)
}

// A path that matches only without its parameters is not one that a prefix can be taken off.
func TestPrefixWithParametersIsNotRewritten(t *testing.T) {
	table := New(&config.RouteConfig{IgnorePathParameters: true, VirtualHosts: []*config.VirtualHost{{Domains: []string{"*"}, Routes: []*config.Route{
		{Match: config.RouteMatch{Prefix: new("/pre/y")}, Forward: &config.Forward{PrefixRewrite: new("/new")}},
	}}}})
	for path, want := range map[string]string{"/pre/y;a/z?q": "/new;a/z?q", "/pre;a/y/z?q": "/pre;a/y/z?q", "/pre;/y": "/pre;/y"} {
		ex := &message.Exchange{Request: message.Request{Path: path}}
		_, r := table.Match(ex, 0)
		r.RewriteRequest(ex, nil, true)
		assert.Equal(t, want, ex.Request.Path)
		assert.Equal(t, path != want, ex.Request.Fields.Has("x-envoy-original-path"))
	}
}

func TestChangesOfAFilter(t *testing.T) {
	changes := ResponseChanges([]config.HeaderMutation{{Name: "x-a", Value: static("1")}, {Name: "via", Value: static("m")}}, []string{"x-b"})
	f := fields("x-b", "0", "via", "v")
	changes.Apply(&f, &message.Exchange{})
	assert.Equal(t, fields("via", "v,m", "x-a", "1"), f)
}

func TestMoreMutationsThanThereIsRoomFor(t *testing.T) {
	var all []config.HeaderMutation
	want := message.Fields{}
	for i := range 40 {
		name := "x-" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		all = append(all, config.HeaderMutation{Name: name, Value: static("v")})
		want.Add(name, "v")
	}
	changes := RequestChanges(all, nil)
	var f message.Fields
	changes.Apply(&f, &message.Exchange{})
	assert.Equal(t, want, f)
}
