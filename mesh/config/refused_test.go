package config_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/require"
)

// Each broken configuration is refused for what is wrong with it, there and for nothing else.
func TestRefused(t *testing.T) {
	for _, c := range readCases(t, "refused") {
		t.Run(c.file, func(t *testing.T) {
			require.NotEmpty(t, c.marks, "%s", c.body)
			text, before, indent, path := c.whole(t)
			_, err := config.Parse("envoy.yaml", []byte(text))
			var all config.Errors
			require.ErrorAs(t, err, &all, "%s", c.body)
			var got, want []string
			for _, e := range all {
				got = append(got, fmt.Sprintf("%d:%d %s: %s", e.Line-before-1, max(0, e.Column-indent), strings.TrimPrefix(e.Path, strings.TrimSuffix(path, ".")), e.Text))
			}
			for _, m := range c.marks {
				where, what, _ := strings.Cut(m.text, ": ")
				if where != "" && path != "" && where[0] != '[' {
					where = "." + where
				}
				want = append(want, fmt.Sprintf("%d:%d %s: %s", m.line-1, m.column, where, what))
			}
			require.Equal(t, want, got, "%s", c.body)
		})
	}
}

func TestAccepted(t *testing.T) {
	for _, c := range readCases(t, "accepted") {
		t.Run(c.file, func(t *testing.T) {
			text, _, _, _ := c.whole(t)
			b, err := config.Parse("envoy.yaml", []byte(text))
			require.NoError(t, err, "%s", c.body)
			requireComplete(t, b)
		})
	}
}

// The same configuration without its last character, which is what a file half written is,
// never panics, and what is refused is refused with a place.
func TestTruncated(t *testing.T) {
	for _, c := range readCases(t, "accepted") {
		text, _, _, _ := c.whole(t)
		for cut := len(text) - 1; cut > 0; cut -= 61 {
			requireSound(t, []byte(text[:cut]))
		}
	}
}

// requireSound parses anything, and requires that there is a model or that all errors have a place.
func requireSound(t *testing.T, text []byte) {
	b, err := config.Parse("x.yaml", text)
	if err == nil {
		requireComplete(t, b)
		return
	}
	var all config.Errors
	require.ErrorAs(t, err, &all)
	require.NotEmpty(t, all)
	lines := strings.Count(string(text), "\n") + 1
	for _, e := range all {
		require.Positive(t, e.Line)
		require.LessOrEqual(t, e.Line, lines+1, "%v", e)
		require.NotEmpty(t, e.Text)
		require.False(t, strings.ContainsAny(e.Error(), "\n"), "one line: %q", e.Error())
	}
	require.True(t, slices.IsSortedFunc(all, func(a, b *config.Error) int { return a.Line - b.Line }))
}

// requireComplete checks what the model promises.
func requireComplete(t *testing.T, b *config.Bootstrap) {
	clusters := make(map[string]bool)
	for _, c := range b.Clusters {
		require.NotEmpty(t, c.Name)
		require.False(t, clusters[c.Name])
		clusters[c.Name] = true
		require.Positive(t, c.ConnectTimeout)
		require.Positive(t, c.Maglev.TableSize)
		for _, p := range c.Priorities {
			for _, l := range p.Localities {
				for _, e := range l.Endpoints {
					require.Positive(t, e.Weight)
					require.NotEqual(t, e.Address.Host == "", e.Address.Pipe == "")
				}
			}
		}
		for _, h := range c.HealthChecks {
			require.NotEqual(t, h.HTTP == nil, h.TCP == nil)
			require.Positive(t, h.Interval)
		}
	}
	for _, l := range b.Listeners {
		require.NotEqual(t, l.Address.Host == "", l.Address.Pipe == "")
		h := l.Chain.HTTP
		if h == nil {
			continue
		}
		require.NotNil(t, h.Routes)
		for _, log := range h.AccessLogs {
			require.NotEmpty(t, log.Path)
			require.NotEqual(t, log.Format.Text == nil, log.Format.JSON == nil)
		}
		for _, v := range h.Routes.VirtualHosts {
			for _, r := range v.Routes {
				requireRoute(t, r)
			}
		}
	}
}

func requireRoute(t *testing.T, r *config.Route) {
	count := func(set ...bool) (n int) {
		for _, is := range set {
			if is {
				n++
			}
		}
		return n
	}
	m := &r.Match
	require.Equal(t, 1, count(m.Prefix != nil, m.Path != nil, m.PathPrefix != nil, m.Regex != nil))
	require.Equal(t, 1, count(r.Forward != nil, r.Redirect != nil, r.Direct != nil))
	for _, mutation := range slices.Concat(r.Headers.Request, r.Headers.Response) {
		require.NotNil(t, mutation.Value)
	}
	if f := r.Forward; f != nil {
		require.Equal(t, 1, count(f.Cluster != "", f.ClusterHeader != "", f.Weighted != nil))
		require.NoError(t, f.Hash.Validate())
		if f.Weighted != nil {
			require.Positive(t, f.Weighted.Total)
		}
	}
}

func TestErrorsAreErrors(t *testing.T) {
	_, err := config.Parse("x.yaml", []byte("a: b\nc: d"))
	var first *config.Error
	require.True(t, errors.As(err, &first))
	require.Equal(t, 1, first.Line)
	require.Len(t, strings.Split(err.Error(), "\n"), 2)
}
