package route

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/format"
)

// loadTables reads testdata/tables.json: route configurations as Envoy reads them, as far as the recording needs
// them. They are by name.
func loadTables(t testing.TB) map[string]*Table {
	t.Helper()
	text, err := os.ReadFile("testdata/tables.json")
	require.NoError(t, err)
	var all map[string]tableJSON
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	require.NoError(t, decoder.Decode(&all))
	tables := map[string]*Table{}
	for name, c := range all {
		tables[name] = New(c.config(t))
	}
	return tables
}

type headersJSON struct {
	Request        []mutationJSON `json:"request_headers_to_add"`
	RequestRemove  []string       `json:"request_headers_to_remove"`
	Response       []mutationJSON `json:"response_headers_to_add"`
	ResponseRemove []string       `json:"response_headers_to_remove"`
}

type mutationJSON struct {
	Header struct{ Key, Value string } `json:"header"`
	Action string                      `json:"append_action"`
	Keep   bool                        `json:"keep_empty_value"`
}

type tableJSON struct {
	headersJSON
	Hosts        []hostJSON `json:"virtual_hosts"`
	MostSpecific bool       `json:"most_specific_header_mutations_wins"`
	IgnorePort   bool       `json:"ignore_port_in_host_matching"`
	IgnoreParams bool       `json:"ignore_path_parameters_in_path_matching"`
}

type hostJSON struct {
	headersJSON
	Name       string      `json:"name"`
	Domains    []string    `json:"domains"`
	Routes     []routeJSON `json:"routes"`
	RequireTLS string      `json:"require_tls"`
}

type routeJSON struct {
	headersJSON
	Name     string        `json:"name"`
	Match    matchJSON     `json:"match"`
	Forward  *forwardJSON  `json:"route"`
	Redirect *redirectJSON `json:"redirect"`
	Direct   *struct {
		Status int `json:"status"`
		Body   struct {
			Inline string `json:"inline_string"`
		} `json:"body"`
	} `json:"direct_response"`
}

type matchJSON struct {
	Prefix        *string    `json:"prefix"`
	Path          *string    `json:"path"`
	PathPrefix    *string    `json:"path_separated_prefix"`
	Regex         *regexJSON `json:"safe_regex"`
	CaseSensitive *bool      `json:"case_sensitive"`
	Headers       []struct {
		Name    string                      `json:"name"`
		String  *stringJSON                 `json:"string_match"`
		Exact   *string                     `json:"exact_match"`
		Range   *struct{ Start, End int64 } `json:"range_match"`
		Present *bool                       `json:"present_match"`
		Invert  bool                        `json:"invert_match"`
		Missing bool                        `json:"treat_missing_header_as_empty"`
	} `json:"headers"`
	Query []struct {
		Name    string      `json:"name"`
		String  *stringJSON `json:"string_match"`
		Present *bool       `json:"present_match"`
	} `json:"query_parameters"`
	GRPC     *struct{} `json:"grpc"`
	Fraction *struct {
		Default struct {
			Numerator   uint32 `json:"numerator"`
			Denominator string `json:"denominator"`
		} `json:"default_value"`
	} `json:"runtime_fraction"`
}

type regexJSON struct {
	Regex string `json:"regex"`
}

type stringJSON struct {
	Exact, Prefix, Suffix, Contains *string
	Regex                           *regexJSON `json:"safe_regex"`
	IgnoreCase                      bool       `json:"ignore_case"`
}

type rewriteJSON struct {
	Pattern      regexJSON `json:"pattern"`
	Substitution string    `json:"substitution"`
}

type forwardJSON struct {
	Cluster       string `json:"cluster"`
	ClusterHeader string `json:"cluster_header"`
	Weighted      *struct {
		Header   string `json:"header_name"`
		UseHash  bool   `json:"use_hash_policy"`
		Clusters []struct {
			headersJSON
			Name          string  `json:"name"`
			ClusterHeader string  `json:"cluster_header"`
			Weight        uint32  `json:"weight"`
			Host          *string `json:"host_rewrite_literal"`
		} `json:"clusters"`
	} `json:"weighted_clusters"`
	Prefix     *string      `json:"prefix_rewrite"`
	Regex      *rewriteJSON `json:"regex_rewrite"`
	Host       *string      `json:"host_rewrite_literal"`
	HostHeader string       `json:"host_rewrite_header"`
	HostPath   *rewriteJSON `json:"host_rewrite_path_regex"`
	HostAuto   bool         `json:"auto_host_rewrite"`
	AppendHost bool         `json:"append_x_forwarded_host"`
	Hash       []struct {
		Header *struct {
			Name string `json:"header_name"`
		} `json:"header"`
		Cookie *struct{ Name, TTL string } `json:"cookie"`
	} `json:"hash_policy"`
}

type redirectJSON struct {
	HTTPS  bool         `json:"https_redirect"`
	Scheme string       `json:"scheme_redirect"`
	Host   string       `json:"host_redirect"`
	Port   uint32       `json:"port_redirect"`
	Path   string       `json:"path_redirect"`
	Prefix *string      `json:"prefix_rewrite"`
	Regex  *rewriteJSON `json:"regex_rewrite"`
	Code   string       `json:"response_code"`
	Strip  bool         `json:"strip_query"`
}

func (c *tableJSON) config(t testing.TB) *config.RouteConfig {
	rc := &config.RouteConfig{
		Headers: c.headers(), MostSpecificWins: c.MostSpecific, IgnorePort: c.IgnorePort, IgnorePathParameters: c.IgnoreParams,
	}
	for _, h := range c.Hosts {
		host := &config.VirtualHost{Name: h.Name, Headers: h.headers()}
		host.RequireTLS = map[string]config.RequireTLS{"EXTERNAL_ONLY": config.TLSExternalOnly, "ALL": config.TLSAll}[h.RequireTLS]
		for _, domain := range h.Domains {
			host.Domains = append(host.Domains, strings.ToLower(domain))
		}
		for _, r := range h.Routes {
			host.Routes = append(host.Routes, r.config(t))
		}
		rc.VirtualHosts = append(rc.VirtualHosts, host)
	}
	return rc
}

func (h *headersJSON) headers() (c config.HeaderMutations) {
	c.Request, c.Response = mutationsOf(h.Request), mutationsOf(h.Response)
	for _, name := range h.RequestRemove {
		c.RequestRemove = append(c.RequestRemove, strings.ToLower(name))
	}
	for _, name := range h.ResponseRemove {
		c.ResponseRemove = append(c.ResponseRemove, strings.ToLower(name))
	}
	return c
}

func mutationsOf(all []mutationJSON) (list []config.HeaderMutation) {
	for _, m := range all {
		f, err := format.Parse(m.Header.Value)
		if err != nil {
			panic(err)
		}
		action := map[string]config.AppendAction{
			"ADD_IF_ABSENT": config.AddIfAbsent, "OVERWRITE_IF_EXISTS_OR_ADD": config.OverwriteOrAdd, "OVERWRITE_IF_EXISTS": config.OverwriteIfExists,
		}[m.Action]
		list = append(list, config.HeaderMutation{Name: strings.ToLower(m.Header.Key), Value: f, Action: action, KeepEmpty: m.Keep})
	}
	return list
}

func (s *stringJSON) config(t testing.TB) *config.StringMatch {
	if s == nil {
		return nil
	}
	m := &config.StringMatch{Exact: s.Exact, Prefix: s.Prefix, Suffix: s.Suffix, Contains: s.Contains, IgnoreCase: s.IgnoreCase}
	if s.Regex != nil {
		var err error
		m.Regex, err = config.CompileRegex(s.Regex.Regex, true)
		require.NoError(t, err)
	}
	return m
}

func (r *rewriteJSON) config(t testing.TB) *config.RegexRewrite {
	if r == nil {
		return nil
	}
	re, err := config.CompileRegex(r.Pattern.Regex, false)
	require.NoError(t, err)
	return &config.RegexRewrite{Regex: re, Substitution: r.Substitution}
}

func (r *routeJSON) config(t testing.TB) *config.Route {
	c := &config.Route{Name: r.Name, Headers: r.headers(), Match: r.Match.config(t)}
	switch {
	case r.Forward != nil:
		c.Forward = r.Forward.config(t)
	case r.Redirect != nil:
		d := r.Redirect
		c.Redirect = &config.Redirect{
			HTTPS: d.HTTPS, Scheme: d.Scheme, Host: d.Host, Port: d.Port, Path: d.Path, PrefixRewrite: d.Prefix, RegexRewrite: d.Regex.config(t), StripQuery: d.Strip,
			Status: map[string]int{"": 301, "MOVED_PERMANENTLY": 301, "FOUND": 302, "SEE_OTHER": 303, "TEMPORARY_REDIRECT": 307, "PERMANENT_REDIRECT": 308}[d.Code],
		}
	default:
		c.Direct = &config.DirectResponse{Status: r.Direct.Status, Body: r.Direct.Body.Inline}
	}
	return c
}

func (m *matchJSON) config(t testing.TB) config.RouteMatch {
	c := config.RouteMatch{Prefix: m.Prefix, Path: m.Path, PathPrefix: m.PathPrefix, GRPC: m.GRPC != nil, IgnoreCase: m.CaseSensitive != nil && !*m.CaseSensitive}
	if m.Regex != nil {
		var err error
		c.Regex, err = config.CompileRegex(m.Regex.Regex, true)
		require.NoError(t, err)
	}
	for _, h := range m.Headers {
		s := h.String
		if h.Exact != nil {
			s = &stringJSON{Exact: h.Exact}
		}
		match := config.HeaderMatch{Name: strings.ToLower(h.Name), String: s.config(t), Present: h.Present, Invert: h.Invert, MissingAsEmpty: h.Missing}
		if h.Range != nil {
			match.Range = &config.Range{Start: h.Range.Start, End: h.Range.End}
		}
		c.Headers = append(c.Headers, match)
	}
	for _, q := range m.Query {
		c.Query = append(c.Query, config.QueryMatch{Name: q.Name, String: q.String.config(t), Present: q.Present})
	}
	if m.Fraction != nil {
		c.Fraction = &config.Fraction{Numerator: m.Fraction.Default.Numerator, Denominator: 100}
	}
	return c
}

func (f *forwardJSON) config(t testing.TB) *config.Forward {
	c := &config.Forward{
		Cluster: f.Cluster, ClusterHeader: strings.ToLower(f.ClusterHeader), PrefixRewrite: f.Prefix, RegexRewrite: f.Regex.config(t), HostRewrite: f.Host,
		HostRewriteHeader: strings.ToLower(f.HostHeader), HostRewritePath: f.HostPath.config(t), AutoHostRewrite: f.HostAuto, AppendForwardedHost: f.AppendHost,
		Timeout: 15 * time.Second,
	}
	if w := f.Weighted; w != nil {
		c.Weighted = &config.WeightedClusters{Header: strings.ToLower(w.Header), UseHash: w.UseHash}
		for _, each := range w.Clusters {
			c.Weighted.Total += uint64(each.Weight)
			c.Weighted.Clusters = append(c.Weighted.Clusters, config.WeightedCluster{
				Name: each.Name, ClusterHeader: each.ClusterHeader, Weight: each.Weight, Headers: each.headers(), HostRewrite: each.Host,
			})
		}
	}
	for _, h := range f.Hash {
		if h.Header != nil {
			c.Hash = append(c.Hash, hashpolicy.Header(h.Header.Name))
			continue
		}
		seconds, err := strconv.Atoi(strings.TrimSuffix(h.Cookie.TTL, "s"))
		require.NoError(t, err)
		c.Hash = append(c.Hash, hashpolicy.GeneratedCookie(hashpolicy.NewCookie{Name: h.Cookie.Name, TTL: time.Duration(seconds) * time.Second}))
	}
	require.NoError(t, c.Hash.Validate())
	return c
}
