package httpbalancer_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/httpbalancer"
	"github.com/maglev-lb/maglev/retry"
)

// How long the wait before the one retry is, with a deadline or without.
func TestWaitBeforeARetry(t *testing.T) {
	for name, c := range map[string]struct {
		retryAfter func() string
		longest    time.Duration
		deadline   time.Duration
		least      time.Duration // of the wait
		most       time.Duration
		retried    bool
	}{
		"back-off":              {most: 25 * time.Millisecond, retried: true},
		"seconds":               {retryAfter: func() string { return "3" }, longest: 5 * time.Second, least: 3 * time.Second, most: 3 * time.Second, retried: true},
		"date":                  {retryAfter: func() string { return time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat) }, longest: 5 * time.Second, least: 3 * time.Second, most: 3 * time.Second, retried: true},
		"more than the default": {retryAfter: func() string { return "3600" }, least: time.Second, most: time.Second, retried: true},
		"more than the cap":     {retryAfter: func() string { return "3600" }, longest: 5 * time.Second, least: 5 * time.Second, most: 5 * time.Second, retried: true},
		"nonsense":              {retryAfter: func() string { return "soon" }, most: 25 * time.Millisecond, retried: true},
		"deadline too near":     {retryAfter: func() string { return "3" }, longest: 5 * time.Second, deadline: 2 * time.Second},
		"deadline far enough":   {retryAfter: func() string { return "3" }, longest: 5 * time.Second, deadline: 4 * time.Second, least: 3 * time.Second, most: 3 * time.Second, retried: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first := true
				b := newTransport(t, httpbalancer.Options{
					Backends: named("a", "b"),
					Retry:    httpbalancer.Retry{MaxRetryAfter: c.longest},
					Wrap: fake(func(string, *http.Request) (*http.Response, error) {
						if !first {
							return answer(200), nil
						}
						first = false
						resp := answer(503)
						resp.Body = io.NopCloser(strings.NewReader("busy"))
						if c.retryAfter != nil {
							resp.Header.Set("Retry-After", c.retryAfter())
						}
						return resp, nil
					}),
				})
				req := request(t, "GET", "key", nil)
				if c.deadline > 0 {
					ctx, cancel := context.WithTimeout(req.Context(), c.deadline)
					defer cancel()
					req = req.WithContext(ctx)
				}
				begin := time.Now()
				resp, err := b.RoundTrip(req)
				took := time.Since(begin)
				require.NoError(t, err)
				require.Equal(t, c.retried, resp.StatusCode == 200)
				require.GreaterOrEqual(t, took, c.least)
				require.LessOrEqual(t, took, c.most)
				if !c.retried { // it is as good as any
					require.Equal(t, "busy", read(t, resp))
				}
			})
		})
	}
}

func TestContextThatEndsDuringTheWaitIsTheError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		busy := &body{Reader: strings.NewReader("busy")}
		b := newTransport(t, httpbalancer.Options{
			Backends: named("a", "b"),
			Wrap: fake(func(string, *http.Request) (*http.Response, error) {
				resp := answer(503, "Retry-After", "1")
				resp.Body = busy
				return resp, nil
			}),
		})
		cause := errors.New("cause")
		req := request(t, "GET", "key", nil)
		ctx, cancel := context.WithCancelCause(req.Context())
		time.AfterFunc(time.Millisecond, func() { cancel(cause) })
		begin := time.Now()
		_, err := b.RoundTrip(req.WithContext(ctx))
		require.Equal(t, time.Millisecond, time.Since(begin))
		require.ErrorIs(t, err, cause)
		require.Equal(t, 1, busy.closes())
		require.Zero(t, inFlight(b))
		require.Zero(t, b.Stats().RetriesInFlight)
	})
}

// Of requests that all fail at once, 20 % may be tried again at once, at least 3.
func TestBudgetBoundsTheRetriesInFlight(t *testing.T) {
	for _, c := range []struct {
		requests int
		budget   httpbalancer.Budget
		want     int
	}{
		{2, httpbalancer.Budget{}, 2},
		{10, httpbalancer.Budget{}, 3},
		{100, httpbalancer.Budget{}, 20},
		{100, httpbalancer.Budget{Percent: 50}, 50},
		{100, httpbalancer.Budget{Percent: retry.None, Min: 7}, 7},
		{100, httpbalancer.Budget{Percent: retry.None, Min: retry.None}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			fail := make(chan struct{})
			var mu sync.Mutex
			second, most := 0, 0
			b := newTransport(t, httpbalancer.Options{
				Backends:  named("a", "b", "c"),
				NoOutlier: true,
				Retry:     httpbalancer.Retry{Max: 1, Budget: c.budget},
				Wrap: fake(func(_ string, req *http.Request) (*http.Response, error) {
					if httpbalancer.Resend(req.Context()) > 0 {
						mu.Lock()
						second++
						most = max(most, second)
						mu.Unlock()
						time.Sleep(time.Hour)
						return answer(200), nil
					}
					<-fail
					return answer(503), nil
				}),
			})
			var wg sync.WaitGroup
			for range c.requests {
				wg.Go(func() {
					if _, err := b.RoundTrip(request(t, "GET", "key", nil)); err != nil {
						t.Error(err)
					}
				})
			}
			synctest.Wait()
			require.Equal(t, c.requests, b.Stats().InFlight)
			// One by one, each while all the others are in flight yet: a request
			// whose retry is refused ends, and makes the share of the rest less.
			for range c.want {
				fail <- struct{}{}
				time.Sleep(time.Second) // its wait before the retry does not count
			}
			require.Equal(t, c.want, b.Stats().RetriesInFlight)
			close(fail)
			wg.Wait()
			require.Equal(t, c.want, most)
			require.EqualValues(t, c.requests-c.want, b.Stats().OverBudget)
			require.Zero(t, b.Stats().RetriesInFlight)
		})
	}
}

// POSTs are not delivered twice, whatever the backend does after having read them.
func TestPOSTIsNotDeliveredTwice(t *testing.T) {
	var mu sync.Mutex
	delivered := make(map[string]int)
	h := func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		mu.Lock()
		delivered[string(got)]++
		mu.Unlock()
		switch len(got) % 3 {
		case 0:
			panic(http.ErrAbortHandler)
		case 1:
			w.WriteHeader(http.StatusBadGateway)
		}
	}
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(servers(t, 5, h)...)})
	var sent []string
	for i := range 60 {
		id := strings.Repeat("x", i)
		out := io.Reader(strings.NewReader(id))
		if i%2 == 1 {
			out = io.NopCloser(out)
		}
		sent = append(sent, id)
		resp, err := b.RoundTrip(request(t, "POST", id, out))
		if err == nil {
			read(t, resp)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, id := range sent {
		require.Equal(t, 1, delivered[id], len(id))
	}
}

// A request that no backend has seen multiplies no load: the next candidate has it
// at once, and the budget is not asked.
func TestUnsentRequestGoesOnAtOnceAndCostsNoBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTransport(t, httpbalancer.Options{
			Backends: named("a", "b", "c"),
			Retry:    httpbalancer.Retry{Budget: httpbalancer.Budget{Percent: retry.None, Min: retry.None}},
			Wrap: fake(func(_ string, req *http.Request) (*http.Response, error) {
				if httpbalancer.Resend(req.Context()) == 0 {
					return nil, &tls.CertificateVerificationError{Err: errors.New("expired")}
				}
				return answer(200), nil
			}),
		})
		start := time.Now()
		_, err := b.RoundTrip(request(t, "POST", "key", nil))
		require.NoError(t, err)
		require.Zero(t, time.Since(start))
		require.EqualValues(t, 1, b.Stats().Retries)
	})
}

// When every backend fails, retries are few: who waits for room in the budget is not
// what it is a share of, and gives up when nobody is answered.
func TestRetriesAreFewWhenAllBackendsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var attempts atomic.Int64
		b := newTransport(t, httpbalancer.Options{
			Backends:  named(letters(4)...),
			NoOutlier: true,
			Wrap: fake(func(string, *http.Request) (*http.Response, error) {
				attempts.Add(1)
				time.Sleep(20 * time.Millisecond)
				return answer(http.StatusServiceUnavailable), nil
			}),
		})
		var requests atomic.Int64
		var callers sync.WaitGroup
		end := time.Now().Add(4 * time.Second)
		for i := range 50 {
			callers.Go(func() {
				for k := 0; time.Now().Before(end); k++ {
					_, status := get(t, b, fmt.Sprint(i, k))
					require.Equal(t, http.StatusServiceUnavailable, status)
					requests.Add(1)
				}
			})
		}
		callers.Wait()
		require.Less(t, attempts.Load(), 2*requests.Load())
		require.NotZero(t, b.Stats().OverBudget)
		require.NoError(t, b.Close())
	})
}

// Without any room for retries nobody waits, neither for that nor because of Retry-After.
func TestABudgetOfNoneWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTransport(t, httpbalancer.Options{
			Backends: named("a", "b"),
			Retry:    httpbalancer.Retry{Budget: httpbalancer.Budget{Percent: retry.None, Min: retry.None}},
			Wrap: fake(func(string, *http.Request) (*http.Response, error) {
				return answer(http.StatusServiceUnavailable, "Retry-After", "1"), nil
			}),
		})
		start := time.Now()
		_, status := get(t, b, "key")
		require.Equal(t, http.StatusServiceUnavailable, status)
		require.Zero(t, time.Since(start))
		require.NoError(t, b.Close())
	})
}

// A response whose header comes just as the time is up is either one with a body or
// none at all.
func TestResponsesAtTheVeryEndOfTheirTime(t *testing.T) {
	const limit = 5 * time.Millisecond
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(limit - 300*time.Microsecond)
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
	}))
	b := newTransport(t, httpbalancer.Options{
		Backends: backendsOf(s), NoOutlier: true, Retry: httpbalancer.Retry{Max: -1, PerTryTimeout: limit}})
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for range 100 {
				resp, err := b.RoundTrip(request(t, "GET", "key", nil))
				if err != nil {
					continue // its time was up
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if err != nil || n != 100_000 {
					t.Errorf("%d bytes, %v", n, err)
				}
				_ = resp.Body.Close()
			}
		})
	}
	callers.Wait()
}
