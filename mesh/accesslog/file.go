package accesslog

import (
	"bytes"
	"io"
	"sync"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

const (
	// interval is how long a line waits for others.
	interval = 500 * time.Millisecond

	// enough bytes are written without waiting for more, as in Envoy.
	enough = 64 << 10

	// maxPending bounds the bytes that wait while a file takes none. As many again may be
	// under way.
	maxPending = 1 << 20

	// patience is how long a file is waited for that is to be closed.
	patience = time.Second
)

// A file is one that lines are appended to.
type file struct {
	counters *counters

	wake    chan struct{} // there is something pending
	full    chan struct{} // there is enough of it
	stop    chan struct{}
	stopped chan struct{}

	mu      sync.Mutex
	pending []byte
	closed  bool

	writing sync.Mutex // is held during system calls; locked before mu
	out     io.WriteCloser
	rest    []byte // what is being written
	torn    bool   // a part of it has been, and the last line of the file is not whole
}

func newFile(out io.WriteCloser, counters *counters) *file {
	f := &file{
		counters: counters,
		wake:     make(chan struct{}, 1),
		full:     make(chan struct{}, 1),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
		out:      out,
	}
	go f.run()
	return f
}

// log puts a line behind those that are pending, or drops it. The line is made in its
// place: that takes less than a microsecond, and a copy made elsewhere would not be free.
func (f *file) log(format *config.BodyFormat, ex *message.Exchange) {
	f.mu.Lock()
	before := len(f.pending)
	after, fits := before, false
	if !f.closed && before < maxPending {
		f.pending = format.AppendLine(f.pending, ex)
		if fits = len(f.pending) <= maxPending; fits {
			after = len(f.pending)
			// While nobody can take it away yet, so that the gauge never falls below what there is.
			f.counters.WriteTotalBuffered.Add(int64(after - before))
		}
		f.pending = f.pending[:after]
	}
	f.mu.Unlock()
	if !fits {
		f.counters.LinesDropped.Inc()
		return
	}
	if before == 0 && after > 0 {
		signal(f.wake)
	}
	f.counters.WriteBuffered.Inc()
	if before < enough && after >= enough {
		signal(f.full)
	}
}

// signal leaves a token, unless there is one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run writes lines until the file is closed.
func (f *file) run() {
	defer close(f.stopped)
	timer := time.NewTimer(interval)
	timer.Stop()
	for {
		select {
		case <-f.wake:
		case <-f.stop:
			f.flush()
			return
		}
		timer.Reset(interval)
		select {
		case <-timer.C:
			f.counters.FlushedByTimer.Inc()
		case <-f.full:
		case <-f.stop:
			f.flush()
			return
		}
		if !f.flush() {
			signal(f.wake) // to try again
		}
	}
}

// flush writes what could not be written before, and what is pending. It returns whether
// all of it could be.
func (f *file) flush() bool {
	f.writing.Lock()
	defer f.writing.Unlock()
	return f.flushLocked()
}

func (f *file) flushLocked() bool {
	if !f.write() {
		return false
	}
	f.mu.Lock()
	if cap(f.rest) > 2*enough && len(f.pending) < cap(f.rest)/4 {
		f.rest = nil // a burst is over
	}
	f.rest, f.pending = f.pending, f.rest[:0]
	f.mu.Unlock()
	return f.write()
}

// write writes the rest. What fails stays in it.
func (f *file) write() bool {
	if len(f.rest) == 0 {
		return true
	}
	n, _ := f.out.Write(f.rest) // that it failed is counted: nobody could do more about it
	f.counters.WriteTotalBuffered.Add(-int64(n))
	if n == len(f.rest) {
		f.counters.WriteCompleted.Inc()
		f.rest, f.torn = f.rest[:0], false
		return true
	}
	f.counters.WriteFailed.Inc()
	if n > 0 {
		f.torn = f.rest[n-1] != '\n'
		f.rest = f.rest[:copy(f.rest, f.rest[n:])]
	}
	return false
}

// replace has later lines written to another file, and closes this one. If it has not
// taken its lines they go to the other, but for the end of a line that it has the
// beginning of.
func (f *file) replace(out io.WriteCloser) {
	f.writing.Lock()
	defer f.writing.Unlock()
	if f.isClosed() {
		_ = out.Close()
		return
	}
	f.flushLocked()
	if f.torn {
		_, after, _ := bytes.Cut(f.rest, []byte("\n"))
		f.counters.WriteTotalBuffered.Add(int64(len(after) - len(f.rest)))
		f.counters.LinesDropped.Inc()
		f.rest, f.torn = f.rest[:copy(f.rest, after)], false
	}
	_ = f.out.Close()
	f.out = out
}

func (f *file) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed
}

// close writes what is pending, unless that takes too long, and closes the file.
func (f *file) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	close(f.stop)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-f.stopped:
		f.writing.Lock()
		defer f.writing.Unlock()
		_ = f.out.Close()
	case <-timer.C:
		// The goroutine still writes: it ends when that does.
	}
}
