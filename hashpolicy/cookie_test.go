package hashpolicy_test

import (
	"regexp"
	"testing"
	"time"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/stretchr/testify/require"
)

func TestCookie(t *testing.T) {
	list := hashpolicy.List{hashpolicy.Cookie("sid")}
	for _, test := range []struct {
		name  string
		lines []string
		want  string // "" for none
	}{
		{"one", []string{"sid=v"}, "v"},
		{"among others", []string{"a=1; sid=v; b=2"}, "v"},
		{"the first", []string{"sid=v; sid=w"}, "v"},
		{"on another line", []string{"a=1", "b=2;sid=v"}, "v"},
		{"after a pair without =", []string{"sid; sid=v"}, "v"},
		{"quoted", []string{`sid="v"`}, "v"},
		{"quotes within", []string{`sid=a"v"`}, `a"v"`},
		{"half quoted", []string{`sid="v`}, `"v`},
		{"a quote", []string{`sid="`}, `"`},
		{"more than quotes", []string{`sid=""v""`}, `"v"`},
		{"= within", []string{"sid=a=b="}, "a=b="},
		{"spaces around", []string{"a=1;   sid= v ;b=2"}, " v "},
		{"other case", []string{"SID=v"}, ""},
		{"a longer name", []string{"xsid=v; sidx=v"}, ""},
		{"space after the name", []string{"sid =v"}, ""},
		{"a tab before the name", []string{"a=1;\tsid=v"}, ""},
		{"empty", []string{"sid="}, ""},
		{"empty before another", []string{"sid=; sid=v", "sid=v"}, ""},
		{"empty quotes", []string{`sid=""`}, ""},
		{"an empty line", []string{"", ";", "; ;"}, ""},
		{"none", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := get("/")
			for _, line := range test.lines {
				w.fields = append(w.fields, field{"cookie", line})
			}
			if test.want == "" {
				requireNone(t, list, w)
			} else {
				requireHash(t, text(test.want), list, w)
			}
		})
	}
}

func TestGeneratedCookie(t *testing.T) {
	w := get("/", field{"cookie", "sid="})
	w.remote, w.local = "192.0.2.7:53124", "192.0.2.1:80"
	const value = "4f9936ff68b101b1" // XXH64("192.0.2.7:53124192.0.2.1:80") = 5735676071034028465
	for want, c := range map[string]hashpolicy.NewCookie{
		`sid="` + value + `"; HttpOnly`:               {Name: "sid"},
		`sid="` + value + `"; Max-Age=3600; HttpOnly`: {Name: "sid", TTL: time.Hour},
		`sid="` + value + `"; Path=/a; HttpOnly`:      {Name: "sid", Path: "/a"},
		`sid="` + value + `"; Max-Age=1; Path=/; SameSite=Lax; Secure; HttpOnly`: {Name: "sid", TTL: time.Second, Path: "/",
			Attributes: []hashpolicy.Attribute{{Name: "SameSite", Value: "Lax"}, {Name: "Secure"}}},
	} {
		list := hashpolicy.List{hashpolicy.GeneratedCookie(c)}
		require.NoError(t, list.Validate())
		hash, ok, cookies := hashes(t, list, w)
		require.True(t, ok)
		require.Equal(t, []string{want}, cookies)
		require.Equal(t, text(value), hash)

		hash, ok = list.Hash(w)
		require.True(t, ok, "where it cannot be set, it is hashed as if it were")
		require.Equal(t, text(value), hash)

		// What comes back is hashed alike, from wherever.
		back := get("/", field{"cookie", `sid="` + value + `"`})
		requireHash(t, text(value), list, back)
	}
}

// Two lists on one request set two cookies, a terminal policy before them none.
func TestGeneratedCookiesOfAList(t *testing.T) {
	a, b := hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "a"}), hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "b"})
	w := get("/", field{"x-user", "foo"})
	w.remote, w.local = "192.0.2.7:53124", "192.0.2.1:80"
	_, _, cookies := hashes(t, hashpolicy.List{a, user, b}, w)
	require.Len(t, cookies, 2)
	require.Regexp(t, `^a="[0-9a-f]{16}"; HttpOnly$`, cookies[0])
	require.Regexp(t, `^b="[0-9a-f]{16}"; HttpOnly$`, cookies[1])
	_, _, cookies = hashes(t, hashpolicy.List{user.Terminal(), a, b}, w)
	require.Nil(t, cookies)
}

// All requests without a connection would otherwise share one cookie, and so one
// backend.
func TestGeneratedCookieWithoutAConnectionIsRandom(t *testing.T) {
	list := hashpolicy.List{hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "sid"})}
	seen := make(map[string]bool)
	for range 100 {
		hash, ok, cookies := list.HashAndCookies(get("/"))
		require.True(t, ok)
		require.Len(t, cookies, 1)
		value := regexp.MustCompile(`^sid="([0-9a-f]{16})"; HttpOnly$`).FindStringSubmatch(cookies[0])
		require.NotNil(t, value)
		require.Equal(t, text(value[1]), hash)
		seen[value[1]] = true
	}
	require.Len(t, seen, 100, "odds of one in 10^15 to meet one twice")
	_, ok := list.Hash(get("/"))
	require.False(t, ok, "where it would be lost")
}

// The attributes are the caller's slice.
func TestGeneratedCookieIsACopy(t *testing.T) {
	attributes := []hashpolicy.Attribute{{Name: "SameSite", Value: "Lax"}}
	list := hashpolicy.List{hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "sid", Attributes: attributes})}
	attributes[0].Name = "\r\n"
	require.NoError(t, list.Validate())
	_, _, cookies := list.HashAndCookies(get("/"))
	require.Contains(t, cookies[0], "; SameSite=Lax;")
}
