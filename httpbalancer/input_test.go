package httpbalancer_test

import (
	"context"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/httpbalancer"
	"github.com/maglev-lb/maglev/retry"
)

func TestBackendThatIsNotUsableIsRefusedAndTheSetStays(t *testing.T) {
	b := newTransport(t, httpbalancer.Options{Backends: named("a", "b"), Wrap: anyAnswer})
	for _, c := range []struct {
		backend httpbalancer.Backend
		want    string // a part of the error
	}{
		{httpbalancer.Backend{}, `URL ""`},
		{httpbalancer.Backend{URL: "10.0.0.1"}, "scheme"},
		{httpbalancer.Backend{URL: "10.0.0.1:80"}, ""},
		{httpbalancer.Backend{URL: "localhost:80"}, "scheme"},
		{httpbalancer.Backend{URL: "ftp://10.0.0.1"}, "http or https"},
		{httpbalancer.Backend{URL: "unix:///run/socket"}, "http or https"},
		{httpbalancer.Backend{URL: "http://"}, "must have a host"},
		{httpbalancer.Backend{URL: "http:///path"}, "must have a host"},
		{httpbalancer.Backend{URL: "http://:80"}, "must have a host"},
		{httpbalancer.Backend{URL: "http:10.0.0.1"}, "must have a host"},
		{httpbalancer.Backend{URL: "http://10.0.0.1/api"}, "path"},
		{httpbalancer.Backend{URL: "http://10.0.0.1/?q"}, "query"},
		{httpbalancer.Backend{URL: "http://10.0.0.1?"}, "query"},
		{httpbalancer.Backend{URL: "http://10.0.0.1#f"}, "fragment"},
		{httpbalancer.Backend{URL: "http://10.0.0.1#"}, "fragment"},
		{httpbalancer.Backend{URL: "http://me:secret@10.0.0.1"}, "user"},
		{httpbalancer.Backend{URL: "http://10.0.0.1:"}, "port"},
		{httpbalancer.Backend{URL: "http://10.0.0.1:0"}, "from 1 to 65535"},
		{httpbalancer.Backend{URL: "http://10.0.0.1:65536"}, "from 1 to 65535"},
		{httpbalancer.Backend{URL: "http://10.0.0.1:http"}, "port"},
		{httpbalancer.Backend{URL: "http://2001:db8::1"}, ""},
		{httpbalancer.Backend{URL: "http://2001:db8::1:80"}, ""},
		{httpbalancer.Backend{URL: "http://[2001:db8::1"}, ""},
		{httpbalancer.Backend{URL: "http://a b"}, ""},
		{httpbalancer.Backend{URL: "http://10.0.0.1\n"}, ""},
		{httpbalancer.Backend{URL: "http://c", Weight: -1}, "Weight -1"},
	} {
		err := b.Update(append(named("a"), c.backend))
		require.ErrorIs(t, err, httpbalancer.ErrBackend, "%+v", c.backend)
		require.Regexp(t, `^httpbalancer: backends\[1\]\.(URL|Weight) `, err.Error())
		require.ErrorContains(t, err, c.want)
		require.NotContains(t, err.Error(), "secret")
		require.Equal(t, []string{"a", "b"}, names(b))
		_, err = httpbalancer.New(httpbalancer.Options{Backends: []httpbalancer.Backend{c.backend}})
		require.ErrorIs(t, err, httpbalancer.ErrBackend)
	}
	err := b.Update(named("c", "d", "c"))
	require.ErrorIs(t, err, httpbalancer.ErrBackend)
	require.EqualError(t, err, `httpbalancer: backends[0] and [2]: backend not usable: both are named "c"; give one of them another Name`)
	require.Equal(t, []string{"a", "b"}, names(b))
	for _, same := range [][]httpbalancer.Backend{
		{{URL: "http://x"}, {URL: "http://X:80/"}},
		{{URL: "http://10.0.0.1:443"}, {URL: "https://10.0.0.1"}},
	} {
		require.ErrorIs(t, b.Update(same), httpbalancer.ErrBackend)
	}
	if weight := int64(math.MaxUint32) + 1; int64(int(weight)) == weight { // ints of 64 bits
		require.ErrorContains(t, b.Update([]httpbalancer.Backend{{URL: "http://c", Weight: int(weight)}}), "Weight 4294967296: ")
	}
	get(t, b, "key")
}

func TestNameIsTheAddressAsEnvoyWritesIt(t *testing.T) {
	for url, want := range map[string]string{
		"http://10.0.0.1":                   "10.0.0.1:80",
		"https://10.0.0.1":                  "10.0.0.1:443",
		"HTTP://Host.Example:080/":          "host.example:80",
		"http://[2001:0DB8:0:0::1]:8080":    "[2001:db8::1]:8080",
		"https://[::1]":                     "[::1]:443",
		"http://[::1.2.3.4]":                "[::1.2.3.4]:80",
		"http://[::ffff:10.0.0.1]":          "[::ffff:10.0.0.1]:80",
		"http://[fe80::1%25eth0]:8080":      "[fe80::1%eth0]:8080",
		"http://service.default.svc.local.": "service.default.svc.local.:80",
	} {
		b := newTransport(t, httpbalancer.Options{Backends: []httpbalancer.Backend{{URL: url}}})
		require.Equal(t, []string{want}, names(b))
	}
}

func TestOptionsOutOfRangeAreRefused(t *testing.T) {
	for _, c := range []struct {
		opts httpbalancer.Options
		is   error
		want string // after "httpbalancer: "
	}{
		{httpbalancer.Options{NoKey: 2}, httpbalancer.ErrOption, "Options.NoKey 2: "},
		{httpbalancer.Options{NoOutlier: true, Outlier: new(health.Outlier)}, httpbalancer.ErrOption, "Options.NoOutlier true: "},
		{httpbalancer.Options{Balancer: maglev.BalancerOptions{BalanceFactor: 99}}, maglev.ErrOption, "Options.Balancer: maglev: BalancerOptions.BalanceFactor 99: "},
		{httpbalancer.Options{Balancer: maglev.BalancerOptions{PanicThreshold: new(101)}}, maglev.ErrOption, "Options.Balancer: maglev: BalancerOptions.PanicThreshold 101: "},
		{httpbalancer.Options{Retry: httpbalancer.Retry{PerTryTimeout: -1}}, httpbalancer.ErrOption, "Options.Retry.PerTryTimeout -1ns: "},
		{httpbalancer.Options{Retry: httpbalancer.Retry{MaxRetryAfter: -1}}, httpbalancer.ErrOption, "Options.Retry.MaxRetryAfter -1ns: "},
		{httpbalancer.Options{Retry: httpbalancer.Retry{Statuses: []int{503, 42}}}, httpbalancer.ErrOption, "Options.Retry.Statuses[1] 42: "},
		{httpbalancer.Options{Retry: httpbalancer.Retry{Backoff: retry.Backoff{Base: -1}}}, retry.ErrOption, "Options.Retry: retry: Backoff.Base -1ns: "},
		{httpbalancer.Options{Retry: httpbalancer.Retry{Budget: httpbalancer.Budget{Percent: 101}}}, retry.ErrOption, "Options.Retry: retry: Budget.Percent 101: "},
		{httpbalancer.Options{Check: &httpbalancer.Check{Path: "health"}}, httpbalancer.ErrOption, `Options.Check.Path "health": `},
		{httpbalancer.Options{Check: &httpbalancer.Check{Path: "/a b\x00"}}, httpbalancer.ErrOption, `Options.Check.Path "/a b\x00": `},
		{httpbalancer.Options{Check: &httpbalancer.Check{Path: "/a#b"}}, httpbalancer.ErrOption, `Options.Check.Path "/a#b": `},
		{httpbalancer.Options{Check: &httpbalancer.Check{Check: health.Check{Interval: -1}}}, health.ErrOption, "Options: health: Check.Interval -1ns: "},
		{httpbalancer.Options{Outlier: &health.Outlier{Consecutive5xx: -2}}, health.ErrOption, "Options: health: Outlier.Consecutive5xx -2: "},
		{httpbalancer.Options{Outlier: &health.Outlier{MaxEjectedPercent: 101}}, health.ErrOption, "Options: health: Outlier.MaxEjectedPercent 101: "},
		{httpbalancer.Options{Balancer: maglev.BalancerOptions{Table: maglev.Options{TableSize: 65536}}}, maglev.ErrTableSize, "Options.Balancer: maglev: "},
		{httpbalancer.Options{Hash: hashpolicy.List{{}}}, hashpolicy.ErrPolicy, "Options.Hash: hashpolicy: "},
		{httpbalancer.Options{Hash: hashpolicy.List{hashpolicy.Header("a b")}}, hashpolicy.ErrPolicy, "Options.Hash: hashpolicy: "},
		{httpbalancer.Options{Discover: httpbalancer.DiscoverFunc(nil)}, httpbalancer.ErrOption, "Options.Discover DiscoverFunc(nil): "},
		{httpbalancer.Options{Discover: (*httpbalancer.DNS)(nil)}, httpbalancer.ErrOption, "Options.Discover (*DNS)(nil): "},
		{httpbalancer.Options{Discover: httpbalancer.DNS{}}, httpbalancer.ErrBackend, `DNS.URL "": `},
		{httpbalancer.Options{Discover: httpbalancer.DNS{URL: "http://a/b"}}, httpbalancer.ErrBackend, `DNS.URL "http://a/b": `},
		{httpbalancer.Options{Discover: httpbalancer.DNS{URL: "http://a", Interval: -1}}, httpbalancer.ErrOption, "DNS.Interval -1ns: "},
		{httpbalancer.Options{Discover: httpbalancer.DNS{URL: "http://a", Timeout: -time.Second}}, httpbalancer.ErrOption, "DNS.Timeout -1s: "},
		{httpbalancer.Options{Discover: httpbalancer.DNS{URL: "http://a", Network: "tcp"}}, httpbalancer.ErrOption, `DNS.Network "tcp": `},
		{httpbalancer.Options{Backends: named("a"), Wrap: func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper { return nil }}, httpbalancer.ErrOption, `Options.Wrap: `},
	} {
		_, err := httpbalancer.New(c.opts)
		require.ErrorIs(t, err, c.is, c.want)
		require.True(t, strings.HasPrefix(err.Error(), "httpbalancer: "+c.want), err.Error())
	}
}

// New and Update keep nothing that their caller may change.
func TestOptionsAreCopied(t *testing.T) {
	opts := httpbalancer.Options{
		Backends:  named("a", "b"),
		Hash:      hashpolicy.List{hashpolicy.Header("X-User")},
		Retry:     httpbalancer.Retry{Statuses: []int{503}},
		Transport: &http.Transport{},
		Wrap:      anyAnswer,
	}
	b := newTransport(t, opts)
	opts.Backends[0], opts.Hash[0], opts.Retry.Statuses[0] = httpbalancer.Backend{}, hashpolicy.Policy{}, 200
	require.Zero(t, opts.Transport.MaxIdleConnsPerHost)
	get(t, b, "key")
	require.Zero(t, b.Stats().Retries)
	require.Equal(t, []string{"a", "b"}, names(b))
}

func TestUseAfterClose(t *testing.T) {
	b := newTransport(t, httpbalancer.Options{Backends: named("a"), Wrap: anyAnswer})
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	_, err := b.RoundTrip(request(t, "GET", "key", nil))
	require.EqualError(t, err, "httpbalancer: RoundTrip: transport is closed")
	require.ErrorIs(t, err, httpbalancer.ErrClosed)
	err = b.Update(named("b"))
	require.EqualError(t, err, "httpbalancer: Update: transport is closed")
	require.ErrorIs(t, err, httpbalancer.ErrClosed)
	b.CloseIdleConnections()
	require.Equal(t, []string{"a"}, names(b))
}

func TestZeroTransportRefusesEverything(t *testing.T) {
	var b httpbalancer.Transport
	_, err := b.RoundTrip(request(t, "GET", "key", nil))
	require.ErrorIs(t, err, httpbalancer.ErrClosed)
	require.ErrorIs(t, b.Update(named("a")), httpbalancer.ErrClosed)
	b.CloseIdleConnections()
	require.NoError(t, b.Close())
	require.Zero(t, b.Stats())
}

func TestRequestThatIsNotUsable(t *testing.T) {
	b := newTransport(t, httpbalancer.Options{Backends: named("a"), Wrap: anyAnswer})
	for _, req := range []*http.Request{nil, {}, {Header: http.Header{}}} {
		_, err := b.RoundTrip(req)
		require.ErrorIs(t, err, httpbalancer.ErrRequest)
		require.Regexp(t, "^httpbalancer: RoundTrip: ", err.Error())
	}
	require.Zero(t, httpbalancer.Resend(context.Background()))
}

func TestRoundTripperOfWrapThatReturnsNothingIsAnError(t *testing.T) {
	b := newTransport(t, httpbalancer.Options{Backends: named("a"), Wrap: fake(func(string, *http.Request) (*http.Response, error) { return nil, nil })})
	resp, err := b.RoundTrip(request(t, "GET", "key", nil))
	require.Nil(t, resp)
	require.EqualError(t, err, "httpbalancer: a: the RoundTripper of Options.Wrap has returned neither response nor error")
	require.Zero(t, of(b, "a").Health.ConsecutiveLocal)
}

func TestEmptySetIsNoBackend(t *testing.T) {
	b := newTransport(t, httpbalancer.Options{Balancer: maglev.BalancerOptions{PanicThreshold: new(0)}, Wrap: anyAnswer})
	for _, set := range [][]httpbalancer.Backend{nil, {}} {
		require.NoError(t, b.Update(set))
		_, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.ErrorIs(t, err, httpbalancer.ErrNoBackend)
	}
	require.EqualValues(t, 2, b.Stats().NoBackend)
	require.NoError(t, b.Update(named("a")))
	get(t, b, "key")
}
