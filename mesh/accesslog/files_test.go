package accesslog

import (
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
)

func read(t *testing.T, path string) string {
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

// TestOpen has a file that is there already, which is appended to.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	require.NoError(t, os.WriteFile(path, []byte("old\n"), 0o600))
	fs := NewFiles(stats.NewStore())
	l, err := fs.Open([]*config.AccessLog{textLog(t, path, "%REQ(:PATH)%\n")})
	require.NoError(t, err)
	again, err := fs.Open([]*config.AccessLog{textLog(t, path, "again %REQ(:PATH)%\n"), textLog(t, "/dev/stderr", "")})
	require.NoError(t, err)
	l.Log(of("/a"))
	again.Log(of("/b"))
	fs.Close()
	assert.Equal(t, "old\n/a\nagain /b\n", read(t, path))

	// Standard error is still open.
	_, err = os.Stderr.Stat()
	assert.NoError(t, err)
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	fs := NewFiles(stats.NewStore())
	defer fs.Close()
	_, err := fs.Open([]*config.AccessLog{
		textLog(t, filepath.Join(dir, "none", "log"), ""),
		textLog(t, filepath.Join(dir, "log"), ""),
		textLog(t, dir, ""),
	})
	require.Error(t, err)
	assert.ErrorIs(t, err, os.ErrNotExist)
	assert.ErrorContains(t, err, filepath.Join(dir, "none", "log"))
	assert.ErrorContains(t, err, "open "+dir+": is a directory")
}

// TestReopen has a file renamed, and another one that cannot be opened anew.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path, lost := filepath.Join(dir, "log"), filepath.Join(dir, "sub", "log")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	fs := NewFiles(stats.NewStore())
	l, err := fs.Open([]*config.AccessLog{
		textLog(t, path, "%REQ(:PATH)%\n"), textLog(t, lost, "%REQ(:PATH)%\n"), textLog(t, "/dev/stdout", ""),
	})
	require.NoError(t, err)
	l.Log(of("/before"))
	require.NoError(t, os.Rename(path, path+".1"))
	require.NoError(t, os.Rename(filepath.Join(dir, "sub"), filepath.Join(dir, "gone")))
	err = fs.Reopen()
	assert.ErrorContains(t, err, lost)
	assert.EqualValues(t, 1, fs.counters.ReopenFailed.Value())
	assert.Equal(t, "/before\n", read(t, path+".1"), "without waiting for the timer")
	l.Log(of("/after"))
	fs.Close()
	assert.Equal(t, "/before\n", read(t, path+".1"))
	assert.Equal(t, "/after\n", read(t, path))
	assert.Equal(t, "/before\n/after\n", read(t, filepath.Join(dir, "gone", "log")))
}

// TestReopenFull has a full disk, and then a file on another one: it begins with a whole line.
func TestReopenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := taker{room: 9}
		fs, l := open(t, &full, textLog(t, "x", "%REQ(:PATH)%\n"))
		for _, path := range []string{"/first", "/second", "/third"} {
			l.Log(of(path))
		}
		time.Sleep(interval)
		synctest.Wait()
		l.Log(of("/fourth"))
		var other taker
		fs.open = func(string) (io.WriteCloser, error) { return standard{&other}, nil }
		require.NoError(t, fs.Reopen())
		fs.Close()
		assert.Equal(t, "/first\n/s", full.String())
		assert.Equal(t, "/third\n/fourth\n", other.String())
		assert.EqualValues(t, 1, fs.counters.LinesDropped.Value())
		assert.Zero(t, fs.counters.WriteTotalBuffered.Value())
	})
}

// TestDevFull has a disk of the system's that is always full.
func TestDevFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("/dev/full is Linux's")
	}
	fs := NewFiles(stats.NewStore())
	l, err := fs.Open([]*config.AccessLog{textLog(t, "/dev/full", "%REQ(:PATH)%\n")})
	require.NoError(t, err)
	l.Log(of("/a"))
	fs.Close()
	assert.NotZero(t, fs.counters.WriteFailed.Value())
	assert.Zero(t, fs.counters.WriteCompleted.Value())
}
