package route

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
)

func TestNormalPath(t *testing.T) {
	rules := NewPathRules(&config.HTTP{NormalizePath: true})
	for path, want := range map[string]string{
		"/a/./b/../c":   "/a/c",
		"/../../a":      "/a",
		"/a/..":         "/",
		"/a//../b":      "/a/b", // the segment that goes is the empty one
		"/a/%2E%2e/b":   "/b",
		"/a/.../..b":    "/a/.../..b",
		"/a/..;x/b":     "/b",
		"/a/%2e.;x/b":   "/a/..;x/b", // parameters only go with dots that are not escaped
		`/a\..\b`:       "/b",
		"/%41%2d%2F%20": "/A-%2F%20",
		"/a|b{c}":       "/a%7Cb%7Bc%7D",
		"/%%34%31":      "/%2541", // would be /%41, and that /A
		"/%2%35":        "/%2525",
		"/%zz%":         "/%zz%",
		"/a/..?/../b":   "/?/../b", // the query stays
		"*":             "*",
	} {
		got, verdict := rules.Apply(path)
		assert.Equal(t, want, got, path)
		assert.Equal(t, Accept, verdict, path)
	}
	_, verdict := rules.Apply("/a%00b")
	assert.Equal(t, Reject, verdict)
}

func TestEscapedSlashes(t *testing.T) {
	for _, c := range []struct {
		action  config.EscapedSlashes
		path    string
		want    string
		verdict Verdict
	}{
		{config.KeepEscapedSlashes, "/a%2Fb", "/a%2Fb", Accept},
		{config.RejectEscapedSlashes, "/a%2fb", "/a%2fb", Reject},
		{config.RejectEscapedSlashes, "/a%5Cb", "/a%5Cb", Reject},
		{config.RejectEscapedSlashes, "/a?%2f", "/a?%2f", Accept},
		{config.RejectEscapedSlashes, "/a%252f", "/a%252f", Accept},
		{config.RedirectEscapedSlashes, "/a%2F..%5cb?%2f", `/a/..\b?%2f`, RedirectTo},
		{config.UnescapeSlashes, "/a%2F..%5cb?%2f", `/a/..\b?%2f`, Accept},
	} {
		got, verdict := NewPathRules(&config.HTTP{EscapedSlashes: c.action}).Apply(c.path)
		assert.Equal(t, c.want, got, c.path)
		assert.Equal(t, c.verdict, verdict, c.path)
	}
}

func TestMergeSlashes(t *testing.T) {
	rules := NewPathRules(&config.HTTP{MergeSlashes: true})
	for path, want := range map[string]string{"//a///b//?//": "/a/b/?//", "/a/b": "/a/b", "/": "/", "//": "//", "////": "//"} {
		got, _ := rules.Apply(path)
		assert.Equal(t, want, got, path)
	}
}

func TestANormalPathIsNotCopied(t *testing.T) {
	rules := NewPathRules(&config.HTTP{NormalizePath: true, MergeSlashes: true, EscapedSlashes: config.UnescapeSlashes})
	assert.Zero(t, testing.AllocsPerRun(100, func() { rules.Apply("/some/path.html?with=query") }))
}

func FuzzPath(f *testing.F) {
	for _, path := range []string{"/a/./b/../c", "/%%34%31", "/a/..;x/b", `/\..\%5c`, "//%2f?x", "/%2e%2", "/.%2e;/x"} {
		f.Add(path, byte(255))
	}
	f.Fuzz(func(t *testing.T, path string, bits byte) {
		rules := NewPathRules(&config.HTTP{NormalizePath: bits&1 != 0, MergeSlashes: bits&2 != 0, EscapedSlashes: config.EscapedSlashes(bits >> 2 & 3)})
		once, verdict := rules.Apply(path)
		if !strings.HasPrefix(path, "/") {
			require.Equal(t, path, once)
			return
		}
		before, query := cutQuery(once)
		_, wantQuery := cutQuery(path)
		require.Equal(t, wantQuery, query, "the query stays")
		if verdict == Reject {
			require.Equal(t, path, once)
			return
		}
		require.True(t, strings.HasPrefix(once, "/"))
		if bits&1 == 0 {
			return
		}
		for segment := range strings.SplitSeq(before, "/") {
			require.NotContains(t, []string{".", "..", "%2e", "%2E"}, segment)
		}
		// Parameters go with dots, but dots can come about only while paths are made normal, and so
		// can escaped slashes.
		if !strings.Contains(path, ";") && rules.escapedSlashes == config.KeepEscapedSlashes {
			twice, verdict := rules.Apply(once)
			require.Equal(t, once, twice, "what is normal stays so")
			require.Equal(t, Accept, verdict)
		}
	})
}
