package format_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/message"
)

func parseJSON(t testing.TB, text string, omitEmpty bool) *format.JSON {
	t.Helper()
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &fields))
	j, err := format.ParseJSON(fields, omitEmpty)
	require.NoError(t, err)
	return j
}

// shapes has values of all kinds, and is what TestJSON was recorded with.
const shapes = `{"z":1,"num":1.5,"neg":-3,"e300":1e300,"big":123456789012345680,"tenth":0.1,"e21":1e21,"e7":1e-7,
	"h":100000,"million":1000000,"t":true,"n":null,
	"list":["%PROTOCOL%",1,null,true,"%REQ(none)%",["%REQ(none)%"],{"q":"%REQ(none)%","p":"x"},{"q":"%REQ(none)%"},{}],
	"el":[],"eo":{},"nest":{"b":"%DURATION%","a":"%REQ(none)%","c":{"d":"%REQ(none)%"}},
	"é":"\u007f\u0000\f\u2028é😀<>&'/\u0080","A":"%REQ(none)%","combo":"%REQ(none)%-%REQ(x-empty)%","empty":"",
	"e1":"%REQ(x-empty)%","k\"ey\n":"v","pp":"%%","mix":"%%%PROTOCOL%","z2":"%REQ(none)%%REQ(none)%"}`

// TestJSON has what Envoy wrote: sorted, numbers in the fewest characters.
func TestJSON(t *testing.T) {
	odd := "\"é\":\"\x7f\\u0000\\f\u2028é😀<>&'/\u0080\""
	assert.Equal(t, `{"A":null,"big":123456789012345680,"combo":"--","e1":"","e21":1e+21,"e300":1e+300,"e7":1e-07,`+
		`"el":[],"empty":"","eo":{},"h":1e+05,"k\"ey\n":"v",`+
		`"list":["HTTP/1.1",1,null,true,null,[null],{"p":"x","q":null},{"q":null},{}],"million":1e+06,`+
		`"mix":"%HTTP/1.1","n":null,"neg":-3,"nest":{"a":null,"b":2,"c":{"d":null}},"num":1.5,"pp":"%","t":true,`+
		`"tenth":0.1,"z":1,"z2":"--",`+odd+`}`,
		string(parseJSON(t, shapes, false).Append(nil, get())))
	assert.Equal(t, `{"big":123456789012345680,"combo":"-","e1":"","e21":1e+21,"e300":1e+300,"e7":1e-07,`+
		`"el":[],"empty":"","h":1e+05,"k\"ey\n":"v","list":["HTTP/1.1",1,true,[],{"p":"x"}],"million":1e+06,`+
		`"mix":"%HTTP/1.1","neg":-3,"nest":{"b":2},"num":1.5,"pp":"%","t":true,"tenth":0.1,"z":1,"z2":"",`+odd+`}`,
		string(parseJSON(t, shapes, true).Append(nil, get())))
	assert.Equal(t, `{}`, string(new(format.JSON).Append(nil, get())))
	assert.Equal(t, `{}`, string(parseJSON(t, `{}`, false).Append(nil, get())))
	assert.Equal(t, `{}`, string(parseJSON(t, `{"a":"%REQ(none)%","b":{"c":null}}`, true).Append(nil, get())))
}

// TestJSONEscapes has what Envoy wrote of values that are UTF-8, and of those that are not.
func TestJSONEscapes(t *testing.T) {
	j := parseJSON(t, `{"a":"%REQ(x)%","b":"é%REQ(x)%%%%REQ(y)%"}`, false)
	for _, c := range [][2]string{
		{"plain", `plain`},
		{`a"b\c` + "\td", `a\"b\\c\td`},
		{"é\u2028😀/<>&'", "é\u2028😀/<>&'"},
		{"\x01\b\f\n\r\x1f\x7f", `\u0001\b\f\n\r\u001f` + "\x7f"},
		{"a\"b\\c\td\x80\xff\xc3\xa9/e<>&", `a\u0022b\u005cc\u0009d\u0080\u00ff\u00c3\u00a9/e<>&`},
		{"\xc0\x80", `\u00c0\u0080`},
		{"\xed\xa0\x80", `\u00ed\u00a0\u0080`},
		{"\xf4\x90\x80\x80", `\u00f4\u0090\u0080\u0080`},
	} {
		ex := get()
		ex.Request.Fields = message.Fields{{Name: "x", Value: c[0]}, {Name: "y", Value: `"é`}}
		assert.Equal(t, `{"a":"`+c[1]+`","b":"é`+c[1]+`%\"é"}`, string(j.Append(nil, ex)))
		assert.True(t, json.Valid(j.Append(nil, ex)))
	}
	// What is put together while it is written is escaped as well.
	ex := get()
	ex.Request.Path = `/?a="%22%0a%ff"`
	j = parseJSON(t, `{"a":"%QUERY_PARAM(a)%","b":"<%QUERY_PARAM(a)%>","c":"%QUERY_PARAM(a):3%"}`, false)
	assert.Equal(t, `{"a":"\u0022\u0022\u000a\u00ff\u0022","b":"<\u0022\u0022\u000a\u00ff\u0022>","c":"\"\"\n"}`, string(j.Append(nil, ex)))
}

// TestJSONBody has a local reply: as in a text, only there its body is known.
func TestJSONBody(t *testing.T) {
	j := parseJSON(t, `{"b":"%LOCAL_REPLY_BODY%","t":"%ACCESS_LOG_TYPE%","both":"<%LOCAL_REPLY_BODY%>"}`, false)
	ex := direct()
	ex.Local.Body = "hi\n"
	assert.Equal(t, `{"b":"hi\n","both":"<hi\n>","t":"NotSet"}`, string(j.AppendBody(nil, ex)))
	assert.Equal(t, `x{"b":"","both":"<>","t":"DownstreamEnd"}`, string(j.Append([]byte("x"), ex)))
}

func TestJSONErrors(t *testing.T) {
	for want, fields := range map[string]map[string]any{
		"format: a.b[1].c: byte 0, %NOPE%: invalid format: there is no operator NOPE": {"a": map[string]any{"b": []any{"", map[string]any{"c": "%NOPE%"}}}},
		"format: a: invalid format: NaN is no number of JSON":                         {"a": math.NaN()},
		"format: a: invalid format: int is no value of JSON":                          {"a": 1},
	} {
		_, err := format.ParseJSON(fields, false)
		assert.ErrorIs(t, err, format.ErrSyntax)
		assert.EqualError(t, err, want)
	}
}
