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
)

// requireError checks that an error begins as all do, can be matched, and names
// what is wrong.
func requireError(t *testing.T, err, is error, says ...string) {
	t.Helper()
	require.ErrorIs(t, err, is)
	require.True(t, strings.HasPrefix(err.Error(), "httpbalancer: "), "%v", err)
	for _, s := range says {
		require.ErrorContains(t, err, s)
	}
}

func TestBackendThatIsNotUsableIsAnErrorAndTheSetStays(t *testing.T) {
	good := []httpbalancer.Backend{{URL: "http://10.0.0.1:8080"}}
	b := newTransport(t, httpbalancer.Options{Backends: good})
	for _, c := range []struct {
		name     string
		backends []httpbalancer.Backend
		says     []string
	}{
		{"no URL", []httpbalancer.Backend{{}}, []string{"backends[0].URL", `""`, "http or https"}},
		{"no scheme", []httpbalancer.Backend{{URL: "10.0.0.1:8080"}}, []string{"backends[0].URL", `"10.0.0.1:8080"`}},
		{"another scheme", []httpbalancer.Backend{{URL: "ftp://10.0.0.1"}}, []string{"ftp://10.0.0.1", "http or https"}},
		{"no host", []httpbalancer.Backend{{URL: "http://"}}, []string{"must have a host"}},
		{"only a port", []httpbalancer.Backend{{URL: "http://:8080"}}, []string{"must have a host"}},
		{"a path", []httpbalancer.Backend{{URL: "http://10.0.0.1/api"}}, []string{"path", "a request keeps its own"}},
		{"a query", []httpbalancer.Backend{{URL: "http://10.0.0.1/?a=b"}}, []string{"query"}},
		{"a fragment", []httpbalancer.Backend{{URL: "http://10.0.0.1/#a"}}, []string{"fragment"}},
		{"a user", []httpbalancer.Backend{{URL: "http://me:secret@10.0.0.1/"}}, []string{"user"}},
		{"port 0", []httpbalancer.Backend{{URL: "http://10.0.0.1:0"}}, []string{"port", "65535"}},
		{"port 65536", []httpbalancer.Backend{{URL: "http://10.0.0.1:65536"}}, []string{"port", "65535"}},
		{"an empty port", []httpbalancer.Backend{{URL: "http://10.0.0.1:"}}, []string{"port"}},
		{"IPv6 without brackets", []httpbalancer.Backend{{URL: "http://fd00::1:8080"}}, []string{"fd00::1:8080"}},
		{"a control character", []httpbalancer.Backend{{URL: "http://10.0.0.1\n"}}, []string{"backends[0].URL"}},
		{"a negative weight", []httpbalancer.Backend{{URL: "http://10.0.0.1"}, {URL: "http://10.0.0.2", Weight: -1}},
			[]string{"backends[1].Weight -1", "4294967295"}},
		{"the same URL twice", []httpbalancer.Backend{{URL: "http://10.0.0.1"}, {URL: "http://10.0.0.1:80/"}},
			[]string{"backends[0]", "[1]", `"10.0.0.1:80"`}},
		{"two schemes of one address", []httpbalancer.Backend{{URL: "http://10.0.0.1:443"}, {URL: "https://10.0.0.1"}},
			[]string{`"10.0.0.1:443"`, "Name"}},
		{"the same Name twice", []httpbalancer.Backend{{URL: "http://10.0.0.1", Name: "a"}, {URL: "http://10.0.0.2", Name: "a"}},
			[]string{`"a"`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := b.Update(c.backends)
			requireError(t, err, httpbalancer.ErrBackend, c.says...)
			require.NotContains(t, err.Error(), "secret")
			stats := b.Stats()
			require.Len(t, stats.Backends, 1)
			require.Equal(t, "10.0.0.1:8080", stats.Backends[0].Name)
			_, err = httpbalancer.New(httpbalancer.Options{Backends: c.backends})
			requireError(t, err, httpbalancer.ErrBackend, c.says...)
		})
	}
	if weight := int64(math.MaxUint32) + 1; int64(int(weight)) == weight { // ints of 64 bits
		requireError(t, b.Update([]httpbalancer.Backend{{URL: "http://10.0.0.1", Weight: int(weight)}}), httpbalancer.ErrBackend, "Weight 4294967296")
	}
}

func TestNameIsEnvoysTextOfTheAddress(t *testing.T) {
	for url, name := range map[string]string{
		"http://10.0.0.1":            "10.0.0.1:80",
		"https://10.0.0.1/":          "10.0.0.1:443",
		"http://10.0.0.1:08080":      "10.0.0.1:8080",
		"HTTP://Cache.Internal:8080": "cache.internal:8080",
		"http://[2001:DB8:0:0::1]":   "[2001:db8::1]:80",
		"http://[::1.2.3.4]":         "[::1.2.3.4]:80",
		"http://[::ffff:1.2.3.4]":    "[::ffff:1.2.3.4]:80",
		"http://[::1]:81":            "[::1]:81",
	} {
		b := newTransport(t, httpbalancer.Options{Backends: []httpbalancer.Backend{{URL: url}}})
		require.Equal(t, name, b.Stats().Backends[0].Name, url)
	}
}

func TestOptionOutOfRangeIsAnError(t *testing.T) {
	for _, c := range []struct {
		opts httpbalancer.Options
		is   error
		says []string
	}{
		{httpbalancer.Options{NoKey: 2}, httpbalancer.ErrOption, []string{"Options.NoKey 2", "Random (0) or Refuse (1)"}},
		{httpbalancer.Options{NoOutlier: true, Outlier: new(health.Outlier)}, httpbalancer.ErrOption, []string{"Options.NoOutlier"}},
		{httpbalancer.Options{Retry: httpbalancer.Retry{PerTryTimeout: -1}}, httpbalancer.ErrOption, []string{"Retry.PerTryTimeout -1ns"}},
		{httpbalancer.Options{Retry: httpbalancer.Retry{MaxRetryAfter: -time.Second}}, httpbalancer.ErrOption, []string{"Retry.MaxRetryAfter -1s"}},
		{httpbalancer.Options{Retry: httpbalancer.Retry{Statuses: []int{503, 42}}}, httpbalancer.ErrOption, []string{"Retry.Statuses[1] 42"}},
		{httpbalancer.Options{Retry: httpbalancer.Retry{Budget: httpbalancer.Budget{Percent: 101}}}, nil, []string{"Options.Retry", "Percent 101", "100"}},
		{httpbalancer.Options{Check: &httpbalancer.Check{Path: "health"}}, httpbalancer.ErrOption, []string{`Check.Path "health"`}},
		{httpbalancer.Options{Check: &httpbalancer.Check{Check: health.Check{Interval: -time.Second}}}, health.ErrOption, []string{"Interval -1s"}},
		{httpbalancer.Options{Outlier: &health.Outlier{MaxEjectedPercent: 101}}, health.ErrOption, []string{"MaxEjectedPercent 101"}},
		{httpbalancer.Options{Balancer: maglev.BalancerOptions{BalanceFactor: 99}}, maglev.ErrOption, []string{"BalanceFactor 99", "100 or more"}},
		{httpbalancer.Options{Balancer: maglev.BalancerOptions{PanicThreshold: new(101)}}, maglev.ErrOption, []string{"PanicThreshold 101", "0 (never) to 100"}},
		{httpbalancer.Options{Balancer: maglev.BalancerOptions{Table: maglev.Options{TableSize: 65536}}}, maglev.ErrTableSize, []string{"65536", "65537"}},
		{httpbalancer.Options{Hash: hashpolicy.List{{}}}, hashpolicy.ErrPolicy, []string{"Options.Hash"}},
		{httpbalancer.Options{Hash: hashpolicy.List{hashpolicy.Header("a b")}}, hashpolicy.ErrPolicy, []string{`"a b"`}},
		{httpbalancer.Options{Discover: httpbalancer.DNS{URL: "http://a/b"}}, httpbalancer.ErrBackend, []string{"DNS.URL", "path"}},
		{httpbalancer.Options{Discover: httpbalancer.DNS{URL: "http://a", Interval: -1}}, httpbalancer.ErrOption, []string{"DNS.Interval -1ns"}},
		{httpbalancer.Options{Discover: httpbalancer.DNS{URL: "http://a", Network: "tcp"}}, httpbalancer.ErrOption, []string{`DNS.Network "tcp"`}},
	} {
		b, err := httpbalancer.New(c.opts)
		require.Nil(t, b)
		require.Error(t, err)
		if c.is == nil {
			c.is = err
		}
		requireError(t, err, c.is, c.says...)
	}
}

func TestWrapThatReturnsNilIsAnError(t *testing.T) {
	opts := httpbalancer.Options{
		Backends: []httpbalancer.Backend{{URL: "http://10.0.0.1"}},
		Wrap:     func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper { return nil },
	}
	_, err := httpbalancer.New(opts)
	requireError(t, err, httpbalancer.ErrOption, "Options.Wrap", "10.0.0.1:80")
}

func TestRoundTripperOfWrapThatReturnsNothingIsAnError(t *testing.T) {
	b := newTransport(t, httpbalancer.Options{
		Backends: []httpbalancer.Backend{{URL: "http://10.0.0.1"}},
		Wrap: func(httpbalancer.Backend, http.RoundTripper) http.RoundTripper {
			return roundTripFunc(func(*http.Request) (*http.Response, error) { return nil, nil })
		},
	})
	req, err := http.NewRequest(http.MethodGet, "http://a/", nil)
	require.NoError(t, err)
	resp, err := b.RoundTrip(req)
	require.Nil(t, resp)
	require.ErrorContains(t, err, "neither")
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestUseAfterCloseIsAnErrorThatCanBeMatched(t *testing.T) {
	b, err := httpbalancer.New(httpbalancer.Options{Backends: []httpbalancer.Backend{{URL: "http://10.0.0.1"}}})
	require.NoError(t, err)
	require.NoError(t, b.Close())
	require.NoError(t, b.Close(), "once more")
	requireError(t, b.Update(nil), httpbalancer.ErrClosed)
	_, err = (&http.Client{Transport: b}).Get("http://a/")
	require.ErrorIs(t, err, httpbalancer.ErrClosed)
	b.CloseIdleConnections()
	require.Len(t, b.Stats().Backends, 1)
}

func TestZeroTransportRefuses(t *testing.T) {
	var b httpbalancer.Transport
	_, err := (&http.Client{Transport: &b}).Get("http://a/")
	require.ErrorIs(t, err, httpbalancer.ErrClosed)
	require.ErrorIs(t, b.Update(nil), httpbalancer.ErrClosed)
	require.NoError(t, b.Close())
	b.CloseIdleConnections()
	require.Empty(t, b.Stats().Backends)
}

func TestRequestThatIsNoneIsAnError(t *testing.T) {
	b := newTransport(t, httpbalancer.Options{Backends: []httpbalancer.Backend{{URL: "http://10.0.0.1"}}})
	for name, req := range map[string]*http.Request{
		"nil":       nil,
		"no URL":    {Header: http.Header{}},
		"no header": new(http.Request).WithContext(context.Background()),
	} {
		resp, err := b.RoundTrip(req)
		require.Nil(t, resp, name)
		requireError(t, err, httpbalancer.ErrRequest)
	}
}

func TestEmptySetIsASet(t *testing.T) {
	b := newTransport(t, httpbalancer.Options{Backends: []httpbalancer.Backend{{URL: "http://10.0.0.1"}}})
	require.NoError(t, b.Update(nil))
	_, err := (&http.Client{Transport: b}).Get("http://a/")
	require.ErrorIs(t, err, httpbalancer.ErrNoBackend)
	require.EqualValues(t, 1, b.Stats().NoBackend)
}
