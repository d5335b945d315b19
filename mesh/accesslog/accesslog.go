// Package accesslog writes a line for each exchange into the files of the access logs.
//
// A request must not wait for a disk. So its line is put behind others in memory, and a
// goroutine a file writes them, many with one system call: when there are 64 KiB of them,
// and half a second after the first at the latest. It sleeps while there are none.
//
//	Log.Log ──▶ pending (under a mutex) ──swap──▶ rest ──write──▶ file
//	                │ full: the line is dropped       │ failed: tried again, in its place
//
// What cannot be written stays in memory, up to a bound, and is written when there is room
// again, from the very byte on where it had failed: no line is torn. Beyond the bound
// lines are dropped and counted.
package accesslog

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// Files are the open files of access logs: one of each path, whoever logs to it. Any
// number of goroutines may use it.
type Files struct {
	counters *counters
	open     func(path string) (io.WriteCloser, error)

	mu     sync.Mutex
	files  map[string]*file // by path
	closed bool
}

// counters are Envoy's statistics of files, filesystem.*.
type counters struct {
	WriteBuffered      stats.Counter `stat:"write_buffered"`       // lines
	WriteCompleted     stats.Counter `stat:"write_completed"`      // system calls
	WriteFailed        stats.Counter `stat:"write_failed"`         // system calls
	FlushedByTimer     stats.Counter `stat:"flushed_by_timer"`     // times, of those when there was something
	ReopenFailed       stats.Counter `stat:"reopen_failed"`        // files
	WriteTotalBuffered stats.Gauge   `stat:"write_total_buffered"` // bytes
	LinesDropped       stats.Counter `stat:"lines_dropped"`        // ours: Envoy drops without a count
}

// NewFiles returns Files that count in a store. None is open yet.
func NewFiles(store *stats.Store) *Files {
	return &Files{
		counters: stats.Group[counters](store.Scope("filesystem")),
		open:     openFile,
		files:    make(map[string]*file),
	}
}

// openFile opens a file for appending as Envoy does: for reading as well, so that a named
// pipe nobody reads from yet is no error and does not block.
func openFile(path string) (io.WriteCloser, error) {
	switch path {
	case "/dev/stdout":
		return standard{os.Stdout}, nil
	case "/dev/stderr":
		return standard{os.Stderr}, nil
	}
	return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o644)
}

// standard is an output of the process, which is not ours to close.
type standard struct{ io.Writer }

func (standard) Close() error { return nil }

// Open opens the files of access logs, those that are not open yet, and returns what logs
// to them. All that cannot be opened are in the error, with their names.
func (fs *Files) Open(logs []*config.AccessLog) (Log, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	var l Log
	var errs []error
	for _, log := range logs {
		f, err := fs.file(filepath.Clean(log.Path))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		l = append(l, target{log, f})
	}
	return l, errors.Join(errs...)
}

func (fs *Files) file(path string) (*file, error) {
	if fs.closed {
		return nil, os.ErrClosed
	}
	if f, ok := fs.files[path]; ok {
		return f, nil
	}
	w, err := fs.open(path)
	if err != nil {
		return nil, err
	}
	f := newFile(w, fs.counters)
	fs.files[path] = f
	return f, nil
}

// Reopen opens all files anew, for those that have been renamed to be rotated away. What
// was logged before goes to the old ones. A file that cannot be opened stays the one it
// was, is counted, and is in the error.
func (fs *Files) Reopen() error {
	fs.mu.Lock()
	files := maps.Clone(fs.files)
	fs.mu.Unlock()
	var errs []error
	for path, f := range files {
		w, err := fs.open(path)
		if err != nil {
			fs.counters.ReopenFailed.Inc()
			errs = append(errs, err)
			continue
		}
		f.replace(w)
	}
	return errors.Join(errs...)
}

// Close writes what is pending and closes all files. Lines that are logged later are
// dropped. A file that does not take its lines, such as a pipe nobody reads from, is
// waited for a second.
func (fs *Files) Close() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.closed = true
	var wait sync.WaitGroup
	for _, f := range fs.files {
		wait.Go(f.close)
	}
	wait.Wait()
	clear(fs.files)
}

// A Log is where the exchanges of an HTTP connection manager are logged. The zero Log is
// nowhere. Any number of goroutines may use it.
type Log []target

// A target is an access log and its file.
type target struct {
	log  *config.AccessLog
	file *file
}

// Log logs an exchange that is over, wherever its filters want it.
func (l Log) Log(ex *message.Exchange) {
	for i := range l {
		t := &l[i]
		if t.log.Filter == nil || t.log.Filter(ex) {
			t.file.log(&t.log.Format, ex)
		}
	}
}
