package route

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// A recorded request was sent to an Envoy 1.40.0 with testdata/envoy.json, by raw sockets from
// 127.5.0.9. Its backends, one for each of the clusters a to d (named is a, with the hostname
// ep.name), answered with the head that they received as the body, and with the fields that
// x-answer asked for, after their own "x-backend: NAME". Then the values of date and
// x-envoy-upstream-service-time were made DATE and TIME. Left out is what is not decided in this
// package: HEAD, gRPC's local replies, and fields that the codec makes of others.
type recorded struct {
	On      string // a listener's name
	Request string // on listeners with the table "paths", method and target only
	Status  int
	Head    string // of the answer, without the first line
	Got     string // with that table, the path that the backend has received; of redirects, the location; else the body
}

// listeners are those of testdata/envoy.json by name.
type listeners map[string]*listener

type listener struct {
	table *Table
	rules PathRules
}

func loadListeners(t testing.TB) listeners {
	t.Helper()
	c, err := config.Load("testdata/envoy.json")
	require.NoError(t, err)
	all := listeners{}
	for _, l := range c.Listeners {
		all[l.Name] = &listener{New(l.Chain.HTTP.Routes), NewPathRules(l.Chain.HTTP)}
	}
	return all
}

func loadRecorded(t testing.TB) (all []recorded) {
	t.Helper()
	text, err := os.ReadFile("testdata/recorded.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &all))
	for i := range all {
		all[i].Request, all[i].Got = narrowed(all[i].Request), narrowed(all[i].Got)
	}
	return all
}

// narrowed returns a text in which each character, as it stands in JSON, is the byte of that number.
func narrowed(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		b = append(b, byte(r))
	}
	return string(b)
}

func TestRecorded(t *testing.T) {
	listeners := loadListeners(t)
	all := loadRecorded(t)
	require.Greater(t, len(all), 3000)
	counts := map[string]int{}
	for i, c := range all {
		if !assertRecorded(t, listeners[c.On], &c) {
			t.Logf("on %s, number %d: %q", c.On, i, c.Request)
			if counts[c.On]++; counts[c.On] > 10 {
				t.Fatal("and so on")
			}
		}
	}
}

func assertRecorded(t *testing.T, l *listener, c *recorded) bool {
	if l.table.Config.Name == "paths" {
		return assertPath(t, l.rules, c)
	}
	ex := received(t, c)
	ex.Request.Scheme = cmp.Or(ex.Request.Scheme, "http") // as the connection manager has it
	if c.On == "tlsremote" || strings.Contains(c.Request, "x-forwarded-for: 127.5.0.1\r\n") {
		ex.Request.Fields.Remove("x-envoy-internal")
		// Only one of the two listeners looks at x-forwarded-for, which has to be a single address
		// then.
		if (c.On == "tlsremote") != strings.Contains(c.Request, "x-forwarded-for") {
			ex.Request.Fields.Add("x-envoy-internal", "true")
		}
	}
	host, route := l.table.Match(ex, 0)
	if route == nil {
		return assert.Equal(t, c.Status, 404)
	}
	assert.Same(t, host, route.VirtualHost)
	ex.VirtualHost, ex.Route = host.Config.Name, route.Config.Name
	switch {
	case route.Config.Redirect != nil:
		location, status := route.Redirect(ex, true)
		if c.Head == "" {
			return assert.Equal(t, c.Got, location) && assert.Equal(t, c.Status, status)
		}
		return assert.Equal(t, c.Head, localReply(ex, route, location, "", "")) && assert.Equal(t, c.Status, status)
	case route.Config.Direct != nil:
		status, location, body, contentType := route.Direct(nil, ex)
		if c.Head == "" {
			return c.On == "redirect" && assert.Equal(t, c.Got, location) || assert.Equal(t, c.Got, string(body)) && assert.Equal(t, c.Status, status)
		}
		return assert.Equal(t, c.Got, string(body)) && assert.Equal(t, c.Head, localReply(ex, route, location, string(body), contentType)) && assert.Equal(t, c.Status, status)
	}
	return assertForwarded(t, ex, route, c)
}

func assertPath(t *testing.T, rules PathRules, c *recorded) bool {
	method, path, _ := strings.Cut(c.Request, " ")
	now, verdict := rules.Apply(path)
	switch {
	case verdict == Reject:
		return assert.Equal(t, c.Status, 400)
	case method == "OPTIONS":
		return assert.Equal(t, "*", now)
	case verdict == RedirectTo:
		return assert.Equal(t, c.Status, 307) && assert.Equal(t, c.Got, now)
	}
	return assert.Equal(t, c.Status, 200) && assert.Equal(t, c.Got, now)
}

// received makes an exchange of a request, with what the connection manager changes in its head.
func received(t *testing.T, c *recorded) *message.Exchange {
	t.Helper()
	ex := &message.Exchange{Protocol: "HTTP/1.1"}
	var parser http1.Parser
	r := &ex.Request
	n, _, err := parser.Request([]byte(c.Request), r)
	require.NoError(t, err, c.Request)
	require.NotZero(t, n)
	r.Fields.Join(message.JoinedInRequest)
	r.Fields.Remove("connection")
	r.Fields.Remove("x-envoy-internal")
	if te, ok := r.Fields.Get("te"); ok && strings.Contains(te, "trailers") {
		r.Fields.Set("te", "trailers")
	}
	if proto, ok := r.Fields.Get("x-forwarded-proto"); !ok || c.On == "tlsremote" {
		r.Fields.Set("x-forwarded-proto", "http")
	} else if strings.EqualFold(proto, "https") {
		r.Scheme = "https"
	}
	return ex
}

var answer = regexp.MustCompile(`x-answer: (.*)\r\n`)

func assertForwarded(t *testing.T, ex *message.Exchange, route *Route, c *recorded) bool {
	cluster, w := route.Cluster(ex, 0)
	if c.Status == 503 {
		return assert.NotContains(t, []string{"a", "b", "c", "d"}, cluster)
	}
	ex.Cluster = cluster
	ex.Request.Fields.Add("x-envoy-expected-rq-timeout-ms", "15000")
	route.RewriteRequest(ex, w, true)
	backend := cluster
	if cluster == "named" {
		backend = "a"
		route.RewriteHost(ex, "ep.name", true)
	} else {
		route.RewriteHost(ex, "", true)
	}
	ok := assert.Equal(t, c.Got, head(&ex.Request))

	ex.Response.Status = c.Status
	f := &ex.Response.Fields
	f.Add("x-backend", backend)
	if asked := answer.FindStringSubmatch(c.Request); asked != nil {
		for line := range strings.SplitSeq(strings.TrimSuffix(asked[1], `\r\n`), `\r\n`) {
			name, value, _ := strings.Cut(line, ": ")
			f.Add(name, value)
		}
	}
	f.Add("content-length", strconv.Itoa(len(c.Got)))
	f.Remove("connection")
	f.Remove("keep-alive")
	f.Set("x-envoy-upstream-service-time", "TIME")
	route.RewriteResponse(ex, w)
	if c.Head == "" {
		return ok
	}
	return assert.Equal(t, c.Head, sent(f, "")) && ok
}

func head(r *message.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nhost: %s", r.Method, r.Path, r.Authority)
	for _, f := range r.Fields {
		fmt.Fprintf(&b, "\r\n%s: %s", f.Name, f.Value)
	}
	return b.String()
}

// sent returns the fields of an answer with those that the connection manager adds last.
func sent(f *message.Fields, last string) string {
	if !f.Has("date") {
		f.Add("date", "DATE")
	}
	f.Set("server", "envoy")
	var lines []string
	for _, f := range *f {
		lines = append(lines, f.Name+": "+f.Value)
	}
	if last != "" {
		lines = append(lines, last)
	}
	return strings.Join(lines, "\r\n")
}

// localReply returns the head of an answer that is made here.
func localReply(ex *message.Exchange, route *Route, location, body, contentType string) string {
	f := &ex.Response.Fields
	if location != "" {
		f.Add("location", location)
	}
	route.RewriteResponse(ex, nil)
	if body == "" {
		return sent(f, bodiless(route))
	}
	f.Set("content-length", strconv.Itoa(len(body)))
	if !f.Has("content-type") {
		if contentType == "" {
			contentType = "text/plain"
		}
		f.Add("content-type", contentType)
	}
	return sent(f, "")
}

func bodiless(route *Route) string {
	if d := route.Config.Direct; d != nil && d.Status == 204 {
		return ""
	}
	return "content-length: 0"
}
