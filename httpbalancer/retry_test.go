package httpbalancer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/httpbalancer"
	"github.com/maglev-lb/maglev/retry"
)

var errBroken = errors.New("broken")

// An asked notes which backends were asked.
type asked struct {
	mu    sync.Mutex
	names []string
}

func (l *asked) add(name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names = append(l.names, name)
	return len(l.names)
}

func (l *asked) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.names...)
}

func TestRetriesGoToTheNextCandidatesEachOnce(t *testing.T) {
	for _, n := range []int{1, 2, 3, 10} {
		for _, retries := range []int{-1, 1, 2, 12} {
			for failure, fail := range map[string]func() (*http.Response, error){
				"error":  func() (*http.Response, error) { return nil, errBroken },
				"status": func() (*http.Response, error) { return answer(http.StatusServiceUnavailable), nil },
			} {
				t.Run(fmt.Sprintf("%d backends, %d retries, %s", n, retries, failure), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var asked asked
						b := newTransport(t, httpbalancer.Options{
							Backends:  named(letters(n)...),
							NoOutlier: true,
							Retry:     httpbalancer.Retry{Max: retries},
							Wrap: fake(func(name string, _ *http.Request) (*http.Response, error) {
								asked.add(name)
								return fail()
							}),
						})
						resp, err := b.RoundTrip(request(t, "GET", "key", nil))
						if failure == "error" {
							require.ErrorIs(t, err, errBroken)
						} else {
							require.NoError(t, err)
							require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
						}
						candidates := order(t, "key", letters(n)...)
						var want []string
						for i := range max(retries, 0) + 1 {
							want = append(want, candidates[i%n])
						}
						require.Equal(t, want, asked.all())
						require.EqualValues(t, max(retries, 0), b.Stats().Retries)
						require.Zero(t, inFlight(b))
					})
				})
			}
		}
	}
}

// What is tried again, by method, header and what has failed.
func TestWhatIsRetried(t *testing.T) {
	refused := "http://" + refusing(t)
	for _, c := range []struct {
		method, header string
		body           string // "", "once" or "again"
		mayRepeat      bool
	}{
		{"", "", "", true},
		{"GET", "", "", true},
		{"HEAD", "", "", true},
		{"OPTIONS", "", "", true},
		{"TRACE", "", "", true},
		{"DELETE", "", "", true},
		{"PUT", "", "again", true},
		{"PUT", "", "once", true}, // if it has not been read
		{"POST", "", "", false},
		{"POST", "", "again", false},
		{"POST", "", "once", false},
		{"PATCH", "", "again", false},
		{"POST", "Idempotency-Key", "again", true},
		{"POST", "X-Idempotency-Key", "again", true},
	} {
		for _, failure := range []string{"dial", "unread", "read", "503"} {
			want := failure == "dial" || c.mayRepeat && (failure == "unread" || c.body != "once")
			t.Run(strings.Join([]string{c.method, c.header, c.body, failure}, " "), func(t *testing.T) {
				names := letters(3)
				bodies := make(map[string]string)
				first := order(t, "key", names...)[0]
				backends := named(names...)
				for i := range backends {
					backends[i].URL = refused
				}
				b := newTransport(t, httpbalancer.Options{
					Backends:  backends,
					NoOutlier: true,
					Wrap: func(to httpbalancer.Backend, next http.RoundTripper) http.RoundTripper {
						return roundTripper(func(req *http.Request) (*http.Response, error) {
							if to.Name == first && failure == "dial" {
								return next.RoundTrip(req)
							}
							if req.Body != nil {
								if to.Name != first || failure == "read" || failure == "503" {
									got, _ := io.ReadAll(req.Body)
									bodies[to.Name] = string(got)
								}
								_ = req.Body.Close()
							}
							switch {
							case to.Name != first:
								return answer(200), nil
							case failure == "503":
								return answer(http.StatusServiceUnavailable), nil
							}
							return nil, errBroken
						})
					},
				})
				var out io.Reader
				switch c.body {
				case "once":
					out = io.NopCloser(strings.NewReader("hello"))
				case "again":
					out = strings.NewReader("hello")
				}
				req := request(t, c.method, "key", out)
				req.Method = c.method
				if c.header != "" {
					req.Header.Set(c.header, "1")
				}
				resp, err := b.RoundTrip(req)
				second := order(t, "key", names...)[1]
				switch {
				case want:
					require.NoError(t, err)
					require.Equal(t, 200, resp.StatusCode)
					if c.body != "" {
						require.Equal(t, "hello", bodies[second])
					}
				case failure == "503":
					require.NoError(t, err)
					require.Equal(t, 503, resp.StatusCode)
				default:
					require.ErrorIs(t, err, errBroken)
				}
				require.Equal(t, want, b.Stats().Retries == 1)
			})
		}
	}
}

func TestOnlyTheGivenStatusesAreRetried(t *testing.T) {
	for _, c := range []struct {
		statuses []int
		status   int
		want     bool
	}{
		{nil, 502, true},
		{nil, 503, true},
		{nil, 504, true},
		{nil, 500, false},
		{nil, 429, false},
		{[]int{}, 503, false},
		{[]int{429}, 429, true},
		{[]int{429}, 503, false},
	} {
		b := newTransport(t, httpbalancer.Options{
			Backends: named("a", "b"),
			Retry:    httpbalancer.Retry{Statuses: c.statuses, Max: 1},
			Wrap:     fake(func(string, *http.Request) (*http.Response, error) { return answer(c.status), nil }),
		})
		resp, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.NoError(t, err)
		require.Equal(t, c.status, resp.StatusCode)
		require.Equal(t, c.want, b.Stats().Retries == 1, "%v", c)
	}
}

// A response that is not returned is closed, one that is is not.
func TestResponseThatIsTriedAgainIsClosed(t *testing.T) {
	for _, last := range []int{200, 503} {
		var bodies []*body
		b := newTransport(t, httpbalancer.Options{Backends: named("a", "b", "c"), Wrap: fake(func(string, *http.Request) (*http.Response, error) {
			resp := answer(503)
			if len(bodies) == 2 {
				resp.StatusCode = last
			}
			bodies = append(bodies, &body{Reader: strings.NewReader("hello")})
			resp.Body = bodies[len(bodies)-1]
			return resp, nil
		})})
		resp, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.NoError(t, err)
		require.Len(t, bodies, 3)
		require.Equal(t, []int{1, 1, 0}, []int{bodies[0].closes(), bodies[1].closes(), bodies[2].closes()})
		require.Equal(t, 1, inFlight(b))
		require.Equal(t, "hello", read(t, resp))
		require.Equal(t, 1, bodies[2].closes())
		require.Zero(t, inFlight(b))
	}
}

func TestPerTryTimeoutIsForIdempotentRequestsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked asked
		b := newTransport(t, httpbalancer.Options{
			Backends:  named("a", "b"),
			NoOutlier: true,
			Retry:     httpbalancer.Retry{PerTryTimeout: time.Second, Backoff: retry.Backoff{Base: 1, Max: 1}},
			Wrap: fake(func(name string, req *http.Request) (*http.Response, error) {
				if asked.add(name) == 1 {
					select {
					case <-req.Context().Done():
						return nil, context.Cause(req.Context())
					case <-time.After(time.Minute):
					}
				}
				resp := answer(200)
				resp.Body = io.NopCloser(readerFunc(func([]byte) (int, error) { // slower than the limit
					select {
					case <-req.Context().Done():
						return 0, req.Context().Err()
					case <-time.After(3 * time.Second):
						return 0, io.EOF
					}
				}))
				return resp, nil
			}),
		})
		begin := time.Now()
		resp, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.NoError(t, err)
		require.Equal(t, time.Second, time.Since(begin))
		require.Len(t, asked.all(), 2)

		read(t, resp) // the limit is not one of the body

		asked.names = nil
		begin = time.Now()
		resp, err = b.RoundTrip(request(t, "POST", "key", strings.NewReader("x")))
		require.NoError(t, err)
		require.Equal(t, time.Minute, time.Since(begin))
		require.Len(t, asked.all(), 1)
		read(t, resp)
	})
}

// A response that comes too late is closed, and its backend has failed.
func TestResponseAfterThePerTryTimeoutIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := &body{Reader: strings.NewReader("late")}
		var asked asked
		b := newTransport(t, httpbalancer.Options{
			Backends: named("a", "b"),
			Outlier:  &health.Outlier{ConsecutiveLocal: 1},
			Retry:    httpbalancer.Retry{PerTryTimeout: time.Second},
			Wrap: fake(func(name string, req *http.Request) (*http.Response, error) {
				if asked.add(name) > 1 {
					return answer(200, "X-Backend", name), nil
				}
				time.Sleep(2 * time.Second) // it does not heed its context
				resp := answer(200)
				resp.Body = late
				return resp, nil
			}),
		})
		resp, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.NoError(t, err)
		candidates := order(t, "key", "a", "b")
		require.Equal(t, candidates[1], resp.Header.Get("X-Backend"))
		require.Equal(t, 1, late.closes())
		for _, s := range b.Stats().Backends {
			require.Equal(t, s.Name == candidates[0], s.Health.Ejections == 1)
		}
	})
}
