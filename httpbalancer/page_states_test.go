package httpbalancer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/httpbalancer"
	"github.com/maglev-lb/maglev/retry"
)

// paths returns the paths of the fields of a JSON value; those of an array are
// of its first element.
func paths(prefix string, v any) []string {
	switch v := v.(type) {
	case map[string]any:
		var all []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			all = append(all, prefix+name)
			all = append(all, paths(prefix+name+".", v[name])...)
		}
		return all
	case []any:
		if len(v) > 0 {
			return paths(prefix, v[0])
		}
	}
	return nil
}

func TestPageJSONHasTheDocumentedFields(t *testing.T) {
	f := newPage(t, httpbalancer.Options{Backends: pageBackends(2), Discover: neverDiscovers}, nil)
	require.Equal(t, strings.Fields(`backends backends.check_error backends.consecutive_5xx backends.consecutive_gateway
		backends.consecutive_local backends.ejected_until backends.ejections backends.healthy backends.in_flight backends.last_check
		backends.left backends.locality backends.name backends.overflows backends.picks backends.reason backends.slot_share backends.slots
		backends.spills backends.state backends.url backends.verdict_error backends.weight backends.weight_share
		discovery discovery.error discovery.heard_at
		last_table last_table.at last_table.slots_ideal last_table.slots_moved last_table.took_seconds
		lookup lookup.candidates lookup.candidates.name lookup.candidates.picked lookup.candidates.state lookup.first lookup.hash
		lookup.key lookup.picked lookup.slot
		panic panic_threshold_percent requests requests.failed requests.in_flight requests.no_backend requests.no_key
		retries retries.budget_min retries.budget_percent retries.in_flight retries.limit retries.max_per_request
		retries.over_budget retries.sent slots status table_error tables_built time unhealthy`), paths("", f.json("key=a")))
}

var neverDiscovers = httpbalancer.DiscoverFunc(func(ctx context.Context, _ func([]httpbalancer.Backend) error) error {
	<-ctx.Done()
	return nil
})

func TestPageWorksWithAnyNumberOfBackends(t *testing.T) {
	for _, n := range []int{0, 1, 8, 1000} {
		f := newPage(t, httpbalancer.Options{Backends: pageBackends(n)}, nil)
		text := f.text("/?key=user-42")
		for _, b := range f.Stats().Backends {
			require.Contains(t, text, " "+b.Name+" "+b.URL+" ready 1 ")
		}
		report := f.json("hash=0")
		require.Equal(t, "open", report["status"])
		require.Len(t, report["backends"], n)
		lookup := report["lookup"].(map[string]any)
		require.Len(t, lookup["candidates"], n)
		require.Nil(t, lookup["key"])
		slots, shares := 0.0, 0.0
		for _, b := range report["backends"].([]any) {
			slots += b.(map[string]any)["slots"].(float64)
			shares += b.(map[string]any)["weight_share"].(float64)
		}
		if n == 0 {
			require.Contains(t, text, "0 backends. As of")
			require.Contains(t, text, "would fail now: there is no backend.")
			require.Contains(t, text, "There are none: requests fail with ErrNoBackend.")
			require.Nil(t, lookup["first"])
			require.Nil(t, lookup["slot"])
			continue
		}
		require.EqualValues(t, 65537, slots)
		require.InDelta(t, 1, shares, 1e-9)
		require.Contains(t, text, "the first candidate.")
		if n > 10 {
			require.Contains(t, text, "And 990 more.")
			require.Contains(t, text, "1,000 backends: 1,000 ready.")
		}
	}
}

func TestPageBeforeTheFirstSetAfterCloseAndOfTheZeroTransport(t *testing.T) {
	f := newPage(t, httpbalancer.Options{Discover: neverDiscovers}, nil)
	require.Contains(t, f.text("/?key=a"), "Waiting. There has been no set of backends yet.")
	require.Contains(t, f.text("/"), "Last heard nothing yet Last error none")
	require.Equal(t, "waiting", f.json("")["status"])
	require.Nil(t, f.json("")["last_table"])
	require.Nil(t, f.json("")["lookup"])

	require.NoError(t, f.Update(pageBackends(2)))
	require.Equal(t, "open", f.json("")["status"])
	require.NotContains(t, f.text("/"), "Waiting")
	require.NoError(t, f.Close())
	require.Contains(t, f.text("/?key=a"), "Closed. New requests fail.")
	require.Equal(t, "closed", f.json("key=a")["status"])
	require.Len(t, f.json("")["backends"], 2)

	zero := new(httpbalancer.Transport).DebugHandler()
	w := askPage(zero, http.MethodGet, "/?key=a")
	require.Equal(t, http.StatusOK, w.Code)
	require.Contains(t, pageText(t, w.Body.String()), "Closed. New requests fail.")
	report := decodePage(t, askPage(zero, http.MethodGet, "/?key=a&format=json").Body.String())
	require.Equal(t, "closed", report["status"])
	require.Equal(t, fmt.Sprintf("0x%016x", maglev.XXHash("a", 0)), report["lookup"].(map[string]any)["hash"])
}

// What the page says of a key is what becomes of it, whatever states backends are
// in.
func TestPageSaysWhereKeysGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backends := pageBackends(8)
		backends[3].Draining = true
		f := newPage(t, httpbalancer.Options{
			Backends: backends, NoOutlier: true,
			Check:    &httpbalancer.Check{Check: health.Check{Probe: failing("cache-5")}},
			Balancer: maglev.BalancerOptions{SlowStart: maglev.SlowStart{Window: time.Minute}, BalanceFactor: 100, MinInFlight: 1},
		}, nil)
		time.Sleep(2 * time.Minute)
		require.NoError(t, f.Update(append(backends, httpbalancer.Backend{URL: "http://10.0.9.9", Name: "cache-new"})))
		synctest.Wait()
		reasons := make(map[string]int)
		for i := range 300 {
			key := fmt.Sprintf("user-%d", i)
			report := f.json("key=" + key)
			lookup := report["lookup"].(map[string]any)
			resp := f.send(key)
			got := f.asked[len(f.asked)-1]
			require.Equal(t, got, lookup["picked"])
			if i%10 > 0 { // some stay in flight, for the bound
				require.NoError(t, resp.Body.Close())
			}
			first := lookup["candidates"].([]any)[0].(map[string]any)
			require.Equal(t, lookup["first"], first["name"])
			if lookup["first"] != got {
				reasons[first["state"].(string)]++
			}
		}
		require.ElementsMatch(t, []string{"draining", "unhealthy", "warming", "full"}, slices.Collect(maps.Keys(reasons)), reasons)
	})
}

func failing(names ...string) func(context.Context, string) error {
	return func(_ context.Context, name string) error {
		if slices.Contains(names, name) {
			return errors.New("connection refused")
		}
		return nil
	}
}

func TestPageSaysWhatStateBackendsAreInAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backends := pageBackends(6)
		backends[1].Draining, backends[2].Weight = true, 3
		f := newPage(t, httpbalancer.Options{
			Backends: backends,
			Check:    &httpbalancer.Check{Check: health.Check{Probe: failing("cache-4"), Interval: time.Hour}},
			Balancer: maglev.BalancerOptions{SlowStart: maglev.SlowStart{Window: time.Minute}},
		}, func(name string) int {
			if name == "cache-0" {
				return http.StatusInternalServerError
			}
			return http.StatusOK
		})
		time.Sleep(2 * time.Minute)
		for i := range 300 {
			require.NoError(t, f.send(fmt.Sprint("key-", i)).Body.Close())
		}
		resp := f.send("held")
		held := f.asked[len(f.asked)-1]
		time.Sleep(3 * time.Second)
		require.NoError(t, f.Update(append(backends, httpbalancer.Backend{URL: "https://[::1]:443", Name: "cache-new"})))
		synctest.Wait()

		text := f.text("/")
		require.Contains(t, text, "7 backends: 3 ready, 1 warming, 2 unhealthy, 1 draining.")
		require.Regexp(t, `cache-0 \S+ unhealthy its keys go to their next candidates ejected: 5 consecutive server errors \(5xx\) until \S+ \S+ UTC \(in 27 s\) ejected once 1 11\.11 %`, text)
		require.Regexp(t, `cache-1 \S+ draining it gets no new keys 1 11\.11 %`, text)
		require.Regexp(t, `cache-2 \S+ ready 3 33\.33 % 33\.3\d %`, text)
		require.Regexp(t, `cache-4 \S+ unhealthy its keys go to their next candidates check failed: connection refused 1 11\.11 % .* failed 2 min ago`, text)
		require.Contains(t, text, "cache-new https://[::1]:443 warming in slow start: it gets some of its keys 1 11.11 %")
		require.Regexp(t, `Last built \S+ \S+ UTC \(just now\)`, text)

		require.NoError(t, f.Update(slices.DeleteFunc(slices.Clone(backends), func(b httpbalancer.Backend) bool { return b.Name == held })))
		require.Regexp(t, `Left the set, with requests in flight .* `+held+` 1 \d+ Requests`, f.text("/"))
		all := f.json("")["backends"].([]any)
		left := all[len(all)-1].(map[string]any)
		require.Equal(t, []any{held, true, nil, nil, 1.0}, []any{left["name"], left["left"], left["url"], left["healthy"], left["in_flight"]})
		require.NoError(t, resp.Body.Close())
		require.NotContains(t, f.text("/"), "Left the set")
	})
}

func TestPageSaysThatThereIsPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPage(t, httpbalancer.Options{
			Backends: pageBackends(4), NoOutlier: true,
			Check: &httpbalancer.Check{Check: health.Check{Probe: failing("cache-0", "cache-1", "cache-2")}},
		}, nil)
		synctest.Wait()
		text := f.text("/?key=a")
		require.Contains(t, text, "Panic · 4 backends: 1 ready, 3 unhealthy")
		require.Contains(t, text, "Panic. So few backends are healthy (below PanicThreshold, 50 %) that health is ignored")
		require.Contains(t, text, "unhealthy it gets its keys all the same: panic check failed: connection refused")
		require.Equal(t, true, f.json("")["panic"])
	})
}

func TestPageSaysWhatHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newPage(t, httpbalancer.Options{
			Backends: pageBackends(3), NoKey: httpbalancer.Refuse, NoOutlier: true,
			Retry: httpbalancer.Retry{Max: 1, Budget: httpbalancer.Budget{Percent: 50, Min: retry.None}},
		}, func(string) int { return http.StatusServiceUnavailable })
		_, err := f.RoundTrip(httptest.NewRequest(http.MethodGet, "http://any/", nil))
		require.ErrorIs(t, err, httpbalancer.ErrNoKey)
		require.NoError(t, f.send("a").Body.Close())
		require.ErrorContains(t, f.Update([]httpbalancer.Backend{{URL: "ftp://a"}}), "URL")
		text := f.text("/")
		require.Contains(t, text, "Refused for want of a key 1 ")
		require.Contains(t, text, "Given up for the budget 1 requests")
		require.Contains(t, text, "the budget is 50 % of the requests without a response, and at least 0 ")
		retries, err := json.Marshal(f.json("")["retries"])
		require.NoError(t, err)
		require.JSONEq(t, `{"in_flight":0,"limit":0,"max_per_request":1,"budget_percent":50,"budget_min":0,"sent":0,"over_budget":1}`, string(retries))
	})
}

func TestPageWorksUnderAnyPath(t *testing.T) {
	f := newPage(t, httpbalancer.Options{Backends: pageBackends(3)}, nil)
	mux := http.NewServeMux()
	mux.Handle("/debug/lb", f.page)
	mux.Handle("/debug/lb/", http.StripPrefix("/debug/lb", f.page))
	for _, path := range []string{"/debug/lb", "/debug/lb/", "/debug/lb/more"} {
		body := askPage(mux, http.MethodGet, path+"?key=a%26b&refresh=7").Body.String()
		require.Equal(t, 2, strings.Count(body, `<form method="get" action="?">`))
		require.Equal(t, 2, strings.Count(body, `<input type="hidden" name="refresh" value="7">`))
		require.Contains(t, body, `<meta http-equiv="refresh" content="7">`)
		require.Contains(t, body, `<a href="?format=json&amp;key=a%26b">`)
		require.Contains(t, body, `<a href="?key=a%26b">Stop refreshing every 7 s</a>`)
		require.Contains(t, body, ` value="a&amp;b"`)
	}
	require.NotContains(t, f.get("/").Body.String(), "http-equiv")
	require.Contains(t, f.text("/?key="), "Key (empty) has hash 0xef46db3751d8e999")
}
