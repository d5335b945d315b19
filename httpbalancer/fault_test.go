package httpbalancer_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/httpbalancer"
	"github.com/maglev-lb/maglev/retry"
)

// A faulty is a backend that can be broken in several ways. Its address stays.
type faulty struct {
	name   string
	fleet  *fleet
	mode   atomic.Value // string: "", "503", "hang" or "slow"
	server *http.Server

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// A fleet is what the backends of a test have in common.
type fleet struct {
	mu    sync.Mutex
	posts map[string]int // how often each was delivered
	open  atomic.Int64   // connections
}

func (f *fleet) start(t *testing.T, addr string) *faulty {
	b := &faulty{fleet: f, conns: make(map[net.Conn]struct{})}
	b.mode.Store("")
	l, err := net.Listen("tcp", addr)
	require.NoError(t, err)
	b.name = l.Addr().String()
	b.server = &http.Server{Handler: b, ConnState: func(c net.Conn, state http.ConnState) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch state {
		case http.StateNew:
			f.open.Add(1)
			b.conns[c] = struct{}{}
		case http.StateClosed:
			f.open.Add(-1)
			delete(b.conns, c)
		}
	}}
	go func() { _ = b.server.Serve(l) }()
	t.Cleanup(func() { _ = b.server.Close() })
	return b
}

func (b *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	got, err := io.ReadAll(r.Body)
	if r.Method == http.MethodPost && err == nil {
		b.fleet.mu.Lock()
		b.fleet.posts[string(got)]++
		b.fleet.mu.Unlock()
	}
	w.Header().Set("X-Backend", b.name)
	switch b.mode.Load() {
	case "503":
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case "hang":
		for b.mode.Load() == "hang" && r.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
	case "slow":
		time.Sleep(20 * time.Millisecond)
	}
	_, _ = io.WriteString(w, b.name)
}

// kill stops listening and resets all connections.
func (b *faulty) kill() {
	b.mu.Lock()
	for c := range b.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
	}
	b.mu.Unlock()
	_ = b.server.Close()
}

func envInt(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// Faults under load, over real sockets: no idempotent request fails, no POST is
// delivered twice, no key of a backend that is well moves, nothing leaks. For a
// longer run set MAGLEV_FAULT_ROUNDS (1) and MAGLEV_FAULT_WORKERS (16).
func TestFaultsUnderLoad(t *testing.T) {
	const backends, keys = 10, 200
	rounds, workers := envInt(t, "MAGLEV_FAULT_ROUNDS", 1), envInt(t, "MAGLEV_FAULT_WORKERS", 16)
	goroutines := runtime.NumGoroutine()
	f := &fleet{posts: make(map[string]int)}
	var all []*faulty
	for range backends {
		all = append(all, f.start(t, "127.0.0.1:0"))
	}
	set := func(of []*faulty) []httpbalancer.Backend {
		var set []httpbalancer.Backend
		for _, b := range of {
			set = append(set, httpbalancer.Backend{URL: "http://" + b.name})
		}
		return set
	}
	b := newTransport(t, httpbalancer.Options{
		Backends: set(all),
		Check:    &httpbalancer.Check{Check: health.Check{Interval: 20 * time.Millisecond, Timeout: 2 * time.Second}},
		Outlier:  &health.Outlier{BaseEjection: 100 * time.Millisecond},
		Retry: httpbalancer.Retry{
			PerTryTimeout: time.Second, // the machine may be busy
			Max:           4,
			Backoff:       retry.Backoff{Base: 5 * time.Millisecond},
		},
	})

	// What is in place. A request that has begun and ended under the same one,
	// with the backend it belongs to well, has to have gone there.
	type state struct {
		table *maglev.Table
		names []string
		sick  string // "" if all are well
	}
	var current atomic.Pointer[state]
	place := func(sick string) {
		names := make([]string, len(all))
		of := make([]maglev.Backend, len(all))
		for i, b := range all {
			names[i], of[i].Name = b.name, b.name
		}
		table, err := maglev.New(of, maglev.Options{})
		require.NoError(t, err)
		current.Store(&state{table, names, sick})
	}
	place("")

	var idempotent, posts, failedPosts, checked atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				hash := maglev.XXHash("key-"+strconv.Itoa((w+i*workers)%keys), 0)
				method, body, id := http.MethodGet, io.Reader(nil), fmt.Sprintf("%d-%d", w, i)
				if i%3 == 1 {
					method, body = http.MethodPost, io.Reader(strings.NewReader(id))
					if i%2 == 1 {
						body = io.NopCloser(body) // without GetBody
					}
				}
				before := current.Load()
				req, err := http.NewRequestWithContext(httpbalancer.WithHash(t.Context(), hash), method, "http://service.example/", body)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := b.RoundTrip(req)
				var answered string
				status := 0
				if err == nil {
					status = resp.StatusCode
					var text []byte
					text, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					answered = string(text)
				}
				if method == http.MethodPost {
					posts.Add(1)
					if err != nil || status != http.StatusOK {
						failedPosts.Add(1)
						continue
					}
				} else if idempotent.Add(1); err != nil || status != http.StatusOK {
					t.Errorf("GET: status %d, %v", status, err)
					continue
				}
				if before == nil || current.Load() != before {
					continue
				}
				if want := before.names[before.table.Lookup(hash)]; want != before.sick {
					checked.Add(1)
					if answered != want {
						t.Errorf("%s went to %s, not %s, while %q was sick: %+v", method, answered, want, before.sick, b.Stats().Backends)
					}
				}
			}
		})
	}

	// healthy waits until the Transport sees all backends as well.
	healthy := func() {
		eventually(t, func() bool {
			return !slices.ContainsFunc(b.Stats().Backends, func(s httpbalancer.BackendStats) bool { return !s.Left && !s.Health.Healthy })
		}, "not all are healthy")
	}
	load := func(requests int64) { // lets this many more be sent
		target := idempotent.Load() + requests
		eventually(t, func() bool { return t.Failed() || idempotent.Load() >= target }, "no requests are made")
	}
	for range rounds {
		for _, mode := range []string{"rst", "hang", "503", "slow"} {
			sick := all[3]
			place(sick.name)
			if mode == "rst" {
				sick.kill()
			} else {
				sick.mode.Store(mode)
			}
			load(300)
			if mode == "rst" {
				all[3] = f.start(t, sick.name)
			}
			sick.mode.Store("")
			healthy()
			load(10)
		}
		for range 5 { // one flaps
			place(all[5].name)
			all[5].mode.Store("503")
			load(30)
			all[5].mode.Store("")
			load(30)
		}
		healthy()
		change := func(next []*faulty) {
			current.Store(nil) // either table may be in place
			all = next
			require.NoError(t, b.Update(set(all)))
			place("")
			load(100)
		}
		change(append(slices.Clone(all), f.start(t, "127.0.0.1:0")))
		gone := all[0]
		change(slices.Clone(all[1:]))
		gone.kill()
		for i := range all { // roll them all
			next, old := slices.Clone(all), all[i]
			next[i] = f.start(t, "127.0.0.1:0")
			change(next)
			eventually(t, func() bool {
				return !slices.ContainsFunc(b.Stats().Backends, func(s httpbalancer.BackendStats) bool { return s.Name == old.name })
			}, "%s does not drain", old.name)
			old.kill()
		}
	}
	close(stop)
	wg.Wait()

	twice := 0
	f.mu.Lock()
	for _, n := range f.posts {
		if n > 1 {
			twice++
		}
	}
	f.mu.Unlock()
	stats := b.Stats()
	t.Logf("%d idempotent requests, %d POSTs of which %d failed and %d came twice, %d retries, %d over budget, %d answers compared with the table",
		idempotent.Load(), posts.Load(), failedPosts.Load(), twice, stats.Retries, stats.OverBudget, checked.Load())
	require.Zero(t, twice, "POSTs delivered twice")
	require.NotZero(t, checked.Load())
	require.NotZero(t, stats.Retries)
	require.Zero(t, inFlight(b))
	require.Zero(t, stats.RetriesInFlight)
	require.NoError(t, b.Close())
	eventually(t, func() bool { return f.open.Load() == 0 }, "%d connections stay open", f.open.Load())
	for _, b := range all {
		_ = b.server.Close()
	}
	eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "%d goroutines, %d before", runtime.NumGoroutine(), goroutines)
}
