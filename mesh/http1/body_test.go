package http1_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/http1"
)

func TestDecoder(t *testing.T) {
	for name, c := range map[string]struct {
		body  http1.Body
		bytes string
		want  string
		rest  string
		end   bool
		cut   bool // if the connection ends behind the bytes
	}{
		"no body":              {http1.NoBody, "GET", "", "GET", true, false},
		"length":               {3, "abcGET", "abc", "GET", true, false},
		"length, cut":          {4, "abc", "abc", "", false, true},
		"in chunks":            {http1.InChunks, "3\r\nabc\r\n0\r\n\r\nGET", "abc", "GET", true, false},
		"in chunks, cut":       {http1.InChunks, "3\r\nabc\r\n0\r\n", "abc", "", false, true},
		"until the connection": {http1.UntilClose, "abcGET", "abcGET", "", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{1, 2, 100} {
				d := http1.Head{Body: c.body}.Decoder()
				body, b := "", []byte(c.bytes)
				end := false
				for have := 0; !end; {
					have = min(have+size, len(b))
					data, n, ended, err := d.Next(b[:have])
					require.NoError(t, err)
					body += string(data)
					b, have, end = b[n:], have-n, ended
					if len(b) == 0 && n == 0 {
						break
					}
				}
				require.Equal(t, c.want, body)
				require.Equal(t, c.rest, string(b))
				require.Equal(t, c.end, end)
				require.Equal(t, c.cut, !d.Closed())
			}
		})
	}
}
