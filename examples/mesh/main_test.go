package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/mesh/config"
)

// played are the figures of one play, for the tests to look at.
var played = sync.OnceValues(func() (f *figures, err error) {
	p, err := newPlay(context.Background())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	return p.figures(context.Background())
})

func TestRoutes(t *testing.T) {
	f, err := played()
	require.NoError(t, err)
	require.Equal(t, []routed{
		{"/", answer{status: 200, server: "shop-1", attempts: 1, body: "Welcome to the shop.\n"}},
		{"/cart/", answer{status: 200, server: "cart-2", attempts: 1, body: "0 items"}},
		{"/basket", answer{status: 301, location: f.routes[2].location}},
		{"/robots.txt", answer{status: 200, body: "User-agent: *\nDisallow: /cart/\n"}},
	}, f.routes)
	require.Regexp(t, `^http://127\.0\.0\.1:\d+/cart/$`, f.routes[2].location)
}

// A user is where the table of the library says, of all servers and of those that are left.
func TestUsersAreWhereTheTableSays(t *testing.T) {
	f, err := played()
	require.NoError(t, err)
	require.NoError(t, f.check())
	for _, c := range []struct {
		servers []string
		visit
	}{
		{cartNames, f.sessions},
		{[]string{"cart-1", "cart-3"}, f.without},
		{cartNames, f.after},
	} {
		var backends []maglev.Backend
		for _, name := range c.servers {
			backends = append(backends, maglev.Backend{Name: name})
		}
		table, err := maglev.New(backends, maglev.Options{})
		require.NoError(t, err)
		for i, user := range f.users {
			require.Equal(t, table.Backend(table.LookupString(user)).Name, c.visit[i].server, "%s among %v", user, c.servers)
		}
	}
}

func TestCrash(t *testing.T) {
	f, err := played()
	require.NoError(t, err)
	its := f.sessions.by("cart-2")
	require.NotZero(t, f.atOnce.again())
	require.LessOrEqual(t, f.atOnce.again(), its)
	require.Zero(t, f.without.again())
	require.Zero(t, f.without.by("cart-2"))
	require.Equal(t, its, f.after.with("0 items"), "the carts that were in its memory")
	require.Equal(t, len(f.users)-its, f.after.with(fullCart))
}

// Both sides have counted the same.
func TestStatistics(t *testing.T) {
	f, err := played()
	require.NoError(t, err)
	for _, s := range f.stats {
		switch s.name {
		case "http.ingress.downstream_rq_3xx":
			require.Equal(t, "1", s.value)
		case "http.ingress.downstream_rq_5xx":
			require.Equal(t, "0", s.value)
		case "cluster.cart.membership_healthy":
			require.Equal(t, "3", s.value)
		default:
			require.Regexp(t, `^[1-9]\d*$`, s.value, s.name)
		}
	}
}

func TestReport(t *testing.T) {
	f, err := played()
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, report(&out, f))
	for _, line := range strings.Split(out.String(), "\n") {
		if !strings.Contains(line, "->") {
			require.LessOrEqual(t, len(line), 80, line)
		}
	}
	for _, line := range []string{
		`GET /basket      301  to /cart/              by the sidecar itself`,
		`300 of 300 carts have all 3 items: each user always came to the same server\.`,
		`at once: 0 of 300 requests failed, \d+ needed a second attempt elsewhere\n`,
		`96 of its 96 users moved, 0 of the other 204; 0 requests were tried again\.`,
		`once it is back: 0 users are elsewhere than at first, and 96 carts are`,
		`0 of 50 requests failed; 12 needed a second attempt\.`,
		`GET /basket user-0 -> 301 direct_response by -, attempts: 0`,
		`cluster\.cart\.membership_healthy +3\n`,
	} {
		require.Regexp(t, line, out.String())
	}
}

// What the README of the mesh shows of the report is what it says, but for what depends on the time.
func TestReadme(t *testing.T) {
	f, err := played()
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, report(&out, f))
	readme, err := os.ReadFile("../../mesh/README.md")
	require.NoError(t, err)
	match := regexp.MustCompile("(?ms)^```text\n(3  cart-2 crashes.*?)^```$").FindSubmatch(readme)
	require.NotNil(t, match)
	timed := regexp.MustCompile(`\d+ needed a second`)
	without := func(text string) string { return timed.ReplaceAllString(text, "some needed a second") }
	require.Contains(t, without(out.String()), without(string(match[1])))
}

func TestClaimsThatDoNotHold(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(f *figures)
	}{
		{"1 requests failed at first", func(f *figures) { f.sessions[0].status = 503 }},
		{"1 requests failed at the shop", func(f *figures) { f.shop[0].status = 503 }},
		{"a user has been to more than one server", func(f *figures) { f.sessions[0].body = "1 items" }},
		{"cart-2 has answered though it had crashed", func(f *figures) { f.without[0].server = "cart-2" }},
		{"1 users have not come back to their server", func(f *figures) { f.after[0].server = "cart-1" }},
		{"the shop has not failed", func(f *figures) { f.shop[0].attempts = 1 }},
	} {
		f := &figures{
			users:    []string{"user-0"},
			crashed:  "cart-2",
			sessions: visit{{status: 200, server: "cart-2", body: fullCart}},
			atOnce:   visit{{status: 200, server: "cart-3"}},
			without:  visit{{status: 200, server: "cart-3"}},
			after:    visit{{status: 200, server: "cart-2"}},
			shop:     visit{{status: 200, attempts: 2}},
		}
		require.NoError(t, f.check())
		c.change(f)
		require.EqualError(t, f.check(), c.want)
	}
}

// The configuration is one by itself, with the ports that stand in it.
func TestConfiguration(t *testing.T) {
	_, err := config.Load("envoy.yaml")
	require.NoError(t, err)
	_, err = located("", &services{shop: &shop{server: &server{}}}, "x")
	require.ErrorContains(t, err, "does not stand there exactly once")
}

func TestFlags(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(context.Background(), []string{"-help"}, io.Discard, &out))
	require.Contains(t, out.String(), "-stay")
	require.ErrorIs(t, run(context.Background(), []string{"-gone"}, io.Discard, io.Discard), errUsage)
	require.ErrorIs(t, run(context.Background(), []string{"gone"}, io.Discard, io.Discard), errUsage)
	stay, err := parse([]string{"-stay"}, io.Discard)
	require.NoError(t, err)
	require.True(t, stay)
}

// stopWhenAsked is a terminal: it ends the program when it says that it waits.
type stopWhenAsked struct {
	bytes.Buffer
	stop func()
}

func (w *stopWhenAsked) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("Until ^C")) {
		w.stop()
	}
	return w.Buffer.Write(b)
}

func TestStay(t *testing.T) {
	ctx, stop := context.WithCancel(context.Background())
	out := &stopWhenAsked{stop: stop}
	require.NoError(t, run(ctx, []string{"-stay"}, out, io.Discard))
	require.Regexp(t, `curl http://127\.0\.0\.1:\d+/stats\n$`, out.String())
}
