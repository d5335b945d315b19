package grpcbalancer

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/resolver"
)

func TestFiles(t *testing.T) {
	want, err := checkBackends([]Backend{
		{Address: "10.0.0.1:443"},
		{Address: "10.0.0.2:443", Weight: 2, Key: "a,b"},
		{Address: "10.0.0.3:443", AdditionalAddresses: []string{"[fd00::3]:443"}, Weight: 3, Key: "007", ServerName: "c.example"},
	}, nil)
	require.NoError(t, err)
	for end, texts := range map[string][]string{
		".json": {
			`["10.0.0.1:443", "10.0.0.2:443;weight=2;key=a%2Cb", {"address":"10.0.0.3:443","additionalAddresses":["[fd00::3]:443"],"weight":3,"key":"007","name":"c.example"}]`,
			"\n{\"backends\": [{\"address\":\"10.0.0.1:443\",\"weight\":null}, {\"address\":\"10.0.0.2:0443\",\"weight\":2,\"key\":\"a,b\"}, \"10.0.0.3:443+[fd00::3]:443;weight=3;key=007;name=c.example\"]}\n",
		},
		".YML": {
			"- 10.0.0.1:443\n- 10.0.0.2:443;weight=2;key=a%2Cb\n- {address: 10.0.0.3:443, additionalAddresses: ['[fd00::3]:443'], weight: 3, key: 007, name: c.example}\n",
			"backends:\n- address: 10.0.0.1:443\n  weight:\n- address: 10.0.0.2:443\n  weight: 2\n  key: a,b\n- 10.0.0.3:443+[fd00::3]:443;weight=3;key=007;name=c.example\n",
			"backends: [&a 10.0.0.1:443, {address: 10.0.0.2:443, weight: &two 2, key: 'a,b'}, {address: 10.0.0.3:443, additionalAddresses: ['[fd00::3]:443'], weight: 3, key: \"007\", name: c.example}]",
			`{"backends": ["10.0.0.1:443", "10.0.0.2:443;weight=2;key=a%2Cb", "10.0.0.3:443+[fd00::3]:443;weight=3;key=007;name=c.example"]}`,
		},
	} {
		for _, text := range texts {
			got, err := parseFile([]byte(text), formatOf("backends"+end))
			require.NoError(t, err, text)
			require.Equal(t, want, got, text)
		}
	}
}

func TestBadFiles(t *testing.T) {
	for _, c := range []struct{ end, text, want string }{
		{".json", ``, `it must be a list of backends, or an object with one as its field "backends"`},
		{".json", `"10.0.0.1:443"`, `it must be a list of backends`},
		{".json", `{"backends": "10.0.0.1:443"}`, `it must be a list of backends`},
		{".json", `[]`, `it lists no backends; a file must list one at least`},
		{".json", `{}`, `it lists no backends`},
		{".json", `["10.0.0.1:443"`, `it is not JSON: unexpected EOF`},
		{".json", `["10.0.0.1:443"] []`, `it is not JSON: there is something after its end`},
		{".json", `{"backend": []}`, `unknown field "backend"; there is backends`},
		{".json", `{"Backends": ["a:1"]}`, `unknown field "Backends"; there is backends`},
		{".json", `{"backends": ["a:1"], "backends": ["b:1"]}`, `field "backends" is there twice`},
		{".json", `{"backends": null}`, `it lists no backends`},
		{".json", `["a:1", {"address":"b:1","weight":2,"weight":3}]`, `backends[1]: field "weight" is there twice`},
		{".json", `["a:1", {"address":"b:1","Weight":2}]`, `backends[1]: unknown field "Weight"; there is address, `},
		{".json", `["10.0.0.1:443", {"address":"10.0.0.2:443","wieght":2}]`, `backends[1]: unknown field "wieght"; there is`},
		{".json", `["10.0.0.1:443", 7]`, `backends[1]: entry "7": backend not usable: it must be a text or an object`},
		{".json", `[{"address":"a:1","weight":0}]`, `backends[0]: weight "0": backend not usable: it must be a whole number from 1 to 4294967295`},
		{".json", `[{"address":"a:1","weight":1.5}]`, `backends[0]: weight "1.5": backend not usable`},
		{".json", `[{"address":"a:1","key":7}]`, `backends[0]: key "7": backend not usable: it must be a text`},
		{".json", `[{"address":"a:1","additionalAddresses":"b:2"}]`, `backends[0]: additionalAddresses "\"b:2\"": backend not usable: it must be a text, or a list`},
		{".json", `[{"weight":2}]`, `backends[0]: address "": backend not usable: it must be a host and a port`},
		{".json", `["a:1", "b"]`, `backends[1]: address "b": backend not usable`},
		{".json", `["a:1;weight=2;weight=3"]`, `backends[0]: parameter "weight=3"`},
		{".json", `["a:1", "b:1", {"address":"c:1","key":"a:1"}]`, `backends[2]: key "a:1": backend not usable: it is that of backends[0] too`},
		{".json", `["a:1", {"address":"a:1"}]`, `backends[1]: address "a:1": backend not usable: it is one of backends[0] too`},
		{".yaml", "", `it must be a list of backends`},
		{".yaml", "# nobody\n", `it must be a list of backends`},
		{".yaml", "backends:\n", `it must be a list of backends`},
		{".yaml", "backends: []\n", `it lists no backends`},
		{".yaml", "a:1", `it must be a list of backends`},
		{".yaml", "backends: [\n", `it is not YAML: yaml: line`},
		{".yaml", "- a:1\n---\n- b:1\n", `it must be one YAML document, and no more: line 2`},
		{".yaml", "backend: [a:1]\n", `line 1: unknown field "backend"; there is backends`},
		{".yaml", "- a:1\n- address: b:1\n  wieght: 2\n", `backends[1]: line 3: unknown field "wieght"; there is address, additionalAddresses, weight, key, name`},
		{".yaml", "- a:1\n- [b:1]\n", `backends[1]: line 2: backend not usable: it must be a text or a mapping`},
		{".yaml", "- a:1\n-\n", `backends[1]: address "": backend not usable`},
		{".yaml", "- {address: a:1, weight: 0x10}\n", `backends[0]: weight "0x10": backend not usable`},
		{".yaml", "- {address: a:1, weight: ''}\n", `backends[0]: weight "(no number)": backend not usable`},
		{".yaml", "- {address: a:1, weight: [2]}\n", `backends[0]: weight "(no number)": backend not usable`},
		{".yaml", "- {address: a:1, key: [k]}\n", "backends[0]: backend not usable: line 1: cannot unmarshal"},
		{".yaml", "- {address: a:1, address: b:1}\n", `backends[0]: line 1: field "address" is there twice`},
		{".yaml", "backends: [a:1]\nbackends: [b:1]\n", `line 2: field "backends" is there twice`},
	} {
		_, err := parseFile([]byte(c.text), formatOf("backends"+c.end))
		require.ErrorContains(t, err, c.want, c.text)
	}
}

func TestBadFileTargets(t *testing.T) {
	for text, want := range map[string]string{
		"maglev-file:///":                        `"/": the name of the file must end in .json, .yaml or .yml`,
		"maglev-file:backends.json":              `"backends.json": it must have the absolute path of a file, such as maglev-file:///etc/cache/backends.yaml`,
		"maglev-file://backends.json":            `it must have the absolute path of a file`,
		"maglev-file:///backends.toml":           `"/backends.toml": the name of the file must end in .json, .yaml or .yml`,
		"maglev-file:///b.json?interval=99ms":    `"?interval=99ms": all there can be is ?interval=5s, or another duration from 100ms on`,
		"maglev-file:///b.json?interval=1":       `"?interval=1": all there can be`,
		"maglev-file:///b.json?interval=":        `all there can be`,
		"maglev-file:///b.json?every=1s":         `all there can be`,
		"maglev-file:///b.json?interval=1s&a=b":  `all there can be`,
		"maglev-file:///b.json?interval=1s;a=b":  `all there can be`,
		"maglev-file:///b.json#interval=1s":      `it must not have a fragment`,
		"maglev-file://me@cache.example/b.json":  `it must not have a user`,
		"maglev-file:///b.json?interval=%2D1h5s": `all there can be`,
	} {
		_, _, err := build(t, fileBuilder{}, text)
		require.ErrorContains(t, err, want, text)
		require.Regexp(t, "^grpcbalancer: target: ", err.Error())
	}
}

// A watched file and what its resolver says, on a clock of its own.
type watched struct {
	*testing.T
	*recorder
	path string
	r    resolver.Resolver
}

func watch(t *testing.T, path, query string) *watched {
	t.Helper()
	cc, r, err := build(t, fileBuilder{}, "maglev-file://"+path+query)
	require.NoError(t, err)
	return &watched{t, cc, path, r}
}

func (w *watched) write(text string) {
	w.Helper()
	require.NoError(w, os.WriteFile(w.path, []byte(text), 0o600))
}

// says requires that within some time there are these backends, and nothing else before.
func (w *watched) says(within time.Duration, addrs ...string) {
	w.Helper()
	select {
	case state := <-w.states:
		var got []string
		for _, e := range state.Endpoints {
			got = append(got, e.Addresses[0].Addr)
		}
		require.Equal(w, addrs, got)
	case err := <-w.errs:
		require.NoError(w, err)
	case <-time.After(within):
		require.Fail(w, "nothing is said", "within %v", within)
	}
}

func (w *watched) fails(within time.Duration, want string) {
	w.Helper()
	select {
	case state := <-w.states:
		require.Fail(w, "no error", "but %v", state)
	case err := <-w.errs:
		require.ErrorContains(w, err, want)
	case <-time.After(within):
		require.Fail(w, "nothing is said", "within %v", within)
	}
}

// silent requires that nothing is said for a while.
func (w *watched) silent(d time.Duration) {
	w.Helper()
	time.Sleep(d)
	synctest.Wait()
	require.Empty(w, w.states)
	require.Empty(w, w.errs)
}

// A change is seen after a second at most, and taken when it is read again.
const (
	once  = time.Millisecond
	soon  = 3*settle + once
	later = time.Second + settle + once
)

func TestAFileIsWatched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backends.json")
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, os.WriteFile(path, []byte(`["a:1"]`), 0o600))
		w := watch(t, path, "")
		w.says(once, "a:1")

		w.write(`["b:1"]`)
		w.silent(time.Second)
		w.says(settle+once, "b:1") // read again
		w.silent(10 * time.Second)

		// Renamed over, and the same size.
		next := path + ".next"
		require.NoError(t, os.WriteFile(next, []byte(`["c:1"]`), 0o600))
		require.NoError(t, os.Rename(next, path))
		w.says(later, "c:1")
	})
}

// What is wrong is said once, and the set stays until there is a good one.
func TestAFileIsBroken(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, filepath.Join(dir, "backends.yaml"), "?interval=100ms")
		w.fails(settle+once, "grpcbalancer: file "+filepath.Join(dir, "backends.yaml")+": no such file or directory")
		w.silent(10 * time.Second)
		w.write("- a:1\n- b:70000\n")
		w.fails(soon, "backends[1]: address \"b:70000\"")
		w.silent(10 * time.Second)
		w.write("- a:1\n- b:7\n")
		w.says(soon, "a:1", "b:7")
		w.write("")
		w.fails(soon, "it must be a list of backends")
		require.NoError(t, os.Truncate(w.path, maxFile+1))
		w.fails(soon, "it is larger than 16 MiB")
		require.NoError(t, os.Remove(w.path))
		w.fails(soon, "no such file")
		require.NoError(t, os.Mkdir(w.path, 0o700))
		w.fails(soon, "it is not a regular file")
		require.NoError(t, os.Remove(w.path))
		w.write("- c:1\n")
		w.says(soon, "c:1")
		w.r.Close()
		w.write("- d:1\n")
		w.silent(10 * time.Second)
	})
}

// A channel that has been idle has another resolver, which knows the last good set.
func TestAFileBreaksWhileAChannelIsIdle(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backends.json")
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, os.WriteFile(path, []byte(`["a:1", "b:1"]`), 0o600))
		first := watch(t, path, "")
		first.says(once, "a:1", "b:1")
		first.r.Close()
		require.NoError(t, os.Remove(path))

		second := watch(t, path, "")
		second.says(soon, "a:1", "b:1")
		second.fails(once, "no such file or directory (the last good set stays, of 2)")
		second.write(`["c:1"]`)
		second.says(later, "c:1")
	})
}

// Half a file may be a good one; it is not taken.
func TestAFileIsBeingWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backends.yaml")
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, os.WriteFile(path, []byte("- a:1\n- b:1\n"), 0o600))
		w := watch(t, path, "")
		w.says(once, "a:1", "b:1")
		time.Sleep(990 * time.Millisecond)
		for _, half := range []string{"", "- c:1\n", "- c:1\n- d:1\n", "- c:1\n- d:10\n", "- c:1\n- d:100\n"} {
			w.write(half) // 10 ms before it is read
			w.silent(settle)
		}
		w.says(soon, "c:1", "d:100")
	})
}

// Kubernetes makes a link further up the path lead elsewhere.
func TestAFileBehindLinks(t *testing.T) {
	dir := t.TempDir()
	for version, text := range map[string]string{"v1": `["a:1"]`, "v2": `["b:1"]`} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, version), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, version, "backends.json"), []byte(text), 0o600))
	}
	require.NoError(t, os.Symlink("v1", filepath.Join(dir, "data")))
	require.NoError(t, os.Symlink(filepath.Join("data", "backends.json"), filepath.Join(dir, "backends.json")))
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, filepath.Join(dir, "backends.json"), "")
		w.says(once, "a:1")
		require.NoError(t, os.Symlink("v2", filepath.Join(dir, "data.next")))
		require.NoError(t, os.Rename(filepath.Join(dir, "data.next"), filepath.Join(dir, "data")))
		w.says(later, "b:1")
	})
}

func TestAFileIsReadSoonAfterAFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "backends.json")
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, os.WriteFile(path, []byte(`["a:1"]`), 0o600))
		w := watch(t, path, "?interval=1h")
		w.says(once, "a:1")
		time.Sleep(time.Minute)
		w.write(`["b:1"]`)
		for range 100 {
			w.r.ResolveNow(resolver.ResolveNowOptions{})
		}
		w.says(soon, "b:1")
	})
}
