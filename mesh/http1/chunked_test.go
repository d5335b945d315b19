package http1_test

import (
	"io"
	"net/http/httputil"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/http1"
)

// read takes a body off b, whose bytes come in pieces of a size.
func read(b []byte, size int) (body string, rest []byte, end bool, err error) {
	var c http1.Chunked
	at := 0
	for to := min(size, len(b)); ; to = min(to+size, len(b)) {
		for at < to {
			data, n, end, err := c.Next(b[at:to])
			body += string(data)
			at += n
			if end || err != nil {
				return body, b[at:], end, err
			}
		}
		if to == len(b) {
			return body, b[at:], false, nil
		}
	}
}

func TestChunks(t *testing.T) {
	const next = "GET /"
	for text, want := range map[string]string{
		"0\r\n\r\n":                              "",
		"3\r\nabc\r\n0\r\n\r\n":                  "abc",
		"00003\r\nabc\r\n000\r\n\r\n":            "abc",
		"1\r\na\r\nA\r\n0123456789\r\n0\r\n\r\n": "a0123456789",
		"3;a=\"b\";c\r\nabc\r\n0;d\r\n\r\n":      "abc",
		"3 ;a\r\n\r\n1\r\n0\r\n\r\n":             "\r\n1",
		"3\r\nabc\r\n0\r\nA: b\r\nc:\r\n\r\n":    "abc",
	} {
		for _, size := range []int{1, 2, 3, 1000} {
			body, rest, end, err := read([]byte(text+next), size)
			require.NoError(t, err, text)
			require.True(t, end, text)
			require.Equal(t, want, body, text)
			require.Equal(t, next, string(rest), text)
		}
		for n := range len(text) {
			_, rest, end, err := read([]byte(text[:n]), 1000)
			require.NoError(t, err, text)
			require.False(t, end, text)
			require.Empty(t, rest, text)
		}
	}
}

func TestChunksThatAreRefused(t *testing.T) {
	for _, text := range []string{
		"\r\n", " 3\r\n", "+3\r\n", "-3\r\n", "0x3\r\n", "3g\r\n", "3h", ";a\r\n", "g\r\n",
		"3 \r\n", "3\t\r\n", "3 3\r\n", // a blank that nothing follows
		"3\nabc", "3\r\r\n", "3\rabc", "3;a\nb", "3;a\x00\r\n", "3;a\rb", "3;\x7f",
		"3\r\nabcd\r\n", "3\r\nabc0\r\n", "3\r\nabc\n0\r\n", "3\r\nabc\r\r",
		"1000000000000000\r\n", "0000000000000003\r\n", "ffffffffffffffff\r\n",
		"0\r\n\n", "0\r\n\ra", "0\r\n: b\r\n", "0\r\nA\r\n", "0\r\nA : b\r\n", "0\r\n A: b\r\n", "0\r\nA: b\n", "0\r\nA: \x00",
		"3;" + strings.Repeat("a", 9<<10), "0\r\nA: " + strings.Repeat("a", 9<<10),
		"0\r\n" + strings.Repeat("A: b\r\n", 3<<10),
	} {
		for _, size := range []int{1, 3, 10000} {
			_, _, end, err := read([]byte(text), size)
			require.False(t, end, "%.100q", text)
			var e *http1.Error
			require.ErrorAs(t, err, &e, "%.100q", text)
			require.Equal(t, 400, e.Status)
		}
	}
}

// What is taken is what net/http reads, in pieces of any size.
func FuzzChunked(f *testing.F) {
	for _, text := range []string{"3\r\nabc\r\n0\r\n\r\n", "3;a\r\nabc\r\nA\r\n0123456789\r\n0\r\nA: b\r\n\r\n", "0\r\n\r\n", "3 ;a\r\n"} {
		f.Add(text, byte(1))
	}
	f.Fuzz(func(t *testing.T, text string, size byte) {
		body, rest, end, err := read([]byte(text), 1<<20)
		again, restAgain, endAgain, errAgain := read([]byte(text), int(size)+1)
		require.Equal(t, body, again)
		require.Equal(t, end, endAgain)
		require.Equal(t, err, errAgain)
		if !end {
			return
		}
		require.Equal(t, rest, restAgain)
		want, err := io.ReadAll(httputil.NewChunkedReader(strings.NewReader(text[:len(text)-len(rest)])))
		require.NoError(t, err)
		require.Equal(t, string(want), body)
	})
}
