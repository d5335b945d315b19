package hashpolicy_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/maglev-lb/maglev/hashpolicy"
)

type object = map[string]any

// A liveCase is a list in both languages, and a request for each key.
type liveCase struct {
	name    string
	envoy   []object
	list    hashpolicy.List
	keys    int // how many; default (0): 250, for corners of what another case has
	request func(i int) *wire
	none    bool // there is no hash
}

func header(name string) object { return object{"header": object{"header_name": name}} }

func rewrite(name, pattern, substitution string) object {
	return object{"header": object{"header_name": name, "regex_rewrite": object{
		"pattern": object{"regex": pattern}, "substitution": substitution,
	}}}
}

func cookie(config object) object { return object{"cookie": config} }

func query(name string) object { return object{"query_parameter": object{"name": name}} }

func terminal(policy object) object {
	policy["terminal"] = true
	return policy
}

func sourceIP() object { return object{"connection_properties": object{"source_ip": true}} }

var user = hashpolicy.Header("X-User")

// lines makes requests for / with these fields, in whose values %d is the key.
func lines(fields ...field) func(i int) *wire {
	return func(i int) *wire {
		w := get("/")
		for _, f := range fields {
			w.fields = append(w.fields, field{f.name, strings.ReplaceAll(f.value, "%d", fmt.Sprint(i))})
		}
		return w
	}
}

// targets makes requests for a target.
func targets(format string) func(i int) *wire {
	return func(i int) *wire { return get(strings.ReplaceAll(format, "%d", fmt.Sprint(i))) }
}

var liveCases = []liveCase{
	{name: "header", keys: 1000, envoy: []object{header("x-user")}, list: hashpolicy.List{user},
		request: lines(field{"X-User", "user-%d"})},
	{name: "header/several", keys: 1000, envoy: []object{header("X-User")}, list: hashpolicy.List{user},
		request: lines(field{"x-user", "z-%d"}, field{"other", "o"}, field{"X-USER", "a-%d"}, field{"x-user", "m"}, field{"x-user", "m"}, field{"x-user", "B%d"})},
	{name: "header/one of them empty", envoy: []object{header("x-user")}, list: hashpolicy.List{user},
		request: lines(field{"x-user", "%d"}, field{"x-user", ""})},
	{name: "header/empty", envoy: []object{header("x-user")}, list: hashpolicy.List{user},
		request: lines(field{"x-user", ""}, field{"other", "%d"})},
	{name: "header/bytes", envoy: []object{header("x-user")}, list: hashpolicy.List{user},
		request: lines(field{"x-user", "\xff%d"}, field{"x-user", "é%d"}, field{"x-user", "a \t b%d"})},
	{name: "header/absent", envoy: []object{header("x-user")}, list: hashpolicy.List{user},
		request: lines(field{"x-user-2", "%d"}), none: true},
	{name: "header/host", keys: 1000, envoy: []object{header("Host")}, list: hashpolicy.List{hashpolicy.Header("Host")},
		request: func(i int) *wire { w := get("/"); w.host = fmt.Sprintf("Host-%d.test:80", i); return w }},
	{name: "header/authority and method", envoy: []object{header(":authority"), header(":method"), header(":scheme")},
		list:    hashpolicy.List{hashpolicy.Header(":authority"), hashpolicy.Header(":method"), hashpolicy.Header(":scheme")},
		request: func(i int) *wire { w := get("/"); w.host = fmt.Sprintf("host-%d.test", i); return w }},
	{name: "header/path", keys: 1000, envoy: []object{header(":path")}, list: hashpolicy.List{hashpolicy.Header(":path")},
		request: targets("/a/../b//%d/%41%2f?q=1&q=%3d")},
	{name: "header/path with an empty query", envoy: []object{header(":path")}, list: hashpolicy.List{hashpolicy.Header(":path")},
		request: targets("/%d?")},
	{name: "header/joined, with empty lines", envoy: []object{header("accept"), header("via")},
		list:    hashpolicy.List{hashpolicy.Header("Accept"), hashpolicy.Header("Via")},
		request: lines(field{"accept", "z%d"}, field{"accept", ""}, field{"via", ""}, field{"accept", "a"}, field{"via", ""}, field{"via", "%d, v"}, field{"accept", ""}, field{"via", "b"})},
	{name: "header/cookie", envoy: []object{header("cookie")}, list: hashpolicy.List{hashpolicy.Header("Cookie")},
		request: lines(field{"cookie", "b=%d"}, field{"cookie", "a=1"})},

	{name: "rewrite", keys: 1000, envoy: []object{rewrite("x-user", `^([^@]*)@.*$`, `\1`)},
		list:    hashpolicy.List{hashpolicy.HeaderRewrite("x-user", `^([^@]*)@.*$`, `\1`)},
		request: lines(field{"x-user", "user-%d@example.test"}, field{"x-user", "a-%d"}, field{"x-user", "0@%d"})},
	{name: "rewrite/substitution", envoy: []object{rewrite("x-user", `([a-z])(x)?(\d)`, `$1\\\2[\0]\3${1}\1`)},
		list:    hashpolicy.List{hashpolicy.HeaderRewrite("x-user", `([a-z])(x)?(\d)`, `$1\\\2[\0]\3${1}\1`)},
		request: lines(field{"x-user", "abc%d ax%d"})},
	{name: "rewrite/empty matches", envoy: []object{rewrite("x-user", `a*|1`, `<\0>`)},
		list:    hashpolicy.List{hashpolicy.HeaderRewrite("x-user", `a*|1`, `<\0>`)},
		request: lines(field{"x-user", "baac%déab"})},
	{name: "rewrite/words", envoy: []object{rewrite("x-user", `\b|(?i:K)|\pN$`, `-`)},
		list:    hashpolicy.List{hashpolicy.HeaderRewrite("x-user", `\b|(?i:K)|\pN$`, `-`)},
		request: lines(field{"x-user", "aK éÉk %d kK k%d"})},
	{name: "rewrite/bytes", envoy: []object{rewrite("x-user", `.é|(?i)\xc3.|[Ü]|\W(.)`, `<\1ö>`)},
		list:    hashpolicy.List{hashpolicy.HeaderRewrite("x-user", `.é|(?i)\xc3.|[Ü]|\W(.)`, `<\1ö>`)},
		request: lines(field{"x-user", "ÄéxéÜ\xff\xe3%d"}, field{"x-user", "\xed\xa0\x80Ü%d€"})},
	{name: "rewrite/joined", envoy: []object{rewrite("accept", `,.*5`, ``)},
		list:    hashpolicy.List{hashpolicy.HeaderRewrite("accept", `,.*5`, ``)},
		request: lines(field{"accept", "z%d"}, field{"accept", "b%d"}, field{"accept", "a%d"})},
	{name: "rewrite/joined, with empty lines", envoy: []object{rewrite("accept", `,|^|$`, `-`)},
		list:    hashpolicy.List{hashpolicy.HeaderRewrite("accept", `,|^|$`, `-`)},
		request: lines(field{"accept", ""}, field{"accept", "z%d"}, field{"accept", ""}, field{"accept", "a"}, field{"accept", ""})},
	{name: "rewrite/path", keys: 1000, envoy: []object{rewrite(":path", `\?.*`, ``)}, list: hashpolicy.List{hashpolicy.Path()},
		request: targets("/users/%d?x=%d")},
	{name: "rewrite/prefix of a short path", envoy: []object{rewrite(":path", `^((?:/[^/?]*){1,2}).*`, `\1`)},
		list:    hashpolicy.List{hashpolicy.PathPrefix(2)},
		request: targets("/%d?x=/y/%d")},
	{name: "rewrite/prefix of the path", envoy: []object{rewrite(":path", `^((?:/[^/?]*){1,2}).*`, `\1`)},
		list:    hashpolicy.List{hashpolicy.PathPrefix(2)},
		request: targets("/users/%d/photos?x=%d")},
	{name: "rewrite/absent", envoy: []object{rewrite("x-user", `^$`, `x`)},
		list:    hashpolicy.List{hashpolicy.HeaderRewrite("x-user", `^$`, `x`)},
		request: lines(), none: true},

	{name: "cookie", keys: 1000, envoy: []object{cookie(object{"name": "sid"})}, list: hashpolicy.List{hashpolicy.Cookie("sid")},
		request: lines(field{"cookie", "a=1; SID=x; sid=s-%d; sid=second"})},
	{name: "cookie/second line", keys: 1000, envoy: []object{cookie(object{"name": "sid"})}, list: hashpolicy.List{hashpolicy.Cookie("sid")},
		request: lines(field{"cookie", "a=1; sid"}, field{"Cookie", "b=2;sid=s-%d"})},
	{name: "cookie/quoted", keys: 1000, envoy: []object{cookie(object{"name": "sid"})}, list: hashpolicy.List{hashpolicy.Cookie("sid")},
		request: lines(field{"cookie", `sid="s-%d"`})},
	{name: "cookie/odd", envoy: []object{cookie(object{"name": "sid"})}, list: hashpolicy.List{hashpolicy.Cookie("sid")},
		request: lines(field{"cookie", `;;sid =1; =sid;   sid= a=b"%d ,c ;x`})},
	{name: "cookie/a tab before", envoy: []object{cookie(object{"name": "sid"})}, list: hashpolicy.List{hashpolicy.Cookie("sid")},
		request: lines(field{"cookie", "a=1;\tsid=%d; sid=x%d"})},
	{name: "cookie/half quoted", envoy: []object{cookie(object{"name": "sid"})}, list: hashpolicy.List{hashpolicy.Cookie("sid")},
		request: lines(field{"cookie", `sid="s-%d`})},
	{name: "cookie/lone quote", envoy: []object{cookie(object{"name": "sid"}), header("x-user")},
		list:    hashpolicy.List{hashpolicy.Cookie("sid"), user},
		request: lines(field{"cookie", `sid="`}, field{"x-user", "%d"})},
	{name: "cookie/empty", envoy: []object{cookie(object{"name": "sid"})}, list: hashpolicy.List{hashpolicy.Cookie("sid")},
		request: lines(field{"cookie", "sid=; sid=%d"}), none: true},
	{name: "cookie/empty quotes", envoy: []object{cookie(object{"name": "sid"})}, list: hashpolicy.List{hashpolicy.Cookie("sid")},
		request: lines(field{"cookie", `sid=""`}), none: true},
	{name: "cookie/absent", envoy: []object{cookie(object{"name": "sid"})}, list: hashpolicy.List{hashpolicy.Cookie("sid")},
		request: lines(field{"cookie", "SID=%d"}), none: true},
	{name: "cookie/there, not generated", envoy: []object{cookie(object{"name": "sid", "ttl": "60s"})},
		list:    hashpolicy.List{hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "sid", TTL: time.Minute})},
		request: lines(field{"cookie", "sid=%d"})},

	{name: "query", keys: 1000, envoy: []object{query("k")}, list: hashpolicy.List{hashpolicy.QueryParameter("k")},
		request: targets("/p?K=1&kk=2&k=v-%d&k=second")},
	{name: "query/not decoded", keys: 1000, envoy: []object{query("a%20b")}, list: hashpolicy.List{hashpolicy.QueryParameter("a%20b")},
		request: targets("/?a+b=1&a%20b=%3d+%d=x;y?z")},
	{name: "query/odd", envoy: []object{query("k"), header(":path")},
		list:    hashpolicy.List{hashpolicy.QueryParameter("k"), hashpolicy.Header(":path")},
		request: targets("/?&&=x&?k=1&k;=2&/k&k=%d")},
	{name: "query/no value", envoy: []object{query("k"), header(":path")},
		list:    hashpolicy.List{hashpolicy.QueryParameter("k"), hashpolicy.Header(":path")},
		request: targets("/?a=%d&k")},
	{name: "query/empty value", envoy: []object{query("k"), header(":path")},
		list:    hashpolicy.List{hashpolicy.QueryParameter("k"), hashpolicy.Header(":path")},
		request: targets("/?k=&a=%d&")},
	{name: "query/absent", envoy: []object{query("k")}, list: hashpolicy.List{hashpolicy.QueryParameter("k")},
		request: targets("/k=1?"), none: true},

	{name: "list", keys: 1000, envoy: []object{header("x-user"), query("k"), cookie(object{"name": "sid"}), header("absent"), sourceIP()},
		list: hashpolicy.List{user, hashpolicy.QueryParameter("k"), hashpolicy.Cookie("sid"), hashpolicy.Header("absent"), hashpolicy.SourceIP()},
		request: func(i int) *wire {
			return get(fmt.Sprintf("/?k=%d", i), field{"x-user", "u"}, field{"cookie", "sid=c"})
		}},
	{name: "list/the same twice", envoy: []object{header("x-user"), header("x-user")}, list: hashpolicy.List{user, user},
		request: lines(field{"x-user", "%d"})},
	{name: "list/terminal, with a hash", keys: 1000, envoy: []object{terminal(header("x-user")), header("x-other")},
		list:    hashpolicy.List{user.Terminal(), hashpolicy.Header("x-other")},
		request: lines(field{"x-user", "%d"}, field{"x-other", "%d"})},
	{name: "list/terminal, without", envoy: []object{terminal(header("x-absent")), header("x-other")},
		list:    hashpolicy.List{hashpolicy.Header("x-absent").Terminal(), hashpolicy.Header("x-other")},
		request: lines(field{"x-user", "%d"}, field{"x-other", "%d"})},
	{name: "list/terminal, with an earlier hash", envoy: []object{header("x-user"), terminal(header("x-absent")), header("x-other")},
		list:    hashpolicy.List{user, hashpolicy.Header("x-absent").Terminal(), hashpolicy.Header("x-other")},
		request: lines(field{"x-user", "%d"}, field{"x-other", "%d"})},
	{name: "list/none", envoy: []object{header("x-user"), query("k"), terminal(cookie(object{"name": "sid"}))},
		list:    hashpolicy.List{user, hashpolicy.QueryParameter("k"), hashpolicy.Cookie("sid").Terminal()},
		request: lines(), none: true},
}
