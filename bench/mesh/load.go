//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"
)

const (
	connections = 64
	users       = 1000 // keys
)

// A loadPlan is what the load generator is told.
type loadPlan struct {
	Targets   []netip.AddrPort // connections are shared out among them
	Prefix    string           // of the path: /api for a proxy, nothing without one
	PerSecond int
	WarmUp    time.Duration
	Duration  time.Duration
}

// A loadResult is what it found, without the warm-up.
type loadResult struct {
	Requests int            // answered as they should be
	Errors   map[string]int // by kind
	Latency  quantiles      // from when a request was due until its answer was there
	Lag      quantiles      // from when a request was due until the generator got to it
	Queued   int            // requests that were due while all connections were busy
}

// Quantiles are in microseconds.
type quantiles struct{ P50, P90, P99, P999, Max float64 }

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, time.Minute.Nanoseconds(), 3)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d.Nanoseconds(), 1), h.HighestTrackableValue()))
}

func quantilesOf(h *hdrhistogram.Histogram) quantiles {
	at := func(percent float64) float64 { return float64(h.ValueAtPercentile(percent)) / 1e3 }
	return quantiles{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.Max()) / 1e3}
}

// beLoad is the load generator's process: it reads its plan, warms up, says so in a line, waits
// for a line, so that whoever counts processor time can begin to, and writes what it found.
func beLoad(in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	var plan loadPlan
	if err := json.Unmarshal(line, &plan); err != nil {
		return err
	}
	runtime.GOMAXPROCS(4)     // two threads that wait in system calls, and what the runtime has to do
	debug.SetGCPercent(-1)    // there is next to nothing to collect
	l, err := newLoader(plan) // with all its connections open
	if err != nil {
		return err
	}
	defer l.close()
	// Two on each connection first, whatever the rate, so that the proxy has them all.
	for _, warm := range []struct{ perSecond, n int }{
		{500, 2 * connections},
		{plan.PerSecond, requestsIn(plan.WarmUp, plan.PerSecond)},
	} {
		if _, err := l.run(warm.perSecond, warm.n); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintln(out, "warm"); err != nil {
		return err
	}
	if _, err := lines.ReadBytes('\n'); err != nil {
		return err
	}
	result, err := l.run(plan.PerSecond, requestsIn(plan.Duration, plan.PerSecond))
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

func requestsIn(d time.Duration, perSecond int) int { return int(d.Seconds() * float64(perSecond)) }

// A loader sends from one thread, which does nothing but to keep the time, and reads in another.
type loader struct {
	plan     loadPlan
	clock    *monotonic
	epoll    int
	conns    [connections]*loadConn
	requests [users][]byte
	chosen   [users]int // the backend that had a user's last request, plus 1

	mu      sync.Mutex
	free    []*loadConn // the one that has waited longest first
	waiting []order     // requests that are due and have no connection
	open    int         // requests not answered yet
	ended   bool        // all have been sent
	result  loadResult
	latency *hdrhistogram.Histogram
}

// An order is a request to be sent.
type order struct {
	due  time.Duration
	user int
}

func newLoader(plan loadPlan) (*loader, error) {
	clock, err := newMonotonic()
	if err != nil {
		return nil, err
	}
	l := &loader{plan: plan, clock: clock}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	for user := range l.requests {
		l.requests[user] = fmt.Appendf(nil, "GET %s/item/%d HTTP/1.1\r\nhost: shop.test\r\nuser-agent: bench\r\n"+
			"accept: */*\r\nx-user: user-%d\r\nx-internal: 1\r\n\r\n", plan.Prefix, user, user)
	}
	for i := range l.conns {
		l.conns[i] = &loadConn{target: plan.Targets[i%len(plan.Targets)]}
		if err := l.connect(i); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *loader) connect(i int) error {
	c := l.conns[i]
	if err := c.connect(); err != nil {
		return err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, c.fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

func (l *loader) close() {
	for _, c := range l.conns {
		_ = unix.Close(c.fd)
	}
	_ = unix.Close(l.epoll)
}

// lateAnswers is how long answers are waited for once all has been sent.
const lateAnswers = 5 * time.Second

// run sends n requests and waits for their answers.
func (l *loader) run(perSecond, n int) (loadResult, error) {
	lag := newHistogram()
	l.result = loadResult{Errors: make(map[string]int)}
	l.latency = newHistogram()
	l.free = append(l.free[:0], l.conns[:]...)
	l.ended = n == 0

	sent := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := sharpen(); err != nil {
			sent <- err
			return
		}
		pace(l.clock, l.clock.now()+time.Millisecond, perSecond, n, func(i int, due, late time.Duration) {
			record(lag, late)
			l.send(order{due, i * 617 % users}, i == n-1)
		})
		sent <- nil
	}()
	if err := l.receive(); err != nil {
		return loadResult{}, err
	}
	if err := <-sent; err != nil {
		return loadResult{}, err
	}
	l.result.Latency, l.result.Lag = quantilesOf(l.latency), quantilesOf(lag)
	return l.result, nil
}

// send gives a request to a connection that is free, or lets it wait for one.
func (l *loader) send(o order, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = last
	l.open++
	if len(l.free) == 0 {
		l.result.Queued++
		l.waiting = append(l.waiting, o)
		return
	}
	c := l.free[0]
	l.free = l.free[:copy(l.free, l.free[1:])]
	l.write(c, o)
}

// write sends a request. If that fails, so will reading, where it is counted.
func (l *loader) write(c *loadConn, o order) {
	c.order = o
	_, _ = unix.Write(c.fd, l.requests[o.user])
}

// receive reads until all requests have been answered.
func (l *loader) receive() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var events [connections]unix.EpollEvent
	for quiet := l.clock.now(); ; {
		n, err := unix.EpollWait(l.epoll, events[:], 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		for i := range max(n, 0) {
			if err := l.readable(int(events[i].Fd)); err != nil {
				return err
			}
		}
		now := l.clock.now()
		l.mu.Lock()
		done, ended := l.ended && l.open == 0, l.ended
		if ended && now-quiet > lateAnswers {
			l.result.Errors["no answer"] += l.open
			l.waiting, l.open = nil, 0
			l.mu.Unlock()
			return l.reconnectAll() // whatever comes late belongs to nobody
		}
		l.mu.Unlock()
		if done {
			return nil
		}
		if n > 0 || !ended {
			quiet = now
		}
	}
}

// readable reads what there is, and if that is the whole answer gives the connection its next request.
func (l *loader) readable(i int) error {
	c := l.conns[i]
	answer, err := c.read()
	now := l.clock.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch busy := c.order.due != 0; {
	case err != nil && busy:
		l.result.Errors[err.Error()]++
	case err != nil: // a connection that had nothing to do was closed
		l.result.Errors["idle connection closed"]++
		l.free = without(l.free, c)
	case answer == nil:
		return nil // not all of it
	default:
		l.judge(answer, c.order, now)
	}
	if c.order.due != 0 {
		l.open--
		c.order = order{}
	}
	if err != nil {
		_ = unix.Close(c.fd)
		if err := l.connect(i); err != nil {
			return err
		}
	}
	c.have = 0
	if len(l.waiting) > 0 {
		l.write(c, l.waiting[0])
		l.waiting = l.waiting[1:]
		return nil
	}
	l.free = append(l.free, c)
	return nil
}

// judge counts an answer as right or as an error.
func (l *loader) judge(a *answer, o order, now time.Duration) {
	switch {
	case a.status != 200:
		l.result.Errors[fmt.Sprintf("status %d", a.status)]++
	case a.length != smallBody:
		l.result.Errors[fmt.Sprintf("length %d", a.length)]++
	case a.backend < 0 || a.backend >= backends:
		l.result.Errors["no backend named"]++
	case l.plan.Prefix != "" && l.chosen[o.user] != 0 && l.chosen[o.user] != a.backend+1:
		l.result.Errors["key went to another backend"]++
	default:
		l.chosen[o.user] = a.backend + 1
		l.result.Requests++
		record(l.latency, now-o.due)
	}
}

func (l *loader) reconnectAll() error {
	for i, c := range l.conns {
		_ = unix.Close(c.fd)
		c.order = order{}
		if err := l.connect(i); err != nil {
			return err
		}
	}
	return nil
}

func without(all []*loadConn, c *loadConn) []*loadConn {
	kept := all[:0]
	for _, other := range all {
		if other != c {
			kept = append(kept, other)
		}
	}
	return kept
}
