package config_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The cases of testdata/accepted and testdata/refused are parts of configurations, one file
// for each place in one, with --- between them. A refused one marks what is wrong below the
// line where it stands:
//
//	lb_policy: MAGLEVV
//	#          ^ lb_policy: "MAGLEVV" is not allowed; ...
//
// What has no column is marked with "# ! ". A first line "# Envoy: ..." tells why a real Envoy sees it otherwise.
type testCase struct {
	file  string
	body  string   // with the marks
	lines []string // without them
	marks []mark
	alone string // why Envoy sees it otherwise
}

type mark struct {
	line, column int // in the body; column 0 is none
	text         string
}

// frames are what stands around the parts. The part takes the place of PART, at its
// indentation, and comes after all that it may overrule.
var frames = map[string]struct{ text, path string }{
	"bootstrap": {"PART\n", ""},
	"values":    {"PART\n", ""},
	"listeners": {"static_resources:\n  listeners:\n  PART\n", "static_resources.listeners"},
	"chains":    {"static_resources:\n  listeners:\n  - name: l\n    address: {socket_address: {address: 127.0.0.1, port_value: 0}}\n    filter_chains:\n      PART\n", "static_resources.listeners[0].filter_chains"},
	"hosts":     {managerFrame + "          route_config:\n            virtual_hosts:\n            PART\n" + clusterFrame, managerPath + "route_config.virtual_hosts"},
	"clusters":  {"static_resources:\n  clusters:\n  PART\n", "static_resources.clusters"},
	"listener":  {listenerFrame + "    PART\n", "static_resources.listeners[0]."},
	"manager":   {managerFrame + routesFrame + "          PART\n", managerPath},
	"filter":    {managerFrame + routesFrame + filterFrame, managerPath},
	"table":     {managerFrame + routesFrame + "            PART\n" + clusterFrame, managerPath + "route_config."},
	"host":      {managerFrame + hostFrame + "              PART\n" + clusterFrame, managerPath + "route_config.virtual_hosts[0]."},
	"route":     {managerFrame + hostFrame + "              routes:\n              - name: r\n                PART\n" + clusterFrame, managerPath + "route_config.virtual_hosts[0].routes[0]."},
	"action":    {managerFrame + hostFrame + "              routes:\n              - match: {prefix: /}\n                route:\n                  PART\n" + clusterFrame, managerPath + "route_config.virtual_hosts[0].routes[0].route."},
	"cluster":   {clustersFrame + "    PART\n", "static_resources.clusters[0]."},
	"endpoints": {clustersFrame + "    load_assignment:\n      cluster_name: c\n      endpoints:\n      PART\n", "static_resources.clusters[0].load_assignment.endpoints"},
}

const (
	listenerFrame = `static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains: [{}]
`
	managerFrame = `static_resources:
  listeners:
  - name: l
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`
	filterFrame = `          http_filters:
          PART
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
`
	routesFrame = `          route_config:
            virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]
`
	hostFrame = `          route_config:
            virtual_hosts:
            - name: v
              domains: ["*"]
`
	clusterFrame = `  clusters:
  - name: c
    load_assignment: {cluster_name: c, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 8000}}}}]}]}
`
	clustersFrame = "static_resources:\n" + clusterFrame
	managerPath   = "static_resources.listeners[0].filter_chains[0].filters[0].typed_config."
)

var marked = regexp.MustCompile(`^(#? *)\^ (.*)$`)

func readCases(t testing.TB, directory string) []*testCase {
	files, err := filepath.Glob(filepath.Join("testdata", directory, "*.yaml"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var cases []*testCase
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		for body := range strings.SplitSeq(string(text), "---\n") {
			cases = append(cases, readCase(filepath.Base(file), body))
		}
	}
	return cases
}

func readCase(file, body string) *testCase {
	c := &testCase{file: file, body: body}
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if why, ok := strings.CutPrefix(line, "# Envoy: "); ok {
			c.alone = why
		}
		if m := marked.FindStringSubmatch(line); m != nil {
			c.marks = append(c.marks, mark{len(c.lines), len(m[1]) + 1, m[2]})
			continue
		}
		if what, ok := strings.CutPrefix(line, "# ! "); ok {
			c.marks = append(c.marks, mark{len(c.lines), 0, ": " + what})
			continue
		}
		c.lines = append(c.lines, line)
	}
	return c
}

// whole returns the configuration, the line before the part's first, how far the part is
// indented, and the path of what it stands in.
func (c *testCase) whole(t testing.TB) (text string, line, indent int, path string) {
	name, _, _ := strings.Cut(strings.TrimSuffix(c.file, ".yaml"), "_")
	frame, ok := frames[name]
	require.True(t, ok, "%s is of no frame", c.file)
	before, after, ok := strings.Cut(frame.text, "PART\n")
	require.True(t, ok)
	start := strings.LastIndexByte(before, '\n') + 1
	margin := before[start:]
	text = before[:start]
	for _, line := range c.lines {
		text += margin + line + "\n"
	}
	return text + after, strings.Count(before, "\n"), len(margin), frame.path
}
