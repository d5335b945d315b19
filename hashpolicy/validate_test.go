package hashpolicy_test

import (
	"errors"
	"testing"
	"time"

	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/stretchr/testify/require"
)

func generated(change func(c *hashpolicy.NewCookie)) hashpolicy.Policy {
	c := hashpolicy.NewCookie{Name: "sid"}
	change(&c)
	return hashpolicy.GeneratedCookie(c)
}

// Each names what is wrong, and hashes nothing if nobody asks.
func TestPoliciesThatAreNotUsable(t *testing.T) {
	for _, test := range []struct {
		policy hashpolicy.Policy
		want   string
	}{
		{hashpolicy.Policy{}, "hashpolicy: List[1]: the zero Policy: policy not usable: use what"},
		{hashpolicy.Policy{}.Terminal(), "hashpolicy: List[1]: the zero Policy: "},
		{hashpolicy.Header(""), `hashpolicy: List[1]: Header: name "": policy not usable: it must be a header's name`},
		{hashpolicy.Header("x user"), `Header: name "x user": `},
		{hashpolicy.Header("x-üser"), `Header: name "x-üser": `},
		{hashpolicy.Header(":status"), `Header: name ":status": `},
		{hashpolicy.Header("x\n"), `Header: name "x\n": `},
		{hashpolicy.Header("\u212aey"), "Header: name \"\u212aey\": "}, // ToLower makes "key" of it
		{hashpolicy.HeaderRewrite("", "a", "b"), `HeaderRewrite: name "": `},
		{hashpolicy.HeaderRewrite("a", "(", ""), `HeaderRewrite: pattern "(": policy not usable: it must be a regular expression`},
		{hashpolicy.HeaderRewrite("a", "(?=a)", ""), `HeaderRewrite: pattern "(?=a)": `},
		{hashpolicy.HeaderRewrite("a", `\C`, ""), `HeaderRewrite: pattern "\\C": `},
		{hashpolicy.HeaderRewrite("a", "a", `\1`), `HeaderRewrite: substitution "\\1": policy not usable: it must be a text in which what follows a backslash is another or 0`},
		{hashpolicy.HeaderRewrite("a", "(a)", `\2`), `group's number, 0 to 1`},
		{hashpolicy.HeaderRewrite("a", "(a)", `x\`), `HeaderRewrite: substitution "x\\": `},
		{hashpolicy.HeaderRewrite("a", "(a)", `\n`), `HeaderRewrite: substitution "\\n": `},
		{hashpolicy.Cookie(""), `Cookie: name "": policy not usable: it must be a cookie's name`},
		{hashpolicy.Cookie("a=b"), `Cookie: name "a=b": `},
		{generated(func(c *hashpolicy.NewCookie) { c.Name = "a;b" }), `NewCookie.Name "a;b": `},
		{generated(func(c *hashpolicy.NewCookie) { c.TTL = -time.Second }), `NewCookie.TTL -1s: policy not usable: it must be whole seconds`},
		{generated(func(c *hashpolicy.NewCookie) { c.TTL = time.Millisecond }), `NewCookie.TTL 1ms: `},
		{generated(func(c *hashpolicy.NewCookie) { c.Path = "/;x" }), `NewCookie.Path "/;x": `},
		{generated(func(c *hashpolicy.NewCookie) { c.Path = "/\r\nx: y" }), `NewCookie.Path "/\r\nx: y": `},
		{generated(func(c *hashpolicy.NewCookie) { c.Attributes = []hashpolicy.Attribute{{"a", ""}, {"", "b"}} }), `NewCookie.Attributes[1].Name "": `},
		{generated(func(c *hashpolicy.NewCookie) { c.Attributes = []hashpolicy.Attribute{{"a b", ""}} }), `NewCookie.Attributes[0].Name "a b": `},
		{generated(func(c *hashpolicy.NewCookie) { c.Attributes = []hashpolicy.Attribute{{"a", "b;c"}} }), `NewCookie.Attributes[0].Value "b;c": `},
		{generated(func(c *hashpolicy.NewCookie) { c.Attributes = []hashpolicy.Attribute{{"a", "\x7f"}} }), `NewCookie.Attributes[0].Value "\x7f": `},
		{hashpolicy.QueryParameter(""), `QueryParameter: name "": policy not usable: it must be a parameter's name`},
		{hashpolicy.QueryParameter("a=b"), `QueryParameter: name "a=b": `},
		{hashpolicy.QueryParameter("a&b"), `QueryParameter: name "a&b": `},
		{hashpolicy.PathPrefix(0), `PathPrefix: segments 0: policy not usable: it must be 1 or more`},
		{hashpolicy.PathPrefix(-1), `PathPrefix: segments -1: `},
		{hashpolicy.Func(nil), `Func: f <nil>: policy not usable: it must be a function`},
	} {
		list := hashpolicy.List{user, test.policy}
		err := list.Validate()
		require.ErrorIs(t, err, hashpolicy.ErrPolicy, test.want)
		require.ErrorContains(t, err, "hashpolicy: List[1]: ")
		require.ErrorContains(t, err, test.want)

		w := get("/a?b", field{"a", "a"}, field{"cookie", "sid=a; a=b; a"}, field{"x", "y"})
		w.remote = "192.0.2.7:53124"
		_, ok, cookies := hashes(t, list, w)
		require.False(t, ok, "%s: a hash", test.want)
		require.Empty(t, cookies)
	}
}

func TestValidateNamesAll(t *testing.T) {
	err := hashpolicy.List{hashpolicy.Header(""), user, hashpolicy.PathPrefix(0)}.Validate()
	require.ErrorContains(t, err, "List[0]: Header: name")
	require.ErrorContains(t, err, "List[2]: PathPrefix: segments 0")
	require.NotContains(t, err.Error(), "List[1]")
}

func TestNewName(t *testing.T) {
	for _, given := range []string{"x-USER", "X-User"} {
		name, err := hashpolicy.NewName(given)
		require.NoError(t, err)
		require.Equal(t, "X-User", name.Canonical())
		require.Equal(t, "x-user", name.Lower())
		require.Equal(t, "x-user", name.String())
	}
	name, err := hashpolicy.NewName("Host")
	require.NoError(t, err)
	require.Equal(t, ":authority", name.Lower())
	for _, given := range []string{"", "a b", ":path", ":x", "\u212aey"} {
		name, err := hashpolicy.NewName(given)
		require.ErrorIs(t, err, hashpolicy.ErrPolicy)
		require.ErrorContains(t, err, "hashpolicy: NewName: header ")
		require.Zero(t, name)
		value, count := hashpolicy.HTTP(get("/").http(t)).Header(name, 0)
		require.Zero(t, count)
		require.Empty(t, value)
	}
	require.False(t, errors.Is(hashpolicy.List{user}.Validate(), hashpolicy.ErrPolicy))
}
