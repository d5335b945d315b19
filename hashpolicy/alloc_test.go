package hashpolicy_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/stretchr/testify/require"
)

// costs are lists, all of which have a hash of costly's request.
var costs = []struct {
	name string
	list hashpolicy.List
}{
	{"header/values=1", hashpolicy.List{hashpolicy.Header("X-User")}},
	{"header/values=3", hashpolicy.List{hashpolicy.Header("X-Three")}},
	{"header/values=8", hashpolicy.List{hashpolicy.Header("X-Eight")}},
	{"header/joined=3", hashpolicy.List{hashpolicy.Header("Accept")}},
	{"header/host", hashpolicy.List{hashpolicy.Header("Host")}},
	{"header/path", hashpolicy.List{hashpolicy.Header(":path")}},
	{"cookie", hashpolicy.List{hashpolicy.Cookie("sid")}},
	{"cookie/there", hashpolicy.List{hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: "sid", TTL: time.Hour})}},
	{"source/IPv4", hashpolicy.List{hashpolicy.SourceIP()}},
	{"query", hashpolicy.List{hashpolicy.QueryParameter("k")}},
	{"path", hashpolicy.List{hashpolicy.Path()}},
	{"path/prefix", hashpolicy.List{hashpolicy.PathPrefix(2)}},
	{"list=3", hashpolicy.List{hashpolicy.Header("X-User"), hashpolicy.Cookie("sid"), hashpolicy.SourceIP()}},
}

func costly(t testing.TB) *http.Request {
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://host.test/users/42/photos?a=1&k=v", nil)
	require.NoError(t, err)
	req.RemoteAddr = "192.0.2.7:53124"
	req.Header = http.Header{
		"X-User":  {"user-42"},
		"X-Three": {"c", "b", "a"},
		"X-Eight": {"8", "7", "6", "5", "4", "3", "2", "1"},
		"Accept":  {"text/html", "text/plain", "*/*"},
		"Cookie":  {"a=1; b=2", `sid="0123456789abcdef"`},
	}
	return req
}

func TestHashesDoNotAllocate(t *testing.T) {
	req := costly(t)
	for _, c := range costs {
		t.Run(c.name, func(t *testing.T) {
			_, ok := c.list.Hash(hashpolicy.HTTP(req))
			require.True(t, ok)
			require.Zero(t, testing.AllocsPerRun(100, func() { c.list.Hash(hashpolicy.HTTP(req)) }))
			require.Zero(t, testing.AllocsPerRun(100, func() { c.list.HashAndCookies(hashpolicy.HTTP(req)) }))
		})
	}
	t.Run("source/IPv6", func(t *testing.T) {
		req.RemoteAddr = "[2001:db8:1:2:3:4:5:6]:53124"
		list := hashpolicy.List{hashpolicy.SourceIP()}
		require.Zero(t, testing.AllocsPerRun(100, func() { list.Hash(hashpolicy.HTTP(req)) }))
	})
	t.Run("lines of the wire", func(t *testing.T) {
		w := get("/?k=v", field{"x-user", "b"}, field{"x-user", "a"}, field{"cookie", "sid=1"})
		w.remote = "192.0.2.7:53124"
		list := hashpolicy.List{user, hashpolicy.Cookie("sid"), hashpolicy.QueryParameter("k"), hashpolicy.SourceIP()}
		require.Zero(t, testing.AllocsPerRun(100, func() { list.Hash(w) }))
	})
}

func BenchmarkHash(b *testing.B) {
	req := costly(b)
	for _, c := range costs {
		b.Run("policy="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.list.Hash(hashpolicy.HTTP(req))
			}
		})
	}
}
