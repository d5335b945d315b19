package differential

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/internal/envoy"
	_ "github.com/maglev-lb/maglev/mesh/proxy" // of which meshproxy is made: results are not to be taken from the cache when it has changed
)

var (
	recordFlag = flag.Bool("record", false, "TestLive writes what Envoy does into the files, for cases without a recording")
	differs    = flag.String("differs", "", "TestRecorded writes what meshproxy does in the cases that -run names into the files, as a difference on purpose for this reason")
	renew      = flag.Bool("renew", false, "with -record: for all cases")
	// Nothing that has to come takes so long, even on a slow machine: only a test that fails waits for it.
	patience = flag.Duration("patience", 20*time.Second, "how long to wait for what has to come")
	report   = flag.String("report", "", "TestRecorded adds the differences to this file")
)

// seenRequest is the first line of a request that a backend has seen.
var seenRequest = regexp.MustCompile(`^[a-z0-9*]+> [^ ]+ .*HTTP/1\.[01]\n$`)

// meshproxy is the path of the program, built once.
var meshproxy = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "meshproxy-")
	if err != nil {
		return "", err
	}
	built = dir
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	path := filepath.Join(dir, "meshproxy")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/maglev-lb/maglev/mesh/cmd/meshproxy").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building meshproxy: %w\n%s", err, out)
	}
	return path, nil
})

// built is the directory of the program, "" if it was not built.
var built string

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// topics returns the files of the corpus.
func topics(t *testing.T) []string {
	paths, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	return paths
}

// TestRecorded checks that meshproxy does what Envoy has been recorded to do.
func TestRecorded(t *testing.T) {
	binary, err := meshproxy()
	require.NoError(t, err)
	for _, path := range topics(t) {
		t.Run(topic(path), func(t *testing.T) {
			t.Parallel()
			f, b := open(t, path, meshproxyProgram(binary))
			all := b.runAll(f, func(x *exchange) string {
				require.NotEmpty(t, x.envoy, "%s:%d has no recording", path, x.line)
				if x.reason != "" {
					return x.ours
				}
				return x.envoy
			})
			compareAll(t, f, b, all)
			if *differs != "" {
				require.NoError(t, f.write())
			}
		})
	}
}

// TestLive checks that Envoy still does what the files say.
func TestLive(t *testing.T) {
	binary, err := envoy.Find(t.Context())
	if err != nil {
		if os.Getenv("MAGLEV_REQUIRE_LIVE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	for _, path := range topics(t) {
		t.Run(topic(path), func(t *testing.T) {
			t.Parallel()
			f, b := open(t, path, envoyProgram(binary))
			all := b.runAll(f, func(x *exchange) string {
				if *recordFlag && *renew {
					return ""
				}
				if !*recordFlag {
					require.NotEmpty(t, x.envoy, "%s:%d has no recording", path, x.line)
				}
				return x.envoy
			})
			compareAll(t, f, b, all)
			if *recordFlag {
				require.NoError(t, f.write())
			}
		})
	}
}

func topic(path string) string { return strings.TrimSuffix(filepath.Base(path), ".txt") }

// open reads a file and starts a proxy for it.
func open(t *testing.T, path string, p proxy) (*file, *bench) {
	f, err := readFile(path)
	require.NoError(t, err)
	b, err := newBench(f, t.TempDir(), p)
	require.NoError(t, err)
	t.Cleanup(b.close)
	return f, b
}

// compareAll compares what has come of each case with what was expected, as a test of its own.
// What was not expected at all is kept as the recording.
func compareAll(t *testing.T, f *file, b *bench, all []*outcome) {
	broken := b.checkKept()
	for _, o := range all {
		t.Run(o.x.name, func(t *testing.T) {
			require.NoError(t, o.err)
			if o.want == "" {
				o.x.envoy = o.record
				return
			}
			if broken[o.x] && *differs != "" {
				o.record = strings.ReplaceAll(o.record, "= open\n", "= closed\n")
			}
			compare(t, f, o)
			if broken[o.x] {
				fail(t, fmt.Sprintf("%s:%d: %q: the connection has not stayed open\n", f.path, o.x.line, o.x.name))
			}
		})
	}
}

// compare fails the test if a record is not as expected, and tells whether it is only the order of lines.
func compare(t *testing.T, f *file, o *outcome) {
	if o.want == o.record {
		return
	}
	if *differs != "" {
		o.x.ours, o.x.reason = o.record, *differs
		return
	}
	what := "differs"
	if slices.Equal(sorted(o.want), sorted(o.record)) {
		what = "differs in order alone"
	}
	fail(t, fmt.Sprintf("%s:%d: %q %s\n%s--- expected\n%s--- got\n%s", f.path, o.x.line, o.x.name, what, o.x.input, o.want, o.record))
}

// fail fails the test and reports why.
func fail(t *testing.T, text string) {
	t.Error(text)
	if *report != "" {
		addReport(t, text)
	}
}

func sorted(text string) []string { return slices.Sorted(strings.Lines(text)) }

var reporting sync.Mutex

func addReport(t *testing.T, text string) {
	reporting.Lock()
	defer reporting.Unlock()
	out, err := os.OpenFile(*report, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	defer out.Close()
	_, err = out.WriteString(text + "\n")
	require.NoError(t, err)
}

// addressPort returns the port of an address, 0 if it is of a pipe.
func addressPort(a net.Addr) int {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.Port
	}
	return 0
}
