package differential

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// The masks: what differs from run to run, exactly as it has to look, and what is written for it.
var masks = []struct {
	pattern *regexp.Regexp
	name    string
}{
	{regexp.MustCompile(`^(< [Dd]ate: )(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} 20\d\d \d\d:\d\d:\d\d GMT$`), `${1}$${date}`},
	{regexp.MustCompile(`^(< (?:x-envoy-upstream-service-time|X-Envoy-Upstream-Service-Time): )\d+`), `${1}$${ms}`},
	{regexp.MustCompile(`^(< x-ratelimit-reset: )3[56]\d\d$`), `${1}$${seconds}`},
	// A request id that was made here. Ids that a case sends have another 19th digit, to be told apart.
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-([0-9a-f])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b`), `$${uuid:${1}}`},
	{regexp.MustCompile(`^(log> .*_ms"?[=:])\d+`), `${1}$${ms}`},
	{regexp.MustCompile(`^(log> .*)\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ`), `${1}$${time}`},
	// A cookie of a hash policy: its value comes of the addresses of the connection.
	{regexp.MustCompile(`^(< set-cookie: [^=]+=")[0-9a-f]{16}"`), `${1}$${hash}"`},
}

// A masker masks what is known only while the test runs.
type masker struct {
	setup   *setup
	proxies map[int]bool // ports of the proxy's connections to backends
	machine []string     // the machine's own addresses
}

var number = regexp.MustCompile(`\b\d{4,5}\b`)

// mask masks a record of a case, whose clients' connections had these ports.
func (m *masker) mask(record string, clients []int) string {
	names := make(map[int]string, len(m.setup.ports))
	for name, port := range m.setup.ports {
		names[port] = "PORT_" + name
	}
	var out strings.Builder
	for line := range strings.Lines(record) {
		line = strings.TrimSuffix(line, "\n")
		line = strings.ReplaceAll(line, m.setup.dir, "TEMPDIR")
		for _, mask := range masks {
			line = mask.pattern.ReplaceAllString(line, mask.name)
			if strings.HasPrefix(line, "log>") { // where a line may have several
				for mask.pattern.MatchString(line) {
					line = mask.pattern.ReplaceAllString(line, mask.name)
				}
			}
		}
		line = number.ReplaceAllStringFunc(line, func(s string) string {
			port, _ := strconv.Atoi(s)
			switch {
			case names[port] != "":
				return names[port]
			case slices.Contains(clients, port):
				return "PORT_client"
			case m.proxies[port]:
				return "PORT_upstream"
			}
			return s
		})
		for _, address := range m.machine {
			line = strings.ReplaceAll(line, address, "${machine}")
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

// expected is the field that tells a backend how long the proxy will wait.
var expected = regexp.MustCompile(`(?m)^(x-envoy-expected-rq-timeout-ms: )\d+\r$`)

// maskRemaining masks, if a request is another attempt at an earlier one, how much of the
// timeout remained. Copies to a mirror are no attempts; they are marked as internal.
func maskRemaining(seen []sighting, i int) {
	// The first attempt may have got no connection, so that nobody has seen it.
	if n, _ := field(seen[i].request.head, "x-envoy-attempt-count"); n == "2" || n == "3" {
		seen[i].request.head = expected.ReplaceAll(seen[i].request.head, []byte("${1}$${remaining}\r"))
		return
	}
	id, ok := field(seen[i].request.head, "x-request-id")
	if _, internal := field(seen[i].request.head, "x-envoy-internal"); !ok || internal {
		return
	}
	for j := range seen[:i] {
		before, _ := field(seen[j].request.head, "x-request-id")
		if _, internal := field(seen[j].request.head, "x-envoy-internal"); before == id && !internal {
			seen[i].request.head = expected.ReplaceAll(seen[i].request.head, []byte("${1}$${remaining}\r"))
			return
		}
	}
}

// ownAddresses returns the machine's addresses other than the loopback ones: Envoy takes
// one of them for its own.
func ownAddresses() []string {
	var out []string
	all, _ := net.InterfaceAddrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && n.IP.To4() != nil {
			out = append(out, n.IP.String())
		}
	}
	return out
}
