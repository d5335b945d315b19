package grpcbalancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/grpc/resolver"
)

// FileScheme is the scheme of targets whose backends are in a file:
//
//	maglev-file:///etc/cache/backends.yaml?interval=5s
//
// The path is absolute. The file is JSON if its name ends in .json, and YAML if in .yaml
// or .yml. It is a list of backends, or an object that has one as its field backends. A
// backend is a text as in targets of [StaticScheme], or an object with the fields
// address, additionalAddresses, weight, key and name, where name is
// [Backend.ServerName]; of these only address is required:
//
//	backends:
//	- 10.0.0.1:443
//	- 10.0.0.2:443;weight=2
//	- address: 10.0.0.3:443
//	  additionalAddresses: ["[fd00::3]:443"]
//	  weight: 2
//	  key: cache-c
//	  name: cache-c.example
//
// The file is read once a second, or as often as interval says, from 100ms on, and soon
// after a connection fails. A set that has changed is taken when two reads, 100 ms
// apart, are the same: a file that somebody is writing may look whole. Better
// still, replace it by renaming another. It must not be larger than 16 MiB.
//
// A file that is missing, broken or empty, or that lists no backends, changes nothing:
// the last good set stays, and the error is logged. It stays for as long as the process
// does, so that channels that have been idle have it, and new ones. Before there has
// been a good set, calls fail with the error.
//
// A name in front of the path is the authority, as in maglev-file://cache.example/etc/…;
// see [StaticScheme].
const FileScheme = "maglev-file"

func init() {
	resolver.Register(fileBuilder{})
}

// settle is the time between the two reads that have to be the same, and the least time
// between any two. It is the shortest interval, too.
const settle = 100 * time.Millisecond

// maxFile bounds what is read again and again, and kept: by then it is another file, such as
// a log. It has room for more backends than a process has connections.
const maxFile = 16 << 20

const tooLarge = "it is larger than 16 MiB"

// A fileBuilder builds resolvers that read a file.
type fileBuilder struct{}

func (fileBuilder) Scheme() string { return FileScheme }

// OverrideAuthority implements [resolver.AuthorityOverrider].
func (fileBuilder) OverrideAuthority(t resolver.Target) string { return authorityOf(t.URL.Host) }

// Build implements [resolver.Builder]. It does not wait for the file.
func (fileBuilder) Build(t resolver.Target, cc resolver.ClientConn, opts resolver.BuildOptions) (resolver.Resolver, error) {
	const such = FileScheme + ":///etc/cache/backends.yaml"
	if err := checkTarget(t.URL, such); err != nil {
		return nil, err
	}
	path := filepath.FromSlash(t.URL.Path)
	switch {
	case path == "":
		return nil, fmt.Errorf("grpcbalancer: target: %q: it must have the absolute path of a file, such as %s", t.URL.Opaque, such)
	case formatOf(path) == nil:
		return nil, fmt.Errorf("grpcbalancer: target: %q: the name of the file must end in .json, .yaml or .yml", path)
	}
	interval, err := parseInterval(t.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &file{
		path: path, interval: interval, named: isNamed(opts.Authority),
		cc: cc, cancel: cancel, now: make(chan struct{}, 1),
	}
	go f.watch(ctx)
	return f, nil
}

// parseInterval reads the part of a target after the question mark.
func parseInterval(query string) (time.Duration, error) {
	const allowed = "all there can be is ?interval=5s, or another duration from 100ms on"
	wrong := func() (time.Duration, error) {
		return 0, fmt.Errorf("grpcbalancer: target: %q: %s", "?"+query, allowed)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return wrong()
	}
	if len(values) == 0 {
		return time.Second, nil
	}
	if len(values) > 1 || len(values["interval"]) != 1 {
		return wrong()
	}
	interval, err := time.ParseDuration(values["interval"][0])
	if err != nil || interval < settle {
		return wrong()
	}
	return interval, nil
}

// A file is a resolver that reads a file again and again.
//
// It polls, as what tells of changes (inotify and its like) does so for a directory
// entry or a file that there is: not when a link further up the path is made to lead
// elsewhere, as Kubernetes does it with its config maps, and not over network file
// systems. Nor does it go by times and sizes, which may stay the same as content
// changes. A file of backends is small.
type file struct {
	path     string
	interval time.Duration
	named    bool
	cc       resolver.ClientConn
	cancel   context.CancelFunc
	now      chan struct{} // has an element if it is to be read soon

	// What is below belongs to watch.
	settled *fileContent // what the file had when it was taken, or refused, last
	latest  *fileContent // what it had now, if that is not settled
	good    int          // how many backends the last good set has
}

// A fileContent is what came of reading a file.
type fileContent struct{ text, err string }

// watch reads the file until the context ends. It is not waited for: the file may be on a
// disk that does not answer.
func (f *file) watch(ctx context.Context) {
	for {
		f.look(ctx)
		select {
		case <-time.After(settle):
		case <-ctx.Done():
			return
		}
		if f.latest != nil {
			continue
		}
		select {
		case <-time.After(f.interval - settle):
		case <-f.now:
		case <-ctx.Done():
			return
		}
	}
}

// look reads the file, and takes what is in it if it is settled. The first good set is
// taken at once: a start need not wait, and if it was half a file, the whole follows.
func (f *file) look(ctx context.Context) {
	c := readFile(f.path)
	first := f.settled == nil && f.latest == nil
	switch {
	case f.settled != nil && *f.settled == c:
		f.latest = nil
		return
	case f.latest == nil || *f.latest != c:
		f.latest = &c
		if !first || c.err != "" {
			return
		}
	}
	backends, err := f.parse(c)
	if first && err != nil {
		return
	}
	f.settled, f.latest = &c, nil
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		lastGood.put(f.path, backends)
		f.take(backends)
		return
	}
	if last := lastGood.of(f.path); f.good == 0 && last != nil {
		f.take(last)
	}
	if f.good > 0 {
		err = fmt.Errorf("%w (the last good set stays, of %d)", err, f.good)
	}
	logger.Error(err)
	f.cc.ReportError(err)
}

func (f *file) take(backends []Backend) {
	f.good = len(backends)
	if err := f.cc.UpdateState(stateOf(backends, f.named)); err != nil {
		logger.Warningf("%s: its %d backends have not been taken: %v", f.path, len(backends), err)
	}
}

func (f *file) parse(c fileContent) ([]Backend, error) {
	if c.err != "" {
		return nil, fmt.Errorf("grpcbalancer: file %s: %s", f.path, c.err)
	}
	backends, err := parseFile([]byte(c.text), formatOf(f.path))
	if err != nil {
		return nil, fmt.Errorf("grpcbalancer: file %s: %w", f.path, err)
	}
	return backends, nil
}

// lastGood are the last good sets of files, by path. A channel that has been idle has
// another resolver afterwards, which must not know less.
var lastGood = fileSets{sets: make(map[string][]Backend)}

type fileSets struct {
	mu   sync.Mutex
	sets map[string][]Backend
}

func (s *fileSets) put(path string, backends []Backend) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sets[path] = backends
}

func (s *fileSets) of(path string) []Backend {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sets[path]
}

func readFile(path string) fileContent {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return unread(err)
	case !info.Mode().IsRegular(): // a pipe would keep us waiting
		return fileContent{err: "it is not a regular file"}
	case info.Size() > maxFile:
		return fileContent{err: tooLarge}
	}
	f, err := os.Open(path)
	if err != nil {
		return unread(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1)) // it may have grown since
	switch {
	case err != nil:
		return unread(err)
	case len(text) > maxFile:
		return fileContent{err: tooLarge}
	}
	return fileContent{text: string(text)}
}

func unread(err error) fileContent {
	var of *fs.PathError // which repeats the path
	if errors.As(err, &of) {
		err = of.Err
	}
	return fileContent{err: err.Error()}
}

// ResolveNow implements [resolver.Resolver].
func (f *file) ResolveNow(resolver.ResolveNowOptions) {
	select {
	case f.now <- struct{}{}:
	default:
	}
}

// Close implements [resolver.Resolver].
func (f *file) Close() { f.cancel() }
