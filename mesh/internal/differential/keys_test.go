package differential

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/internal/envoy"
)

// keyCount is how many keys each hash policy is tried with.
const keyCount = 1000

// keysFile has a case for each hash policy and cluster. KEY in what is sent becomes each of the
// keys; the recording holds a letter for each: the backend that it went to.
const keysFile = "testdata/keys/keys.txt"

// TestRecordedKeys checks that meshproxy sends every key to the backend that Envoy chose.
func TestRecordedKeys(t *testing.T) {
	t.Parallel()
	binary, err := meshproxy()
	require.NoError(t, err)
	f, b := open(t, keysFile, meshproxyProgram(binary))
	for _, x := range f.cases {
		t.Run(x.name, func(t *testing.T) {
			got, err := b.letters(x)
			require.NoError(t, err)
			compareKeys(t, x, got)
		})
	}
}

// TestLiveKeys checks that Envoy still chooses as recorded.
func TestLiveKeys(t *testing.T) {
	t.Parallel()
	binary, err := envoy.Find(t.Context())
	if err != nil {
		if os.Getenv("MAGLEV_REQUIRE_LIVE") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	f, b := open(t, keysFile, envoyProgram(binary))
	for _, x := range f.cases {
		t.Run(x.name, func(t *testing.T) {
			got, err := b.letters(x)
			require.NoError(t, err)
			if *recordFlag && (*renew || x.envoy == "") {
				x.envoy = wrap(got)
				return
			}
			compareKeys(t, x, got)
		})
	}
	if *recordFlag {
		require.NoError(t, f.write())
	}
}

// compareKeys fails the test if keys went elsewhere than recorded.
func compareKeys(t *testing.T, x *exchange, got string) {
	want := strings.ReplaceAll(x.envoy, "\n", "")
	require.Len(t, want, keyCount, "%s:%d has no recording", keysFile, x.line)
	different := 0
	for i := range want {
		if want[i] != got[i] {
			different++
		}
	}
	if different > 0 {
		fail(t, fmt.Sprintf("%s:%d: %q: %d of %d keys go to another backend\n%s--- got\n%s", keysFile, x.line, x.name, different, keyCount, x.input, wrap(got)))
	}
}

// wrap breaks letters into lines of a hundred.
func wrap(letters string) string {
	var out strings.Builder
	for len(letters) > 0 {
		n := min(100, len(letters))
		out.WriteString(letters[:n] + "\n")
		letters = letters[n:]
	}
	return out.String()
}

// letters sends a case once for each key and returns who answered.
func (b *bench) letters(x *exchange) (string, error) {
	b.backends.begin(x)
	var request []byte
	for i := range x.steps {
		request = append(request, x.steps[i].send...)
	}
	address, err := b.address(x)
	if err != nil {
		return "", err
	}
	var out []byte
	var c net.Conn
	var r *bufio.Reader
	for i := range keyCount {
		if c == nil || x.from != "" {
			if c != nil {
				c.Close()
			}
			d := net.Dialer{}
			if x.from != "" {
				d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 1, byte(i>>8), byte(i))}
			}
			if c, err = d.Dial("tcp", address); err != nil {
				return "", err
			}
			r = bufio.NewReader(c)
		}
		one := bytes.ReplaceAll(request, []byte("KEY"), fmt.Appendf(nil, "key-%d", i))
		if _, err := c.Write(one); err != nil {
			return "", err
		}
		letter, err := readLetter(r)
		if err != nil {
			return "", fmt.Errorf("key %d: %w", i, err)
		}
		out = append(out, letter)
	}
	c.Close()
	return string(out), nil
}

// readLetter reads an answer. It says who has answered: by its body, or in x-host by the last
// digit of the address to which it could not be sent.
func readLetter(r *bufio.Reader) (byte, error) {
	var m wireMessage
	var err error
	if m.head, err = readHead(r); err != nil {
		return 0, err
	}
	if err := m.readBody(r, false); err != nil {
		return 0, err
	}
	if host, ok := field(m.head, "x-host"); ok && host != "" {
		return host[len(host)-1], nil
	}
	if len(m.body) != 1 {
		return 0, errors.New("not an answer of a backend: " + string(m.head) + string(m.body))
	}
	return m.body[0], nil
}
