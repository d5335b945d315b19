package httpbalancer_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/httpbalancer"
)

// A pageFixture is a Transport whose backends are functions, and its page.
type pageFixture struct {
	*testing.T
	*httpbalancer.Transport
	page  http.Handler
	asked []string // names of the backends of the attempts, in order
}

// newPage returns a Transport whose backends answer what status says of their
// names, and 200 if it is nil.
func newPage(t *testing.T, opts httpbalancer.Options, status func(name string) int) *pageFixture {
	f := &pageFixture{T: t}
	opts.Wrap = func(b httpbalancer.Backend, _ http.RoundTripper) http.RoundTripper {
		return pageBackend(func(req *http.Request) (*http.Response, error) {
			f.asked = append(f.asked, b.Name)
			resp := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("x")), Request: req}
			if status != nil {
				resp.StatusCode = status(b.Name)
			}
			return resp, nil
		})
	}
	var err error
	f.Transport, err = httpbalancer.New(opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.Close() })
	f.page = f.DebugHandler()
	return f
}

type pageBackend func(*http.Request) (*http.Response, error)

func (b pageBackend) RoundTrip(req *http.Request) (*http.Response, error) { return b(req) }

// send sends a request with a key, and returns its response, not read yet.
func (f *pageFixture) send(key string) *http.Response {
	req := httptest.NewRequestWithContext(httpbalancer.WithKey(f.Context(), key), http.MethodGet, "http://any/", nil)
	resp, err := f.RoundTrip(req)
	require.NoError(f, err)
	return resp
}

func (f *pageFixture) get(target string, header ...string) *httptest.ResponseRecorder {
	return askPage(f.page, http.MethodGet, target, header...)
}

func askPage(page http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	page.ServeHTTP(w, req)
	return w
}

// text returns what the page says, without its tags and style sheet.
func (f *pageFixture) text(target string) string { return pageText(f, f.get(target).Body.String()) }

// json returns the page as JSON, decoded.
func (f *pageFixture) json(query string) map[string]any {
	w := f.get("/?format=json&" + query)
	require.Equal(f, http.StatusOK, w.Code, w.Body)
	return decodePage(f, w.Body.String())
}

func decodePage(t testing.TB, body string) map[string]any {
	var v map[string]any
	require.NoError(t, json.Unmarshal([]byte(body), &v), body)
	return v
}

// pageElements calls visit with the elements of a page, and the text after their
// start tags, and fails if they are not closed in order.
func pageElements(t testing.TB, body string, visit func(e xml.StartElement, text string)) {
	d := xml.NewDecoder(strings.NewReader(body))
	d.Strict, d.Entity, d.AutoClose = false, xml.HTMLEntity, []string{"meta", "input", "br"}
	var open []string
	var element xml.StartElement
	for {
		token, err := d.Token()
		if err == io.EOF {
			require.Empty(t, open)
			return
		}
		if err != nil {
			require.NoError(t, err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			open = append(open, token.Name.Local)
			element = token.Copy()
			visit(element, "")
		case xml.EndElement:
			if len(open) == 0 || open[len(open)-1] != token.Name.Local {
				require.Fail(t, "not closed in order", "%q closes %q", token.Name.Local, open)
			}
			open = open[:len(open)-1]
		case xml.CharData:
			visit(element, string(token))
		}
	}
}

var pageSpaces = regexp.MustCompile(`[\s\x{a0}]+`)

// pageText returns what a page says to people, with single spaces.
func pageText(t testing.TB, body string) string {
	var said strings.Builder
	inline := map[string]bool{"bdi": true, "strong": true, "code": true, "time": true, "span": true, "a": true}
	pageElements(t, body, func(e xml.StartElement, text string) {
		switch name := e.Name.Local; {
		case text == "" && !inline[name]:
			said.WriteByte(' ')
		case name != "style":
			said.WriteString(text)
		}
	})
	return pageSpaces.ReplaceAllString(said.String(), " ")
}

func pageBackends(n int) []httpbalancer.Backend {
	backends := make([]httpbalancer.Backend, n)
	for i := range backends {
		backends[i] = httpbalancer.Backend{URL: fmt.Sprintf("http://10.0.%d.%d:8080", i/250, i%250+1), Name: fmt.Sprintf("cache-%d", i)}
	}
	return backends
}

// What is outside of the program chooses names, errors and keys: no tag, no
// attribute and no address may come of them.
func TestPageEscapesWhatComesFromOutside(t *testing.T) {
	for _, hostile := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `</title></style><script>`,
		`javascript:alert(1)`, `{{.}}`, "`${alert(1)}`", "\u202egnp.exe", `-->`, `]]>`, "a&lt;b&amp;", "a\xffb",
	} {
		synctest.Test(t, func(t *testing.T) { testPageEscapes(t, hostile) })
	}
}

func testPageEscapes(t *testing.T, hostile string) {
	backends := pageBackends(22)
	backends[0].Name, backends[1].Name, backends[1].Draining = hostile, hostile+"2", true
	f := newPage(t, httpbalancer.Options{Backends: backends, Discover: httpbalancer.DiscoverFunc(
		func(context.Context, func([]httpbalancer.Backend) error) error { return errors.New(hostile) })}, nil)
	synctest.Wait()
	queries := func(value string) []string {
		value = url.QueryEscape(value)
		return []string{"key=" + value, "hash=" + value, "hash=0x" + value, value + "=1", "format=" + value, "refresh=" + value}
	}

	// What elements, with what attributes, there are without anything hostile.
	harmless := newPage(t, httpbalancer.Options{Backends: append(pageBackends(21), httpbalancer.Backend{URL: "http://a", Draining: true})}, nil)
	known := make(map[string]bool)
	for _, query := range append(queries("1"), "hash=z", "key=a&refresh=5") {
		pageElements(t, harmless.get("/?"+query).Body.String(), func(e xml.StartElement, _ string) { known[shape(e)] = true })
	}
	for _, query := range queries(hostile) {
		body := f.get("/?" + query).Body.String()
		pageElements(t, body, func(e xml.StartElement, _ string) {
			if !known[shape(e)] {
				require.Fail(t, "not the page's own", "%q of %q", shape(e), query)
			}
			for _, a := range e.Attr {
				if a.Name.Local == "href" {
					require.Regexp(t, `^(\?|#b\d+$)`, a.Value)
				}
			}
		})
		if strings.Contains(hostile, "<") {
			require.NotContains(t, body, hostile)
		}
	}

	text := f.text("/?key=" + url.QueryEscape(hostile))
	shown := strings.ToValidUTF8(hostile, "\ufffd")
	require.Contains(t, text, "Key "+shown+" has hash")
	require.Contains(t, text, "Discovery failed, and the last good set stays: "+shown)
	require.Contains(t, text, "Not ready: "+shown+"2 (draining)")
	report := f.json("key=" + url.QueryEscape(hostile))
	require.Equal(t, shown, report["lookup"].(map[string]any)["key"])
	require.Equal(t, shown, report["discovery"].(map[string]any)["error"])
}

// shape returns the name of an element and those of its attributes.
func shape(e xml.StartElement) string {
	s := e.Name.Local
	for _, a := range e.Attr {
		s += " " + a.Name.Local
	}
	return s
}

func TestPageAllowsItsOwnStyleAndNothingElse(t *testing.T) {
	f := newPage(t, httpbalancer.Options{Backends: pageBackends(2)}, nil)
	w := f.get("/")
	_, style, _ := strings.Cut(w.Body.String(), "<style>")
	style, _, _ = strings.Cut(style, "</style>")
	sum := sha256.Sum256([]byte(style))
	require.Equal(t, "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+
		"'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'", w.Header().Get("Content-Security-Policy"))
	require.NotContains(t, w.Body.String(), "style=")
	require.NotContains(t, w.Body.String(), "<script")
	require.NotRegexp(t, `(src|href|action)="?[^"?#]`, w.Body.String())

	for _, w := range []*httptest.ResponseRecorder{w, f.get("/?format=json"), f.get("/?x"), askPage(f.page, http.MethodPost, "/")} {
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
		require.Equal(t, "no-referrer", w.Header().Get("Referrer-Policy"))
		require.Equal(t, "Accept", w.Header().Get("Vary"))
		require.NotEmpty(t, w.Header().Get("Content-Security-Policy"))
	}
}

func TestPageAnswersGetAndHeadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // time stands still, so that lengths are equal
		f := newPage(t, httpbalancer.Options{Backends: pageBackends(3)}, nil)
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"} {
			w := askPage(f.page, method, "/")
			require.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
			require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
			require.Equal(t, "httpbalancer: debug page: the method must be GET or HEAD\n", w.Body.String())
		}
		for _, target := range []string{"/", "/?format=json", "/?hash=x"} {
			get, head := f.get(target), askPage(f.page, http.MethodHead, target)
			require.Equal(t, get.Code, head.Code)
			require.Equal(t, get.Header(), head.Header())
			require.Empty(t, head.Body.String())
			require.Equal(t, fmt.Sprint(get.Body.Len()), head.Header().Get("Content-Length"))
		}
	})
}

func TestPageNamesTheParameterThatIsWrong(t *testing.T) {
	f := newPage(t, httpbalancer.Options{Backends: pageBackends(3)}, nil)
	const hash = "a number from 0 to 2^64-1, decimal, or hexadecimal after 0x"
	for query, want := range map[string]string{
		"hash=abc":                         `hash "abc": it must be ` + hash,
		"hash=":                            `hash "": it must be ` + hash,
		"hash=-1":                          `hash "-1": it must be ` + hash,
		"hash=1_0":                         `hash "1_0": it must be ` + hash,
		"hash=0x":                          `hash "0x": it must be ` + hash,
		"hash=18446744073709551616":        `hash "18446744073709551616": it must be ` + hash,
		"hash=0x10000000000000000":         `hash "0x10000000000000000": it must be ` + hash,
		"hash=" + strings.Repeat("9", 100): `hash "` + strings.Repeat("9", 64) + `"…: it must be ` + hash,
		"key=" + strings.Repeat("k", 4097): "key of 4097 bytes: it must have no more than 4096",
		"key=a&key=b":                      "key: it must be given once, not 2 times",
		"key=a&hash=1":                     "key and hash: one of them must be given, not both",
		"kye=a":                            `parameter "kye": it must be format, key, hash or refresh`,
		"refresh=0":                        `refresh "0": it must be a number of seconds from 1 to 3600`,
		"refresh=3601":                     `refresh "3601": it must be a number of seconds from 1 to 3600`,
		"format=xml":                       `format "xml": it must be "html" or "json"`,
		"key=%zz":                          `query: invalid URL escape "%zz"`,
		"key=a;b":                          "query: invalid semicolon separator in query",
	} {
		want = "httpbalancer: debug page: " + want
		w := f.get("/?" + query)
		require.Equal(t, http.StatusBadRequest, w.Code, query)
		require.Contains(t, pageText(t, w.Body.String()), "Not understood. "+want, query)

		w = f.get("/?"+query, "Accept", "application/json")
		require.Equal(t, http.StatusBadRequest, w.Code, query)
		require.Equal(t, map[string]any{"error": want}, decodePage(t, w.Body.String()))
	}
	require.Equal(t, http.StatusOK, f.get("/?key="+strings.Repeat("k", 4096)).Code)
	for _, same := range []string{"31", "0x1f", "0X1F", "+0x1f+", "0x000000000000000000000000001f"} {
		require.Equal(t, "0x000000000000001f", f.json("hash=" + same)["lookup"].(map[string]any)["hash"])
	}
}

func TestPageIsJSONIfThatIsPreferred(t *testing.T) {
	f := newPage(t, httpbalancer.Options{Backends: pageBackends(3)}, nil)
	const html, json = "text/html; charset=utf-8", "application/json"
	for accept, want := range map[string]string{
		"":                                  html,
		"*/*":                               html,
		"application/json":                  json,
		"Application/JSON":                  json,
		"application/*":                     json,
		"application/json, text/plain, */*": json,
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": html,
		"text/html, application/json":                                     html,
		"text/html;q=0.5, application/json":                               json,
		"text/html;q=0.5, application/json;q=0.4":                         html,
		"application/json;q=0":                                            html,
		"application/json;q=nonsense":                                     html,
		"application/json;q=NaN":                                          html,
		"*/*, application/json;q=0":                                       html,
		"image/png":                                                       html,
	} {
		require.Equal(t, want, f.get("/", "Accept", accept).Header().Get("Content-Type"), accept)
		require.Equal(t, json, f.get("/?format=json", "Accept", accept).Header().Get("Content-Type"))
		require.Equal(t, html, f.get("/?format=html", "Accept", accept).Header().Get("Content-Type"))
	}
}
