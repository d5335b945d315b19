package accesslog

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// textLog is an access log of a text.
func textLog(t testing.TB, path, text string) *config.AccessLog {
	f, err := format.Parse(text)
	require.NoError(t, err)
	return &config.AccessLog{Path: path, Format: config.BodyFormat{Text: f}}
}

// of returns an exchange whose path is logged as %REQ(:PATH)%.
func of(path string) *message.Exchange {
	return &message.Exchange{Request: message.Request{Path: path}}
}

// open opens access logs that are written to w.
func open(t testing.TB, w io.Writer, logs ...*config.AccessLog) (*Files, Log) {
	fs := NewFiles(stats.NewStore())
	fs.open = func(string) (io.WriteCloser, error) { return standard{w}, nil }
	l, err := fs.Open(logs)
	require.NoError(t, err)
	return fs, l
}

// TestFormats has what stands in a line of each kind.
func TestFormats(t *testing.T) {
	j, err := format.ParseJSON(map[string]any{"p": "%REQ(:PATH)%", "n": "%REQ(none)%"}, false)
	require.NoError(t, err)
	omitting := textLog(t, "same", "<%REQ(none)%>\n")
	omitting.Format.OmitEmpty = true
	var out taker
	fs, l := open(t, &out,
		textLog(t, "same", "%REQ(:PATH)% %REQ(none)%\n"),
		&config.AccessLog{Path: "same", Format: config.BodyFormat{JSON: j}},
		omitting,
		textLog(t, "./same", "no newline|"))
	assert.Len(t, fs.files, 1, "all go to one file")
	l.Log(of("/a"))
	fs.Close()
	assert.Equal(t, "/a -\n"+`{"n":null,"p":"/a"}`+"\n<>\nno newline|", out.String())
}

func TestFilter(t *testing.T) {
	log := textLog(t, "x", "%REQ(:PATH)%\n")
	log.Filter = func(ex *message.Exchange) bool { return ex.Request.Path != "/quiet" }
	var out taker
	fs, l := open(t, &out, log, textLog(t, "x", "all %REQ(:PATH)%\n"))
	l.Log(of("/loud"))
	l.Log(of("/quiet"))
	fs.Close()
	assert.Equal(t, "/loud\nall /loud\nall /quiet\n", out.String())
	Log(nil).Log(of("/nowhere"))
}

// TestWithinASecond has lines written together by the timer, and at once when they are many.
func TestWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out taker
		fs, l := open(t, &out, textLog(t, "x", "%REQ(:PATH)%\n"))
		time.Sleep(time.Hour)
		l.Log(of("/a"))
		l.Log(of("/b"))
		synctest.Wait()
		assert.Empty(t, out.String())
		assert.EqualValues(t, 6, fs.counters.WriteTotalBuffered.Value())
		time.Sleep(interval)
		synctest.Wait()
		assert.Equal(t, "/a\n/b\n", out.String())
		assert.Equal(t, 1, out.calls)

		l.Log(of("/c"))
		time.Sleep(interval)
		synctest.Wait()
		assert.Equal(t, "/a\n/b\n/c\n", out.String())

		many := strings.Repeat("x", 1<<10)
		for range 64 {
			l.Log(of(many))
		}
		synctest.Wait()
		assert.Equal(t, 3, out.calls, "without waiting for the timer")
		assert.Greater(t, len(out.String()), enough)

		assert.EqualValues(t, 67, fs.counters.WriteBuffered.Value())
		assert.EqualValues(t, 3, fs.counters.WriteCompleted.Value())
		assert.EqualValues(t, 2, fs.counters.FlushedByTimer.Value())
		assert.EqualValues(t, 0, fs.counters.WriteTotalBuffered.Value())
		fs.Close()
		l.Log(of("/late"))
		assert.EqualValues(t, 1, fs.counters.LinesDropped.Value())
		_, err := fs.Open([]*config.AccessLog{textLog(t, "x", "")})
		assert.ErrorIs(t, err, os.ErrClosed)
	})
}

// TestFullDisk has a disk that takes some bytes of a line and then none for a while.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := taker{room: 9}
		fs, l := open(t, &out, textLog(t, "x", "%REQ(:PATH)%\n"))
		for _, path := range []string{"/first", "/second", "/third"} {
			l.Log(of(path))
		}
		time.Sleep(interval)
		synctest.Wait()
		assert.Equal(t, "/first\n/s", out.String())

		time.Sleep(10 * interval)
		synctest.Wait()
		assert.EqualValues(t, 11, fs.counters.WriteFailed.Value(), "it is tried again, twice a second")
		l.Log(of("/fourth"))

		out.allow(1 << 20)
		time.Sleep(2 * interval)
		synctest.Wait()
		assert.Equal(t, "/first\n/second\n/third\n/fourth\n", out.String())
		assert.Zero(t, fs.counters.LinesDropped.Value())
		assert.Zero(t, fs.counters.WriteTotalBuffered.Value())
		fs.Close()
	})
}

// TestDropped has a disk that stays full: memory is bounded, lines are dropped whole, and
// later ones are written when there is room.
func TestDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := taker{room: 100_000}
		fs, l := open(t, &out, textLog(t, "x", "%REQ(:PATH)%\n"))
		path := strings.Repeat("y", 999)
		const lines = 10_000
		for range lines {
			l.Log(of(path))
			synctest.Wait() // as a slow client would, so that the file is tried in between
		}
		f := fs.files["x"]
		f.writing.Lock()
		assert.LessOrEqual(t, len(f.pending)+len(f.rest), 2*maxPending)
		f.writing.Unlock()
		assert.Greater(t, fs.counters.LinesDropped.Value(), uint64(lines/2))

		out.allow(1 << 30)
		time.Sleep(2 * interval)
		l.Log(of("/later"))
		fs.Close()
		written := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		for _, line := range written[:len(written)-1] {
			require.Equal(t, path, line)
		}
		assert.Equal(t, "/later", written[len(written)-1])
		assert.EqualValues(t, lines+1, len(written)+int(fs.counters.LinesDropped.Value()))
	})
}

// TestBlocked has a file whose write does not return: nobody waits for it.
func TestBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := blocked{make(chan struct{})}
		fs, l := open(t, out, textLog(t, "x", "%REQ(:PATH)%\n"))
		l.Log(of("/a"))
		time.Sleep(interval)
		synctest.Wait()
		for range 3000 {
			l.Log(of(strings.Repeat("z", 1000)))
		}
		assert.NotZero(t, fs.counters.LinesDropped.Value())
		start := time.Now()
		fs.Close()
		assert.Equal(t, patience, time.Since(start))
		close(out.c)
	})
}

// TestManyWriters has lines that are whole, whoever logs at the same time.
func TestManyWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	fs := NewFiles(stats.NewStore())
	l, err := fs.Open([]*config.AccessLog{textLog(t, path, "%REQ(:PATH)%\n")})
	require.NoError(t, err)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			ex := of(strings.Repeat(string(rune('a'+i)), 100+i))
			for range 500 {
				l.Log(ex)
			}
		})
	}
	wait.Wait()
	fs.Close()
	written, err := os.ReadFile(path)
	require.NoError(t, err)
	count := make(map[string]int)
	for line := range strings.Lines(string(written)) {
		count[line]++
	}
	for i := range 8 {
		assert.Equal(t, 500, count[strings.Repeat(string(rune('a'+i)), 100+i)+"\n"])
	}
	assert.Len(t, count, 8)
}

func TestNoAllocations(t *testing.T) {
	fs, l := open(t, io.Discard, textLog(t, "x", "%REQ(:PATH)% %START_TIME%\n"))
	defer fs.Close()
	ex := of("/a")
	for range 5000 {
		l.Log(ex)
	}
	assert.Less(t, testing.AllocsPerRun(1000, func() { l.Log(ex) }), 1.0)
}

func BenchmarkLog(b *testing.B) {
	fs, l := open(b, io.Discard, &config.AccessLog{Path: "x", Format: config.BodyFormat{Text: format.DefaultLog()}})
	defer fs.Close()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ex := of("/a")
		for pb.Next() {
			l.Log(ex)
		}
	})
}

// A taker takes bytes while it has room for them. The zero taker has room for all.
type taker struct {
	mu      sync.Mutex
	written strings.Builder
	calls   int
	room    int // 0: any
}

func (w *taker) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.room == 0 {
		return w.written.Write(b)
	}
	n := min(len(b), w.room-w.written.Len())
	w.written.Write(b[:n])
	if n < len(b) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

func (w *taker) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.written.String()
}

func (w *taker) allow(room int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.room = room
}

// A blocked one takes nothing until its channel is closed.
type blocked struct{ c chan struct{} }

func (w blocked) Write(b []byte) (int, error) {
	<-w.c
	return len(b), nil
}
