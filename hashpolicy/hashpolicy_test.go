package hashpolicy_test

import (
	"math/bits"
	"slices"
	"testing"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/stretchr/testify/require"
)

func text(s string) uint64 { return maglev.XXHash(s, 0) }

// chain hashes values one after another, in this order.
func chain(values ...string) (hash uint64) {
	for _, value := range values {
		hash = maglev.XXHash(value, hash)
	}
	return hash
}

const foo = 3728699739546630719 // XXH64("foo"), from Envoy's tests

func requireHash(t *testing.T, want uint64, list hashpolicy.List, w *wire) {
	t.Helper()
	require.NoError(t, list.Validate())
	hash, ok, _ := hashes(t, list, w)
	require.True(t, ok, "a hash")
	require.Equal(t, want, hash)
}

func requireNone(t *testing.T, list hashpolicy.List, w *wire) {
	t.Helper()
	require.NoError(t, list.Validate())
	hash, ok, cookies := hashes(t, list, w)
	require.False(t, ok, "a hash")
	require.Zero(t, hash)
	require.Empty(t, cookies)
}

func TestKnownAnswers(t *testing.T) {
	requireHash(t, foo, hashpolicy.List{user}, get("/", field{"x-user", "foo"}))

	// In the order given, foo and bar are the known 17745830980996999794. But
	// Envoy sorts the values of a header first, so that this is not the hash of
	// a request with the two.
	require.EqualValues(t, uint64(17745830980996999794), chain("foo", "bar"))
	for _, values := range [][2]string{{"foo", "bar"}, {"bar", "foo"}} {
		requireHash(t, 6648465492906218751, hashpolicy.List{user}, get("/", field{"x-user", values[0]}, field{"x-user", values[1]}))
	}
	require.EqualValues(t, uint64(6648465492906218751), chain("bar", "foo"))
}

// The figures of the package comment.
func TestWorkedExample(t *testing.T) {
	list := hashpolicy.List{user.Terminal(), hashpolicy.Cookie("session"), hashpolicy.SourceIP()}
	ask := func(fields ...field) *wire {
		w := get("/", fields...)
		w.remote = "192.0.2.7:53124"
		return w
	}
	const ip = 15595747053989467983
	requireHash(t, foo, list, ask(field{"x-user", "foo"}, field{"cookie", "session=bar"}))
	requireHash(t, 13767847110184166193, list, ask(field{"cookie", "session=foo"}))
	require.EqualValues(t, uint64(13767847110184166193), bits.RotateLeft64(foo, 1)^ip)
	requireHash(t, ip, list, ask())
}

func TestListCombines(t *testing.T) {
	w := get("/", field{"a", "1"}, field{"b", "2"}, field{"c", "3"})
	a, b, c, absent := hashpolicy.Header("a"), hashpolicy.Header("b"), hashpolicy.Header("c"), hashpolicy.Header("absent")
	left := func(h uint64) uint64 { return bits.RotateLeft64(h, 1) }
	for _, test := range []struct {
		name string
		list hashpolicy.List
		want uint64
	}{
		{"one", hashpolicy.List{a}, text("1")},
		{"in order", hashpolicy.List{a, b, c}, left(left(text("1"))^text("2")) ^ text("3")},
		{"the same twice", hashpolicy.List{a, a}, left(text("1")) ^ text("1")},
		{"absent ones do not rotate", hashpolicy.List{absent, a, absent, b, absent}, left(text("1")) ^ text("2")},
		{"terminal ends", hashpolicy.List{a.Terminal(), b}, text("1")},
		{"terminal without a hash does not", hashpolicy.List{absent.Terminal(), b}, text("2")},
		{"terminal without a hash does after another's", hashpolicy.List{a, absent.Terminal(), b}, text("1")},
	} {
		t.Run(test.name, func(t *testing.T) { requireHash(t, test.want, test.list, w) })
	}
	requireNone(t, nil, w)
	requireNone(t, hashpolicy.List{absent, absent.Terminal()}, w)
}

// Terminal is of the copy.
func TestTerminalLeavesThePolicyAlone(t *testing.T) {
	a := hashpolicy.Header("a")
	_ = a.Terminal()
	requireHash(t, bits.RotateLeft64(text("1"), 1)^text("2"), hashpolicy.List{a, hashpolicy.Header("b")}, get("/", field{"a", "1"}, field{"b", "2"}))
}

// A policy can give 0, which is a hash.
func TestNoHashIsNotZero(t *testing.T) {
	zero := hashpolicy.Func(func(hashpolicy.Request) (uint64, bool) { return 0, true })
	none := hashpolicy.Func(func(hashpolicy.Request) (uint64, bool) { return 42, false })
	requireHash(t, 0, hashpolicy.List{none, zero.Terminal(), user}, get("/", field{"x-user", "foo"}))
	requireNone(t, hashpolicy.List{none}, get("/"))
}

func TestHeaderValues(t *testing.T) {
	for _, test := range []struct {
		name   string
		values []string
		want   uint64
	}{
		{"one", []string{"v"}, text("v")},
		{"empty", []string{""}, text("")},
		{"one of two empty", []string{"v", ""}, chain("", "v")},
		{"sorted by bytes", []string{"a", "B", "é", "10", "9"}, chain("10", "9", "B", "a", "é")},
		{"equal ones count", []string{"v", "v"}, chain("v", "v")},
		{"more than fit on the stack", []string{"9", "8", "7", "6", "5", "4", "3", "2", "1", "0"}, chain("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := get("/")
			for _, value := range test.values {
				w.fields = append(w.fields, field{"x-User", value}, field{"other", "o"})
			}
			kept := slices.Clone(w.fields)
			requireHash(t, test.want, hashpolicy.List{hashpolicy.Header("X-user")}, w)
			require.Equal(t, kept, w.fields, "the caller's values are as they were")
		})
	}
	requireNone(t, hashpolicy.List{user}, get("/", field{"x-users", "v"}))
}

// Sorting an http.Header in place would change the request.
func TestHeaderLeavesTheRequestAlone(t *testing.T) {
	w := get("/", field{"x-user", "b"}, field{"x-user", "a"})
	req := w.http(t)
	_, ok := hashpolicy.List{user, hashpolicy.HeaderRewrite("x-user", "a", "c")}.Hash(hashpolicy.HTTP(req))
	require.True(t, ok)
	require.Equal(t, []string{"b", "a"}, req.Header["X-User"])
}

func TestHeaderLinesThatEnvoyJoins(t *testing.T) {
	w := get("/", field{"accept", "text/html"}, field{"Accept", ""}, field{"Accept", "a"}, field{"accept", ""})
	requireHash(t, text("text/html,a"), hashpolicy.List{hashpolicy.Header("Accept")}, w)
	requireHash(t, text("text/html-a"), hashpolicy.List{hashpolicy.HeaderRewrite("Accept", ",", "-")}, w)
	requireHash(t, text("text/html"), hashpolicy.List{hashpolicy.Header("Accept")}, get("/", field{"accept", "text/html"}))
	requireHash(t, text("a"), hashpolicy.List{hashpolicy.Header("Accept")}, get("/", field{"accept", ""}, field{"accept", "a"}))
	requireHash(t, text(""), hashpolicy.List{hashpolicy.Header("Accept")}, get("/", field{"accept", ""}, field{"accept", ""}))
}

func TestHeaderRewrite(t *testing.T) {
	for _, test := range []struct{ name, pattern, substitution, value, want string }{
		{"all matches", "a", "b", "banana", "bbnbnb"},
		{"no match", "x", "b", "banana", "banana"},
		{"to nothing", ".*", "", "banana", ""},
		{"groups", `(\w+)@(\w+)`, `\2:\1`, "user@host", "host:user"},
		{"the match", `n`, `[\0]`, "banana", "ba[n]a[n]a"},
		{"a group that has not matched", `a(x)?`, `\1-`, "aax", "-x-"},
		{"a backslash", "a", `\\1`, "a", `\1`},
		{"dollars are themselves", `(a)`, `$1${1}$$`, "a", "$1${1}$$"},
		{"a digit after a group", `(a)`, `\10`, "a", "a0"},
		{"empty matches", "a*", "-", "baac", "-b-c-"},
		{"bytes, not characters", ".", "x", "é", "xx"},
		{"a pattern that is not ASCII", "é+", "ö", "éé", "öö"}, // + is of the second byte
		{"values that are not UTF-8", "\\xff(.)", `\1ß`, "\xff\xfe", "\xfeß"},
	} {
		t.Run(test.name, func(t *testing.T) {
			list := hashpolicy.List{hashpolicy.HeaderRewrite("x-user", test.pattern, test.substitution)}
			requireHash(t, text(test.want), list, get("/", field{"x-user", test.value}))
		})
	}
	t.Run("before sorting", func(t *testing.T) {
		list := hashpolicy.List{hashpolicy.HeaderRewrite("x-user", "^a", "z")}
		requireHash(t, chain("b", "z"), list, get("/", field{"x-user", "a"}, field{"x-user", "b"}))
	})
	t.Run("of the path", func(t *testing.T) {
		list := hashpolicy.List{hashpolicy.HeaderRewrite(":path", `\?.*`, "")}
		requireHash(t, text("/a"), list, get("/a?b"))
	})
}

func TestPseudoHeaders(t *testing.T) {
	w := get("/a%2fb//c/../d?q=%41&q")
	requireHash(t, text("example.test"), hashpolicy.List{hashpolicy.Header(":authority")}, w)
	requireHash(t, text("example.test"), hashpolicy.List{hashpolicy.Header("HOST")}, w)
	requireHash(t, text("GET"), hashpolicy.List{hashpolicy.Header(":method")}, w)
	requireHash(t, text("http"), hashpolicy.List{hashpolicy.Header(":scheme")}, w)
	requireHash(t, text("/a%2fb//c/../d?q=%41&q"), hashpolicy.List{hashpolicy.Header(":path")}, w)
	requireHash(t, text("/a?"), hashpolicy.List{hashpolicy.Header(":path")}, get("/a?"))
	requireHash(t, text("*"), hashpolicy.List{hashpolicy.Header(":path")}, get("*"))
	requireNone(t, hashpolicy.List{hashpolicy.Header(":protocol")}, w)
}

func TestQueryParameter(t *testing.T) {
	list := hashpolicy.List{hashpolicy.QueryParameter("k")}
	for target, want := range map[string]string{
		"/?k=v": "v", "/?a=1&k=v&k=w": "v", "/?k": "", "/?k=": "", "/?k&k=v": "", "/?&&k=v&": "v",
		"/?k=%41+b": "%41+b", "/?k=a=b": "a=b", "/?x?k=1&k=2": "2", "/?k=a?b": "a?b", "/?k=a;k=b": "a;k=b",
	} {
		requireHash(t, text(want), list, get(target))
	}
	for _, target := range []string{"/", "/?", "/k=v", "/?K=v", "/?kk=v", "/?%6b=v", "/?=k", "/?k;=v"} {
		requireNone(t, list, get(target))
	}
}

func TestPaths(t *testing.T) {
	for _, test := range []struct {
		target          string
		whole, one, two string
	}{
		{"/", "/", "/", "/"},
		{"/a", "/a", "/a", "/a"},
		{"/a/", "/a/", "/a", "/a/"},
		{"/a/b?c/d/e", "/a/b", "/a", "/a/b"},
		{"/a/b/", "/a/b/", "/a", "/a/b"},
		{"/a/b/c", "/a/b/c", "/a", "/a/b"},
		{"//a/b", "//a/b", "/", "//a"},
		{"/%2f/%41?", "/%2f/%41", "/%2f", "/%2f/%41"},
		{"*", "*", "*", "*"},
	} {
		w := get(test.target)
		requireHash(t, text(test.whole), hashpolicy.List{hashpolicy.Path()}, w)
		requireHash(t, text(test.one), hashpolicy.List{hashpolicy.PathPrefix(1)}, w)
		requireHash(t, text(test.two), hashpolicy.List{hashpolicy.PathPrefix(2)}, w)
		requireHash(t, text(test.whole), hashpolicy.List{hashpolicy.PathPrefix(1 << 30)}, w)
	}
}

func TestSourceIP(t *testing.T) {
	list := hashpolicy.List{hashpolicy.SourceIP()}
	for remote, want := range map[string]string{
		"192.0.2.7:53124":             "192.0.2.7",
		"192.0.2.7":                   "192.0.2.7",
		"[2001:db8::7]:53124":         "2001:db8::7",
		"[2001:db8::7]":               "2001:db8::7",
		"2001:db8::7":                 "2001:db8::7",
		"[2001:DB8:0::7]:1":           "2001:db8::7",
		"[::ffff:192.0.2.7]:1":        "192.0.2.7",
		"[::1.2.3.4]:1":               "::1.2.3.4", // as inet_ntop; netip has ::102:304
		"[::1]:1":                     "::1",
		"[fe80::1%eth0]:1":            "fe80::1%eth0",
		"[1:2:3:4:5:6:77:8888]:65535": "1:2:3:4:5:6:77:8888",
	} {
		requireHash(t, text(want), list, &wire{target: "/", remote: remote})
	}
	for _, remote := range []string{"", "@", "/run/socket", ":80", "[]:80", "[", "pipe", "host:80", "1.2.3:80", "[::1", "[::1]80"} {
		requireNone(t, list, &wire{target: "/", remote: remote})
	}
}
