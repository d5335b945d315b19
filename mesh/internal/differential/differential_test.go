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
)

var (
	recordFlag = flag.Bool("record", false, "TestLive writes what Envoy does into the files, for cases without a recording")
	renew      = flag.Bool("renew", false, "with -record: for all cases")
	// Nothing that has to come takes so long, even on a slow machine: only a test that fails waits for it.
	patience = flag.Duration("patience", 20*time.Second, "how long to wait for what has to come")
	report   = flag.String("report", "", "TestRecorded adds the differences to this file")
)

// seenRequest is the first line of a request that a backend has seen.
var seenRequest = regexp.MustCompile(`^[a-z0-9*]+> [^ ]+ .*HTTP/1\.[01]$`)

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
			for _, x := range f.cases {
				t.Run(x.name, func(t *testing.T) {
					want := x.envoy
					if x.reason != "" {
						want = x.ours
					}
					require.NotEmpty(t, want, "%s:%d has no recording", path, x.line)
					got, err := b.run(x, want)
					require.NoError(t, err)
					compare(t, f, x, want, got)
				})
			}
			checkKept(t, f, b)
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
			for _, x := range f.cases {
				t.Run(x.name, func(t *testing.T) {
					want := x.envoy
					if *recordFlag && (*renew || want == "") {
						want = ""
					} else {
						require.NotEmpty(t, want, "%s:%d has no recording", path, x.line)
					}
					got, err := b.run(x, want)
					require.NoError(t, err)
					if want == "" {
						x.envoy = got
						return
					}
					compare(t, f, x, want, got)
				})
			}
			checkKept(t, f, b)
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

// compare fails the test if a record is not as expected, and tells whether it is only the order of lines.
func compare(t *testing.T, f *file, x *exchange, want, got string) {
	if want == got {
		return
	}
	what := "differs"
	if slices.Equal(sorted(want), sorted(got)) {
		what = "differs in order alone"
	}
	text := fmt.Sprintf("%s:%d: %q %s\n%s--- expected\n%s--- got\n%s", f.path, x.line, x.name, what, x.input, want, got)
	if *report != "" {
		addReport(t, text)
	}
	t.Error(text)
}

// checkKept fails the test for connections that have not stayed open.
func checkKept(t *testing.T, f *file, b *bench) {
	for _, x := range b.checkKept() {
		text := fmt.Sprintf("%s:%d: %q: the connection has not stayed open\n", f.path, x.line, x.name)
		if *report != "" {
			addReport(t, text)
		}
		t.Error(text)
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
