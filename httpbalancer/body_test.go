package httpbalancer_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/httpbalancer"
)

func TestPOSTWithoutGetBodyIsRetriedAfterADialErrorWithItsBodyWhole(t *testing.T) {
	var mu sync.Mutex
	var bodies []string
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, string(got))
	}))
	dead1, dead2 := refusing(t), refusing(t)
	names := []string{dead1, dead2, s.name}
	key := ""
	for i := 0; key == "" || order(t, key, names...)[2] != s.name; i++ {
		key = fmt.Sprint(i)
	}
	b := newTransport(t, httpbalancer.Options{Backends: append(backendsOf(s),
		httpbalancer.Backend{URL: "http://" + dead1}, httpbalancer.Backend{URL: "http://" + dead2})})
	out := &body{Reader: iotest.OneByteReader(strings.NewReader("the whole body"))}
	resp, err := b.RoundTrip(request(t, "POST", key, out))
	require.NoError(t, err)
	read(t, resp)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []string{"the whole body"}, bodies)
	eventually(t, func() bool { return out.closes() == 1 }, "closed %d times", out.closes())
	require.EqualValues(t, 2, b.Stats().Retries)
}

// counting is a body of n bytes of which nobody has a copy.
type counting struct {
	n    int64
	rand *rand.ChaCha8
}

func (c *counting) Read(p []byte) (int, error) {
	if c.n == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), c.n)]
	c.n -= int64(len(p))
	return c.rand.Read(p)
}

func newCounting(n int64) *counting { return &counting{n, rand.NewChaCha8([32]byte{1})} }

func TestBigBodiesStreamBothWaysInBoundedMemory(t *testing.T) {
	sum := func(r io.Reader) string {
		h := sha256.New()
		_, err := io.Copy(h, r)
		require.NoError(t, err)
		return hex.EncodeToString(h.Sum(nil))
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Sum", sum(r.Body))
		size, _ := strconv.ParseInt(r.Header.Get("X-Size"), 10, 64)
		_, _ = io.Copy(w, newCounting(size))
	})
	for name, c := range map[string]struct {
		size int64
		opts httpbalancer.Options
	}{
		"HTTP/1.1": {64 << 20, httpbalancer.Options{Backends: backendsOf(serve(t, h))}},
		"HTTP/2.0": {16 << 20, httpbalancer.Options{Backends: backendsOf(serve(t, h, h2c)), Transport: onlyH2C()}},
	} {
		t.Run(name, func(t *testing.T) {
			want := sum(newCounting(c.size))
			b := newTransport(t, c.opts)
			req := request(t, "POST", "key", newCounting(c.size))
			req.Header.Set("X-Size", strconv.FormatInt(c.size, 10))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			resp, err := b.RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, name, resp.Proto)
			require.Equal(t, want, resp.Header.Get("X-Sum"))
			require.Equal(t, want, sum(resp.Body))
			require.NoError(t, resp.Body.Close())
			runtime.ReadMemStats(&after)
			// Who keeps one of the two bodies allocates its size at least. What
			// there is are buffers at both ends, and HTTP/2's frames.
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(c.size))
			require.Zero(t, inFlight(b))
		})
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", "X-Announced")
		_, _ = io.WriteString(w, "hello")
		w.Header().Set("X-Announced", r.Trailer.Get("X-Sum"))
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "too")
	})
	for name, opts := range map[string]httpbalancer.Options{
		"HTTP/1.1": {Backends: backendsOf(serve(t, h))},
		"HTTP/2.0": {Backends: backendsOf(serve(t, h, h2c)), Transport: onlyH2C()},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTransport(t, opts)
			req := request(t, "POST", "key", nil)
			req.Trailer = http.Header{"X-Sum": nil}
			req.Body = io.NopCloser(io.MultiReader(strings.NewReader("hello"), readerFunc(func([]byte) (int, error) {
				req.Trailer.Set("X-Sum", "42") // as late as it may
				return 0, io.EOF
			})))
			resp, err := b.RoundTrip(req)
			require.NoError(t, err)
			require.Equal(t, "hello", read(t, resp))
			require.Equal(t, http.Header{"X-Announced": {"42"}, "X-Unannounced": {"too"}}, resp.Trailer)
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestExpectContinueSendsTheBodyWhenAsked(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "refuse" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		_, _ = io.Copy(w, r.Body)
	}))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s)})
	for _, refuse := range []bool{false, true} {
		out := &body{Reader: strings.NewReader("hello")}
		unread := out.Reader.(*strings.Reader)
		req := request(t, "POST", "key", out)
		req.ContentLength = 5
		req.Header.Set("Expect", "100-continue")
		if refuse {
			req.URL.RawQuery = "refuse"
		}
		resp, err := b.RoundTrip(req)
		require.NoError(t, err)
		if got := read(t, resp); refuse {
			require.Equal(t, http.StatusExpectationFailed, resp.StatusCode)
		} else {
			require.Equal(t, "hello", got)
		}
		eventually(t, func() bool { return out.closes() == 1 }, "closed %d times", out.closes())
		require.Equal(t, refuse, unread.Len() == 5)
	}
}

func TestLengthOfTheBodyIsAsTheCallerSays(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%d %v %d", r.ContentLength, r.TransferEncoding, n)
	}))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s)})
	for _, c := range []struct {
		length int64
		body   io.Reader
		want   string
	}{
		{0, nil, "0 [] 0"},
		{0, http.NoBody, "0 [] 0"},
		{5, io.NopCloser(strings.NewReader("hello")), "5 [] 5"},
		{0, io.NopCloser(strings.NewReader("hello")), "-1 [chunked] 5"}, // 0 is unknown
		{-1, io.NopCloser(strings.NewReader("hello")), "-1 [chunked] 5"},
		{-1, io.NopCloser(strings.NewReader("")), "-1 [chunked] 0"},
	} {
		req := request(t, "POST", "key", c.body)
		req.ContentLength = c.length
		resp, err := b.RoundTrip(req)
		require.NoError(t, err)
		require.Equal(t, c.want, read(t, resp))
	}
}

// That the caller's body cannot be read is not the backend's fault.
func TestErrorOfTheCallersBodyIsNotRetriedNorReported(t *testing.T) {
	broken := errors.New("broken")
	for name, opts := range map[string]httpbalancer.Options{
		"HTTP/1.1": {Backends: backendsOf(servers(t, 3, ok)...)},
		"HTTP/2.0": {Backends: backendsOf(serve(t, http.HandlerFunc(ok), h2c), serve(t, http.HandlerFunc(ok), h2c)), Transport: onlyH2C()},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTransport(t, opts)
			for range 10 {
				out := &body{Reader: io.MultiReader(strings.NewReader("hello"), iotest.ErrReader(broken))}
				req := request(t, "PUT", "key", out)
				req.ContentLength = 1 << 20
				resp, err := b.RoundTrip(req)
				if err == nil { // an answer that has come before
					_ = resp.Body.Close()
				} else {
					require.ErrorIs(t, err, broken)
				}
				eventually(t, func() bool { return out.closes() == 1 }, "closed %d times", out.closes())
			}
			stats := b.Stats()
			require.Zero(t, stats.Retries)
			for _, s := range stats.Backends {
				require.Zero(t, s.Health.Ejections)
				require.Zero(t, s.Health.ConsecutiveLocal)
			}
		})
	}
}

func TestErrorOfTheResponsesBodyIsReported(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s)})
	for i := range 3 {
		resp, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		require.Equal(t, "begin", string(got))
		require.Zero(t, inFlight(b))
		// It was a success until then: one error in a row.
		require.Equal(t, 1, b.Stats().Backends[0].Health.ConsecutiveLocal, i)
		require.NoError(t, resp.Body.Close())
	}
}

func TestBodyMayBeClosedByAnyNumberOfGoroutines(t *testing.T) {
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("x", 1000)); err != nil {
				return
			}
		}
	}))
	b := newTransport(t, httpbalancer.Options{Backends: backendsOf(s)})
	for range 20 {
		resp, err := b.RoundTrip(request(t, "GET", "key", nil))
		require.NoError(t, err)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				if i == 0 {
					_, _ = io.Copy(io.Discard, resp.Body)
				} else {
					_ = resp.Body.Close()
				}
			})
		}
		wg.Wait()
		require.Zero(t, inFlight(b))
		require.Zero(t, b.Stats().Backends[0].Health.ConsecutiveLocal, "to close a body is no failure of the backend")
	}
}

// A caller that gives up does not make a backend a bad one, nor is the request
// tried again.
func TestCanceledRequestIsNotRetriedNorReported(t *testing.T) {
	arrived := make(chan struct{}, 1)
	l, err := net.Listen("tcp", "127.0.0.1:0") // it never answers
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = c.Read(make([]byte, 1))
				arrived <- struct{}{}
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	cause := errors.New("cause")
	for name, cancel := range map[string]func(*http.Request) (*http.Request, func(), error){
		"context": func(req *http.Request) (*http.Request, func(), error) {
			ctx, cancel := context.WithCancel(req.Context())
			return req.WithContext(ctx), cancel, context.Canceled
		},
		"context with a cause": func(req *http.Request) (*http.Request, func(), error) {
			ctx, cancel := context.WithCancelCause(req.Context())
			return req.WithContext(ctx), func() { cancel(cause) }, cause
		},
		"Cancel": func(req *http.Request) (*http.Request, func(), error) {
			c := make(chan struct{})
			//lint:ignore SA1019 http.Client sets it
			req.Cancel = c
			return req, func() { close(c) }, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newTransport(t, httpbalancer.Options{Backends: []httpbalancer.Backend{{URL: "http://" + l.Addr().String()}, {URL: "http://" + refusing(t)}}})
			key := keyOf(t, b.Stats().Backends[0].Name, b.Stats().Backends[1].Name)
			if b.Stats().Backends[0].Name != l.Addr().String() {
				key = keyOf(t, b.Stats().Backends[1].Name, b.Stats().Backends[0].Name)
			}
			for range 6 {
				req, cancel, want := cancel(request(t, "GET", key, nil))
				go func() {
					<-arrived
					cancel()
				}()
				_, err := b.RoundTrip(req)
				require.Error(t, err)
				if want != nil {
					require.ErrorIs(t, err, want)
				}
			}
			stats := b.Stats()
			require.Zero(t, stats.Retries)
			for _, s := range stats.Backends {
				require.Zero(t, s.Health.ConsecutiveLocal)
				require.Zero(t, s.InFlight)
			}
		})
	}
}
