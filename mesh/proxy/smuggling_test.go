package proxy

import (
	"bufio"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What two programs may read in two ways is refused, and reaches no backend. Each of these is sent
// through the whole of the proxy, with a good request behind it that must not be
// answered either: where it begins is not known.
func TestRefusedRequestsReachNoBackend(t *testing.T) {
	const (
		get  = "GET / HTTP/1.1\r\nhost: h\r\n"
		post = "POST / HTTP/1.1\r\nhost: h\r\n"
	)
	refused := map[string]string{
		// RFC 9112, section 6.1, and the names that the attacks go by.
		"CL.TE":                         post + "content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG",
		"TE.CL":                         post + "transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n5c\r\n",
		"TE.TE: another value":          post + "transfer-encoding: xchunked\r\n\r\n0\r\n\r\n",
		"TE.TE: twice":                  post + "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n",
		"TE.TE: twice the same":         post + "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
		"TE.TE: a list":                 post + "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"TE.TE: a blank before":         post + "transfer-encoding : chunked\r\n\r\n0\r\n\r\n",
		"TE.TE: a vertical tab":         post + "transfer-encoding: \vchunked\r\n\r\n0\r\n\r\n",
		"TE.TE: quoted":                 post + "transfer-encoding: \"chunked\"\r\n\r\n0\r\n\r\n",
		"TE.TE: folded":                 post + "transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		"TE.TE: a NUL":                  post + "transfer-encoding: chunked\x00\r\n\r\n0\r\n\r\n",
		"TE identity with CL":           post + "transfer-encoding: identity\r\ncontent-length: 1\r\n\r\na",
		"TE in HTTP/1.0":                "POST / HTTP/1.0\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
		"CL with a sign":                post + "content-length: +5\r\n\r\n12345",
		"CL below 0":                    post + "content-length: -1\r\n\r\n",
		"CL in hexadecimal":             post + "content-length: 0x5\r\n\r\n12345",
		"CL as a list":                  post + "content-length: 5, 5\r\n\r\n12345",
		"CL twice":                      post + "content-length: 5\r\ncontent-length: 6\r\n\r\n12345",
		"CL twice the same":             post + "content-length: 5\r\ncontent-length: 5\r\n\r\n12345",
		"CL empty":                      post + "content-length:\r\n\r\n",
		"CL with a blank within":        post + "content-length: 1 0\r\n\r\n1234567890",
		"CL of 2^64":                    post + "content-length: 18446744073709551616\r\n\r\n",
		"CL of 2^63":                    post + "content-length: 9223372036854775808\r\n\r\n",
		"CL behind a bare CR":           post + "x: a\rcontent-length: 5\r\n\r\n12345",
		"bare LF behind the first line": "GET / HTTP/1.1\nhost: h\r\n\r\n",
		"bare LF behind a field":        "GET / HTTP/1.1\r\nhost: h\nx: y\r\n\r\n",
		"bare LF at the end":            get + "\n",
		"bare CR in a value":            get + "x: a\rb\r\n\r\n",
		"bare CR in the first line":     "GET /\r HTTP/1.1\r\nhost: h\r\n\r\n",
		"obs-fold":                      get + "x: a\r\n b\r\n\r\n",
		"a blank before all fields":     "GET / HTTP/1.1\r\n host: h\r\n\r\n",
		"NUL in a name":                 get + "x\x00y: a\r\n\r\n",
		"NUL in a value":                get + "x: a\x00b\r\n\r\n",
		"NUL in the target":             "GET /a\x00b HTTP/1.1\r\nhost: h\r\n\r\n",
		"a blank before the colon":      get + "x : a\r\n\r\n",
		"a tab before the colon":        get + "x\t: a\r\n\r\n",
		"no colon":                      get + "x\r\n\r\n",
		"no name":                       get + ": x\r\n\r\n",
		"a name that is no token":       get + "x(y): a\r\n\r\n",
		"no host":                       "GET / HTTP/1.1\r\n\r\n",
		"two hosts":                     get + "host: h\r\n\r\n",
		"host with a blank":             "GET / HTTP/1.1\r\nhost: a b\r\n\r\n",
		"host as a list":                "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n",
		"host as a path":                "GET / HTTP/1.1\r\nhost: a/b\r\n\r\n",
		"tabs in the first line":        "GET\t/\tHTTP/1.1\r\nhost: h\r\n\r\n",
		"two blanks":                    "GET  / HTTP/1.1\r\nhost: h\r\n\r\n",
		"a blank behind the version":    "GET / HTTP/1.1 \r\nhost: h\r\n\r\n",
		"a method in lower case":        "get / HTTP/1.1\r\nhost: h\r\n\r\n",
		"a method nobody knows":         "FOO / HTTP/1.1\r\nhost: h\r\n\r\n",
		"HTTP/0.9":                      "GET /\r\n\r\n",
		"HTTP/1.2":                      "GET / HTTP/1.2\r\nhost: h\r\n\r\n",
		"HTTP/2.0":                      "GET / HTTP/2.0\r\nhost: h\r\n\r\n",
		"a version with more digits":    "GET / HTTP/1.10\r\nhost: h\r\n\r\n",
		"the preface of HTTP/2":         "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"a fragment":                    "GET /a#b HTTP/1.1\r\nhost: h\r\n\r\n",
		"a target without a slash":      "GET a HTTP/1.1\r\nhost: h\r\n\r\n",
		"a target of another scheme":    "GET ftp://h/ HTTP/1.1\r\nhost: h\r\n\r\n",
		"an asterisk":                   "GET * HTTP/1.1\r\nhost: h\r\n\r\n",
		"Connection names the host":     get + "connection: host\r\n\r\n",
		"Connection names a pseudo":     get + "connection: :path\r\n\r\n",
		"Connection names XFF":          get + "x-forwarded-for: 1.2.3.4\r\nconnection: close, X-Forwarded-For\r\n\r\n",
		"Connection names XFP":          get + "connection: x-forwarded-proto\r\n\r\n",
		"Connection names many":         get + "connection: a,b,c,d,e,f,g,h,i,j,k\r\n\r\n",
		"a head too large":              get + "x: " + strings.Repeat("a", 61<<10) + "\r\n\r\n",
		"too many fields":               get + strings.Repeat("x: y\r\n", 100) + "\r\n",
		"TLS":                           "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	}
	f := start(t, setup{})
	for name, request := range refused {
		t.Run(name, func(t *testing.T) {
			c := f.dial()
			io.WriteString(c, request+"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n")
			a := c.must("GET")
			assert.Contains(t, []int{400, 404, 426, 431, 501, 505}, a.StatusCode, a.body)
			assert.True(t, a.Close)
			c.closed()
			assert.Empty(t, f.backends[0].Requests())
			f.backends[0].Forget()
		})
	}
}

// Of a body whose end is in doubt the backend never gets what looks like an end.
func TestBadChunksAreNotPassedOn(t *testing.T) {
	f := start(t, setup{})
	for name, body := range map[string]string{
		"no size":                 "\r\n\r\n",
		"a size that overflows":   "10000000000000000\r\n",
		"a size of zeros":         "00000000000000000000\r\n\r\n",
		"a sign":                  "+5\r\n12345\r\n0\r\n\r\n",
		"0x":                      "0x5\r\n12345\r\n0\r\n\r\n",
		"blanks behind it":        "5 \r\n12345\r\n0\r\n\r\n",
		"blanks before it":        " 5\r\n12345\r\n0\r\n\r\n",
		"underscores":             "1_0\r\n1234567890123456\r\n0\r\n\r\n",
		"bare LF":                 "5\n12345\r\n0\r\n\r\n",
		"bare LF in an extension": "5;a\nb\r\n12345\r\n0\r\n\r\n",
		"bare CR in an extension": "5;a\rb\r\n12345\r\n0\r\n\r\n",
		"bare LF behind the data": "5\r\n12345\n0\r\n\r\n",
		"more than the size":      "5\r\n123456\r\n0\r\n\r\n",
		"a long extension":        "5;" + strings.Repeat("a", 20<<10) + "\r\n12345\r\n0\r\n\r\n",
		"a trailer without colon": "0\r\nabc\r\n\r\n",
		"a trailer that is long":  "0\r\na: " + strings.Repeat("a", 20<<10) + "\r\n\r\n",
		"a trailer with bare LF":  "0\r\na: b\nc: d\r\n\r\n",
		"a trailer with a fold":   "0\r\na: b\r\n c\r\n\r\n",
	} {
		for _, when := range []string{"at once", "later"} {
			t.Run(name+"/"+when, func(t *testing.T) {
				f.backends[0].Forget()
				c := f.dial()
				head := "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
				if when == "later" {
					head += "3\r\nabc\r\n"
				}
				c.send(head)
				if when == "later" {
					eventually(t, func() string {
						if f.backends[0].Open() == 0 {
							return "nothing has come to the backend"
						}
						return ""
					})
				}
				io.WriteString(c, body+"GET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n")
				a := c.must("POST")
				assert.Equal(t, 400, a.StatusCode)
				c.closed()
				for _, r := range f.backends[0].Requests() {
					assert.False(t, r.Complete)
				}
			})
		}
	}
}

// What is let through comes to the backend as exactly one request, for one who reads by the book, too.
func TestWhatIsPassedOnIsOneRequest(t *testing.T) {
	f := start(t, setup{manager: "upgrade_configs: [{upgrade_type: websocket}]"})
	for name, request := range map[string]string{
		"CL with zeros before":      "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 0005\r\n\r\n12345",
		"chunks with extensions":    "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\n12\r\n3 ;c=\"d\"\r\n345\r\n0;e\r\ntrailer: x\r\n\r\n",
		"chunks in capitals":        "POST / HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: CHUNKED\r\n\r\n0A\r\n1234567890\r\n0\r\n\r\n",
		"Connection names CL":       "POST / HTTP/1.1\r\nhost: h\r\nconnection: content-length\r\ncontent-length: 5\r\n\r\n12345",
		"Connection names TE":       "POST / HTTP/1.1\r\nhost: h\r\nconnection: transfer-encoding\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
		"Connection names fields":   "GET / HTTP/1.1\r\nhost: h\r\nconnection: keep-alive, x-secret, te\r\nx-secret: 1\r\nte: trailers, gzip\r\n\r\n",
		"underscores":               "GET / HTTP/1.1\r\nhost: h\r\ncontent_length: 5\r\ntransfer_encoding: chunked\r\n\r\n",
		"dots and slashes":          "GET /a/../b/%2e%2e/c%2f..%5cd//e HTTP/1.1\r\nhost: h\r\n\r\n",
		"absolute form":             "GET http://other/a?b HTTP/1.1\r\nhost: h\r\n\r\n",
		"absolute form with a user": "GET http://user@other/ HTTP/1.1\r\nhost: h\r\n\r\n",
		"h2c":                       "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
		"TRACE":                     "TRACE / HTTP/1.1\r\nhost: h\r\n\r\n",
		"a body of GET":             "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 30\r\n\r\nGET /smuggled HTTP/1.1\r\nx: y\r\n",
		"empty lines before":        "\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n",
		"bytes above ASCII":         "GET / HTTP/1.1\r\nhost: h\r\nx: \xff\xfe\r\n\r\n",
		"an upgrade with a body":    "GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-echo-upgrade: 0\r\ntransfer-encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n",
		"an unknown expectation":    "POST / HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\nexpect: x\r\ncontent-length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			f.backends[0].Forget()
			c := f.dial()
			c.send(request)
			a := c.must(request[:4])
			if a.StatusCode == 100 {
				a = c.must("POST")
			}
			require.Equal(t, 200, a.StatusCode, a.body)
			c.Close()
			seen := f.backends[0].Requests()
			require.Len(t, seen, 1)
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(seen[0].Head)))
			require.NoError(t, err)
			assert.Len(t, seen[0].Values("host"), 1)
			assert.LessOrEqual(t, len(seen[0].Values("content-length"))+len(seen[0].Values("transfer-encoding")), 1)
			assert.NotContains(t, r.Header, "X-Secret")
			assert.NotContains(t, r.Header, "Http2-Settings")
			if seen[0].Chunked {
				assert.Equal(t, []string{"chunked"}, r.TransferEncoding)
			} else {
				assert.EqualValues(t, seen[0].BodyLength, max(r.ContentLength, 0))
			}
		})
	}
}

// CONNECT opens no tunnel that nobody has configured.
func TestConnect(t *testing.T) {
	f := start(t, setup{})
	c := f.dial()
	c.send("CONNECT other:443 HTTP/1.1\r\nhost: other:443\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n")
	assert.Equal(t, 404, c.must("CONNECT").StatusCode)
	c.closed()
	assert.Empty(t, f.backends[0].Requests())
}

// An answer that is none is never passed on, nor what comes behind an answer.
func TestBadAnswers(t *testing.T) {
	f := start(t, setup{manager: "max_request_headers_kb: 200"})
	const ok = "HTTP/1.1 200 OK\r\n"
	for name, raw := range map[string]string{
		"CL and TE":         ok + "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
		"two CL":            ok + "content-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
		"CL with a sign":    ok + "content-length: +3\r\n\r\nabc",
		"a head too large":  ok + "x: " + strings.Repeat("a", 100<<10) + "\r\n\r\n",
		"NUL":               ok + "x: a\x00b\r\ncontent-length: 0\r\n\r\n",
		"bare LF":           "HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n",
		"obs-fold":          ok + "x: a\r\n b\r\ncontent-length: 0\r\n\r\n",
		"status 000":        "HTTP/1.1 000 No\r\ncontent-length: 0\r\n\r\n",
		"status 99":         "HTTP/1.1 99 No\r\ncontent-length: 0\r\n\r\n",
		"a status of words": "HTTP/1.1 abc No\r\ncontent-length: 0\r\n\r\n",
		"HTTP/2":            "HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n",
		"no HTTP":           "hello\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := f.dial()
			c.send("GET / HTTP/1.1\r\nhost: h\r\nx-echo-raw: ", base64.StdEncoding.EncodeToString([]byte(raw)), "\r\n\r\n")
			a := c.must("GET")
			assert.Contains(t, []int{502, 503}, a.StatusCode)
			c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
			assert.Equal(t, 200, c.must("GET").StatusCode)
		})
	}
	t.Run("a bad chunk", func(t *testing.T) {
		c := f.dial()
		c.send("GET / HTTP/1.1\r\nhost: h\r\nx-echo-raw: ", base64.StdEncoding.EncodeToString([]byte(ok+"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n")), "\r\n\r\n")
		_, err := c.read("GET")
		assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
	t.Run("more than it says", func(t *testing.T) {
		raw := ok + "content-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"
		c := f.dial()
		for range 20 {
			c.send("GET / HTTP/1.1\r\nhost: h\r\nx-echo-raw: ", base64.StdEncoding.EncodeToString([]byte(raw)), "\r\n\r\n")
			assert.Equal(t, "abc", c.must("GET").body)
			c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
			assert.NotContains(t, c.must("GET").body, "poison")
		}
	})
	t.Run("a body of HEAD", func(t *testing.T) {
		raw := ok + "content-length: 6\r\n\r\npoison"
		c := f.dial()
		c.send("HEAD / HTTP/1.1\r\nhost: h\r\nx-echo-raw: ", base64.StdEncoding.EncodeToString([]byte(raw)), "\r\n\r\n")
		assert.Equal(t, 200, c.must("HEAD").StatusCode)
		c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
		assert.NotContains(t, c.must("GET").body, "poison")
	})
}

// A host that goes on and on with 1xx does not hold a request beyond its timeout, nor memory.
func TestEndlessInformation(t *testing.T) {
	host := customHost(t, func(c *rawClient) {
		if _, err := http.ReadRequest(c.in); err != nil {
			return
		}
		flood := strings.Repeat("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", 100)
		for {
			if _, err := io.WriteString(c, flood); err != nil {
				return
			}
		}
	})
	f := start(t, setup{hosts: []string{host}, route: "timeout: 0.5s"})
	c := f.dial()
	memory := watchMemory()
	c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
	assert.Equal(t, 504, c.must("GET").StatusCode)
	assert.Less(t, memory(), uint64(4<<20))
}
