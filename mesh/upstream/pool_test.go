package upstream

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type limit struct {
	mu      sync.Mutex
	n, most int
}

func (l *limit) TryAcquire() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n >= l.most {
		return false
	}
	l.n++
	return true
}
func (l *limit) Acquire() { l.mu.Lock(); l.n++; l.mu.Unlock() }
func (l *limit) Release() { l.mu.Lock(); l.n--; l.mu.Unlock() }
func (l *limit) now() int { l.mu.Lock(); defer l.mu.Unlock(); return l.n }

type events struct{ waiting, connected, closed, failed, worn atomic.Int32 }

func (e *events) Waiting(n int64)         { e.waiting.Add(int32(n)) }
func (e *events) Connecting()             {}
func (e *events) Connected(time.Duration) { e.connected.Add(1) }
func (e *events) ConnectFailed(error)     { e.failed.Add(1) }
func (e *events) Closed(bool, bool)       { e.closed.Add(1) }
func (e *events) MaxRequests()            { e.worn.Add(1) }

// a fixture is a pool and the far ends of its connections.
type fixture struct {
	*Pool
	opts                 Options
	connections, pending *limit
	events               events
	far                  chan net.Conn
}

func newFixture(t *testing.T, change func(o *Options)) *fixture {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fixture{connections: &limit{most: 10}, pending: &limit{most: 10}, far: make(chan net.Conn, 10)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.far <- c
		}
	}()
	f.opts = Options{
		Dial:        func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) },
		Connections: f.connections, Pending: f.pending, Events: &f.events,
	}
	if change != nil {
		change(&f.opts)
	}
	f.Pool = NewPool(f.opts)
	t.Cleanup(func() {
		l.Close()
		f.Pool.Close()
		assert.Zero(t, f.pending.now())
		assert.Zero(t, f.events.waiting.Load())
	})
	return f
}

func here() bool { return false } // a client that has not gone

func (f *fixture) get(t *testing.T) *Conn {
	t.Helper()
	c, err := f.Get(time.Time{}, here)
	require.NoError(t, err)
	return c
}

func TestThePoolUsesTheLastConnectionAgain(t *testing.T) {
	f := newFixture(t, nil)
	a, b := f.get(t), f.get(t)
	assert.NotEqual(t, a.ID, b.ID)
	a.Put()
	b.Put()
	assert.Equal(t, b.ID, f.get(t).ID)
	assert.Equal(t, a.ID, f.get(t).ID)
	assert.EqualValues(t, 2, f.events.connected.Load())
	assert.EqualValues(t, 1, a.Requests())
}

func TestAConnectionThatTheHostHasDoneWithIsNotUsedAgain(t *testing.T) {
	for name, act := range map[string]func(net.Conn){
		"closed":                       func(c net.Conn) { c.Close() },
		"has something to say unasked": func(c net.Conn) { c.Write([]byte("HTTP/1.1 408 Request Timeout\r\n\r\n")) },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, nil)
			a := f.get(t)
			a.Put()
			act(<-f.far)
			require.Eventually(t, func() bool {
				b := f.get(t)
				defer b.Put()
				return b.ID != a.ID
			}, time.Minute, time.Millisecond)
			assert.EqualValues(t, 1, f.events.closed.Load())
		})
	}
}

func TestAConnectionWearsOut(t *testing.T) {
	t.Run("by requests", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.MaxRequests = 2 })
		a := f.get(t)
		a.Put()
		assert.Same(t, a, f.get(t))
		a.Put()
		assert.NotSame(t, a, f.get(t))
		assert.EqualValues(t, 1, f.events.worn.Load())
	})
	t.Run("by age", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.MaxAge = 1 })
		a := f.get(t)
		a.Put()
		assert.NotSame(t, a, f.get(t))
	})
	t.Run("by idleness", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Idle = 1 })
		a := f.get(t)
		a.Put()
		assert.NotSame(t, a, f.get(t))
	})
	t.Run("and is swept", func(t *testing.T) {
		f := newFixture(t, func(o *Options) { o.Idle = 1 })
		f.get(t).Put()
		f.sweep()
		assert.EqualValues(t, 1, f.events.closed.Load())
		assert.Zero(t, f.connections.now())
	})
}

func TestConnectFails(t *testing.T) {
	refused := errors.New("refused")
	f := newFixture(t, func(o *Options) { o.Dial = func() (net.Conn, error) { return nil, refused } })
	_, err := f.Get(time.Time{}, here)
	var failed *ConnectError
	require.ErrorAs(t, err, &failed)
	assert.ErrorIs(t, err, refused)
	assert.False(t, IsTimeout(err))
	assert.True(t, IsTimeout(&ConnectError{os.ErrDeadlineExceeded}))
	assert.Zero(t, f.connections.now())
}

func TestRequestsWaitAtTheLimitOfConnections(t *testing.T) {
	f := newFixture(t, nil)
	f.connections.most = 1
	a := f.get(t)
	got := make(chan *Conn)
	go func() {
		c, err := f.Get(time.Time{}, here)
		assert.NoError(t, err)
		got <- c
	}()
	require.Eventually(t, func() bool { return f.pending.now() == 1 }, time.Minute, time.Millisecond)
	a.Put()
	b := <-got
	assert.Same(t, a, b, "the connection is handed over")

	go func() {
		c, err := f.Get(time.Time{}, here)
		assert.NoError(t, err)
		got <- c
	}()
	require.Eventually(t, func() bool { return f.pending.now() == 1 }, time.Minute, time.Millisecond)
	b.Close()
	c := <-got
	assert.NotSame(t, b, c, "leave to make another is")
	c.Close()
	assert.Zero(t, f.connections.now())
}

// Of pools that share a limit none starves.
func TestAPoolWithoutAnyConnectionMayHaveOne(t *testing.T) {
	f := newFixture(t, nil)
	f.connections.most = 0
	f.get(t).Close()
	assert.Zero(t, f.connections.now())
}

func TestOverflow(t *testing.T) {
	f := newFixture(t, nil)
	f.pending.most = 0
	_, err := f.Get(time.Time{}, here)
	assert.Equal(t, ErrOverflow, err)
}

func TestWhoGivesUpWaitingTakesNothingAway(t *testing.T) {
	f := newFixture(t, func(o *Options) { o.PerHost = 1 })
	a := f.get(t)
	_, err := f.Get(time.Now().Add(time.Millisecond), here)
	assert.Equal(t, os.ErrDeadlineExceeded, err)
	_, err = f.Get(time.Now().Add(time.Hour), func() bool { return true })
	assert.Equal(t, ErrGone, err)
	a.Put()
	assert.Same(t, a, f.get(t))
	a.Close()
	assert.Zero(t, f.connections.now())
}

// A connection that comes too late for the one who asked for it is there for the next.
func TestALateConnectionIsKept(t *testing.T) {
	dial := make(chan struct{})
	f := newFixture(t, nil)
	inner := f.opts.Dial
	f.opts.Dial = func() (net.Conn, error) { <-dial; return inner() }
	f.Pool = NewPool(f.opts)
	_, err := f.Get(time.Now().Add(time.Millisecond), here)
	assert.Equal(t, os.ErrDeadlineExceeded, err)
	close(dial)
	require.Eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return len(f.idle) == 1
	}, time.Minute, time.Millisecond)
	f.get(t).Close()
}

func TestAClosedPool(t *testing.T) {
	f := newFixture(t, nil)
	a, b := f.get(t), f.get(t)
	a.Put()
	f.Pool.Close()
	assert.EqualValues(t, 1, f.events.closed.Load(), "the idle one")
	b.Put()
	assert.EqualValues(t, 2, f.events.closed.Load(), "the other, when it is done")
	_, err := f.Get(time.Time{}, here)
	assert.Equal(t, ErrClosed, err)
	assert.Zero(t, f.connections.now())
}
