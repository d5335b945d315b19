package httpbalancer_test

import (
	"bytes"
	"context"
	"errors"
	stdlog "log"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/httpbalancer"
)

// anyAnswer is an Options.Wrap of backends that all answer.
var anyAnswer = fake(func(string, *http.Request) (*http.Response, error) { return answer(200), nil })

func names(b *httpbalancer.Transport) (all []string) {
	for _, s := range b.Stats().Backends {
		all = append(all, s.Name)
	}
	return all
}

func TestFirstRequestsWaitForDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTransport(t, httpbalancer.Options{Wrap: anyAnswer, Discover: httpbalancer.DiscoverFunc(
			func(_ context.Context, update func([]httpbalancer.Backend) error) error {
				time.Sleep(time.Minute)
				return update(named("a"))
			})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := b.RoundTrip(request(t, "GET", "key", nil).WithContext(ctx))
		require.ErrorIs(t, err, httpbalancer.ErrNoBackend)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		begin := time.Now()
		_, err = b.RoundTrip(request(t, "GET", "key", nil))
		require.NoError(t, err)
		require.Equal(t, time.Minute-time.Second, time.Since(begin))
	})
}

func TestRequestsDoNotWaitWhileThereAreBackends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTransport(t, httpbalancer.Options{Backends: named("a"), Wrap: anyAnswer, Discover: httpbalancer.DiscoverFunc(
			func(ctx context.Context, _ func([]httpbalancer.Backend) error) error { <-ctx.Done(); return ctx.Err() })})
		begin := time.Now()
		get(t, b, "key")
		require.Zero(t, time.Since(begin))
	})
}

func TestCloseEndsDiscoveryAndWaitingRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := false
		b := newTransport(t, httpbalancer.Options{Discover: httpbalancer.DiscoverFunc(
			func(ctx context.Context, _ func([]httpbalancer.Backend) error) error {
				<-ctx.Done()
				ended = true
				return ctx.Err()
			})})
		time.AfterFunc(time.Second, func() { _ = b.Close() })
		_, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.ErrorIs(t, err, httpbalancer.ErrClosed)
		synctest.Wait()
		require.True(t, ended)
	})
}

// It is called again after 1 s, and then after ever longer pauses up to 30 s, each
// up to a quarter longer; a set that is taken brings it back to 1 s. Requests fail
// as long as there is none, and say why.
func TestBrokenDiscoveryIsBegunAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		var calls []time.Time
		var logged bytes.Buffer
		b := newTransport(t, httpbalancer.Options{
			Wrap:     anyAnswer,
			ErrorLog: stdlog.New(&logged, "", 0),
			Discover: httpbalancer.DiscoverFunc(func(_ context.Context, update func([]httpbalancer.Backend) error) error {
				calls = append(calls, time.Now())
				if len(calls) == 8 {
					if err := update(named("a")); err != nil {
						return err
					}
				}
				return broken
			}),
		})
		_, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.ErrorIs(t, err, httpbalancer.ErrNoBackend)
		require.ErrorIs(t, err, broken)
		require.ErrorIs(t, b.Stats().DiscoveryErr, broken)
		time.Sleep(200 * time.Second)
		synctest.Wait()
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 1, 2, 4} {
			pause := calls[i+1].Sub(calls[i])
			require.GreaterOrEqual(t, pause, want*time.Second, i)
			require.Less(t, pause, want*time.Second*5/4, i)
		}
		get(t, b, "key") // the set stays
		require.Equal(t, []string{"a"}, names(b))
		require.Equal(t, 2, strings.Count(logged.String(), "httpbalancer: discovery: broken\n"), logged.String())
	})
}

func TestBrokenDiscoveryNeverEmptiesTheSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs []error
		b := newTransport(t, httpbalancer.Options{Wrap: anyAnswer, Discover: httpbalancer.DiscoverFunc(
			func(ctx context.Context, update func([]httpbalancer.Backend) error) error {
				for _, set := range [][]httpbalancer.Backend{named("a", "b"), nil, {}, named("a", "a"), {{URL: "nonsense"}}} {
					errs = append(errs, update(set))
				}
				return nil
			})})
		synctest.Wait()
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], httpbalancer.ErrNoBackend)
		require.ErrorIs(t, errs[2], httpbalancer.ErrNoBackend)
		require.ErrorIs(t, errs[3], httpbalancer.ErrBackend)
		require.ErrorIs(t, errs[4], httpbalancer.ErrBackend)
		require.Equal(t, []string{"a", "b"}, names(b))
		require.Equal(t, errs[4], b.Stats().DiscoveryErr)
	})
}

func TestDiscoveryThatEndsWithoutASetLetsRequestsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTransport(t, httpbalancer.Options{Discover: httpbalancer.DiscoverFunc(
			func(context.Context, func([]httpbalancer.Backend) error) error { return nil })})
		_, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.ErrorIs(t, err, httpbalancer.ErrNoBackend)
	})
}

// A resolver answers, one after another, what it is given; the last forever.
type resolver struct {
	answers [][]string // nil is an error

	mu      sync.Mutex
	times   []time.Time
	network string
	host    string
}

// calls returns when it was asked.
func (r *resolver) calls() []time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.times)
}

// last returns what it was asked for.
func (r *resolver) last() (network, host string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.network, r.host
}

var errDNS = errors.New("no such host")

func (r *resolver) LookupNetIP(_ context.Context, network, host string) (addrs []netip.Addr, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.network, r.host = network, host
	r.times = append(r.times, time.Now())
	of := r.answers[min(len(r.times), len(r.answers))-1]
	if of == nil {
		return nil, errDNS
	}
	for _, a := range of {
		addrs = append(addrs, netip.MustParseAddr(a))
	}
	return addrs, nil
}

func TestDNSIsAskedAtAnIntervalWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &resolver{answers: [][]string{
			{"10.0.0.2", "10.0.0.1", "::ffff:10.0.0.1"}, // sorted, and each once
			{"10.0.0.2", "10.0.0.1"},
			{"10.0.0.3", "2001:db8::1"},
		}}
		b := newTransport(t, httpbalancer.Options{Wrap: anyAnswer, Discover: httpbalancer.DNS{URL: "http://service.example:8080", Resolver: r}})
		get(t, b, "key")
		require.Equal(t, []string{"10.0.0.1:8080", "10.0.0.2:8080"}, names(b))
		synctest.Wait()
		network, host := r.last()
		require.Equal(t, "ip service.example", network+" "+host)
		built := b.Stats().Tables
		time.Sleep(35 * time.Second)
		synctest.Wait()
		require.Len(t, r.calls(), 2)
		require.Equal(t, built, b.Stats().Tables, "the same set")
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Equal(t, []string{"10.0.0.3:8080", "[2001:db8::1]:8080"}, names(b))
		pauses := make(map[time.Duration]bool)
		calls := r.calls()
		for i := range calls[1:] {
			pause := calls[i+1].Sub(calls[i])
			require.GreaterOrEqual(t, pause, 30*time.Second)
			require.LessOrEqual(t, pause, 33*time.Second)
			pauses[pause] = true
		}
		require.Greater(t, len(pauses), 1)
		require.NoError(t, b.Close())
		synctest.Wait()
		calls = r.calls()
		time.Sleep(time.Hour)
		require.Equal(t, calls, r.calls())
	})
}

func TestDNSKeepsTheLastSetOnErrorsAndEmptyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &resolver{answers: [][]string{{"10.0.0.1"}, nil, {}, nil, {"10.0.0.2"}}}
		b := newTransport(t, httpbalancer.Options{Wrap: anyAnswer, Discover: &httpbalancer.DNS{
			URL: "http://service.example", Interval: 10 * time.Second, Network: "ip4", Resolver: r}})
		get(t, b, "key")
		synctest.Wait()
		network, _ := r.last()
		require.Equal(t, "ip4", network)
		for i, want := range []error{errDNS, httpbalancer.ErrNoBackend, errDNS} {
			for len(r.calls()) < i+2 {
				time.Sleep(100 * time.Millisecond)
			}
			synctest.Wait()
			require.ErrorIs(t, b.Stats().DiscoveryErr, want)
			require.Equal(t, []string{"10.0.0.1:80"}, names(b))
			get(t, b, "key")
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.NoError(t, b.Stats().DiscoveryErr)
		require.Equal(t, []string{"10.0.0.2:80"}, names(b))
	})
}

func TestDNSGivesTheHostAsServerName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []httpbalancer.Backend
		b := newTransport(t, httpbalancer.Options{
			Discover: httpbalancer.DNS{URL: "https://service.example", Resolver: &resolver{answers: [][]string{{"10.0.0.1", "2001:db8::1", "fe80::1%eth0"}}}},
			Wrap: func(b httpbalancer.Backend, next http.RoundTripper) http.RoundTripper {
				seen = append(seen, b)
				return next
			},
		})
		synctest.Wait()
		require.NoError(t, b.Stats().DiscoveryErr)
		require.Equal(t, []string{"10.0.0.1:443", "[2001:db8::1]:443", "[fe80::1%eth0]:443"}, names(b))
		require.Equal(t, []httpbalancer.Backend{
			{URL: "https://10.0.0.1", ServerName: "service.example"},
			{URL: "https://[2001:db8::1]", ServerName: "service.example"},
			{URL: "https://[fe80::1%25eth0]", ServerName: "service.example"},
		}, seen)
	})
}

// A Discoverer that ends as it should not is called again; what it has found stays.
func TestDiscovererThatPanicsOrEndsItsGoroutine(t *testing.T) {
	for name, end := range map[string]func(){
		"panicked: at a loss": func() { panic("at a loss") },
		"ended its goroutine": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls atomic.Int64
				b := newTransport(t, httpbalancer.Options{
					Discover: httpbalancer.DiscoverFunc(func(_ context.Context, update func([]httpbalancer.Backend) error) error {
						if calls.Add(1) > 1 {
							if err := update(named("a")); err != nil {
								return err
							}
						}
						end()
						return nil
					}),
					Wrap: fake(func(string, *http.Request) (*http.Response, error) { return answer(http.StatusOK), nil }),
				})
				_, err := b.RoundTrip(request(t, "GET", "key", nil)) // it does not wait for ever
				require.ErrorIs(t, err, httpbalancer.ErrNoBackend)
				require.ErrorContains(t, err, "httpbalancer: discovery: the Discoverer "+name)
				time.Sleep(time.Minute)
				require.Greater(t, calls.Load(), int64(2))
				_, status := get(t, b, "key")
				require.Equal(t, http.StatusOK, status)
				require.NoError(t, b.Close())
			})
		})
	}
}

// Who waits for the first set can give up, and is told that it was a matter of time.
func TestWaitingForDiscoveryEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTransport(t, httpbalancer.Options{
			Discover: httpbalancer.DiscoverFunc(func(ctx context.Context, _ func([]httpbalancer.Backend) error) error {
				<-ctx.Done()
				return ctx.Err()
			}),
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req := request(t, "GET", "key", nil)
		_, err := (&http.Client{Transport: b}).Do(req.WithContext(ctx))
		var failed *url.Error
		require.ErrorAs(t, err, &failed)
		require.True(t, failed.Timeout())

		gone := make(chan struct{})
		close(gone)
		//lint:ignore SA1019 who sets it means it
		req.Cancel = gone
		_, err = b.RoundTrip(req)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, b.Close())
	})
}
