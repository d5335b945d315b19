package format_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/format"
)

// badFormats are errors.
var badFormats = []struct {
	text     string
	err      error
	onlyHere bool // Envoy accepts it
	want     string
}{
	{"%", format.ErrSyntax, false, `format: byte 0: invalid format: "%" has to begin an operator, which is in upper case; a percent sign is written "%%"`},
	{"%%%", format.ErrSyntax, false, `byte 2: `},
	{"100% sure", format.ErrSyntax, false, `byte 3: `},
	{"%REQ(a)%%", format.ErrSyntax, false, `byte 8: `},
	{"%%REQ(a)%", format.ErrSyntax, false, `byte 8: `},
	{"%req(a)%", format.ErrSyntax, false, `"%" has to begin an operator`},
	{"% %", format.ErrSyntax, false, `"%" has to begin an operator`},
	{"%REQ", format.ErrSyntax, false, `%REQ has to be followed by "%" or "("`},
	{"%REQ (a)%", format.ErrSyntax, false, `%REQ has to be followed by "%" or "("`},
	{"%BYTES_SENT)%", format.ErrSyntax, false, `%BYTES_SENT has to be followed by "%" or "("`},
	{"%REQ(%", format.ErrSyntax, false, `%REQ( has to be followed by ")%" or, with a length, by "):123%", on the same line`},
	{"%REQ(a)", format.ErrSyntax, false, `%REQ( has to be followed by`},
	{"%REQ(a)x%", format.ErrSyntax, false, `%REQ( has to be followed by`},
	{"%REQ(a\n)%", format.ErrSyntax, false, `%REQ( has to be followed by`},
	{"%REQ(a):%", format.ErrSyntax, false, `%REQ( has to be followed by`},
	{"%REQ(a):x%", format.ErrSyntax, false, `%REQ( has to be followed by`},
	{"%REQ(a):-1%", format.ErrSyntax, false, `%REQ( has to be followed by`},
	{"%REQ(a):+1%", format.ErrSyntax, false, `%REQ( has to be followed by`},
	{"%REQ(a):3:4%", format.ErrSyntax, false, `%REQ( has to be followed by`},
	{"%REQ(a):99999999999999999999%", format.ErrSyntax, false, `%REQ( has to be followed by`},
	{"%REQ%", format.ErrSyntax, false, "%REQ%: invalid format: REQ needs a parameter"},
	{"%REQ()%", format.ErrSyntax, false, "REQ needs a parameter"},
	{"%RESP:3%", format.ErrSyntax, false, "RESP needs a parameter"},
	{"%REQ(a?b?c)%", format.ErrSyntax, false, `"a?b?c" has more than one alternative`},
	{"%REQ(a b)%", format.ErrSyntax, false, `"a b" is no name of a header`},
	{"%REQ( a)%", format.ErrSyntax, false, `" a" is no name of a header`},
	{"%REQ(:)%", format.ErrSyntax, false, `":" is no name of a header`},
	{"%REQ(a:b)%", format.ErrSyntax, false, `"a:b" is no name of a header`},
	{"%REQ(a?b,c)%", format.ErrSyntax, false, `"b,c" is no name of a header`},
	{"%REQ(é)%", format.ErrSyntax, false, `"é" is no name of a header`},
	{"%REQ(a)b)%", format.ErrSyntax, false, `"a)b" is no name of a header`},
	{"%REQ(a%REQ(b)%", format.ErrSyntax, false, `"a%req(b" is no name of a header`},
	{"%NOPE%", format.ErrSyntax, false, "format: byte 0, %NOPE%: invalid format: there is no operator NOPE"},
	{"ab%NOPE(x):1%", format.ErrSyntax, false, "format: byte 2, %NOPE(x):1%: invalid format: there is no operator NOPE"},
	{"%_%", format.ErrSyntax, false, "there is no operator _"},
	{"%1%", format.ErrSyntax, false, "there is no operator 1"},
	{"%WORKER_ID%", format.ErrSyntax, false, "there is no operator WORKER_ID"},
	{"%VIRTUAL_HOST_NAME%", format.ErrSyntax, false, "there is no operator VIRTUAL_HOST_NAME"},
	{"%BYTES_SENT(x)%", format.ErrSyntax, false, "BYTES_SENT takes no parameter"},
	{"%BYTES_SENT:3%", format.ErrSyntax, false, "BYTES_SENT takes no length"},
	{"%TRACE_ID():3%", format.ErrSyntax, false, "TRACE_ID takes no length"},
	{"%START_TIME(%Y):3%", format.ErrSyntax, false, "START_TIME takes no length"},
	{"%START_TIME(%n)%", format.ErrSyntax, false, "a time has no newline"},
	{"%START_TIME(%%n)%", format.ErrSyntax, false, "a time has no newline"},
	{"%START_TIME(%5n)%", format.ErrSyntax, false, "a time has no newline"},
	{"%START_TIME(%-On)%", format.ErrSyntax, false, "a time has no newline"},
	{"%START_TIME(%10n)%", format.ErrSyntax, true, "a time has no newline"},
	{"%EMIT_TIME(%En)%", format.ErrSyntax, false, "a time has no newline"},
	{"%DOWNSTREAM_PEER_CERT_V_START(%n)%", format.ErrSyntax, false, "a time has no newline"},
	{"%PATH(wq)%", format.ErrSyntax, false, `PATH does not take "wq"; it takes WQ, NQ`},
	{"%PATH(WQ:BAD)%", format.ErrSyntax, false, `PATH does not take "BAD"; it takes ORIG, PATH, ORIG_OR_PATH`},
	{"%QUERY_PARAM()%", format.ErrSyntax, false, "QUERY_PARAM needs a parameter"},
	{"%QUERY_PARAMS(ORIG:X)%", format.ErrSyntax, false, `QUERY_PARAMS does not take "ORIG:X"; it takes ORIG, DECODED`},
	{"%REQUESTED_SERVER_NAME(SNI_FIRST:X)%", format.ErrSyntax, false, `it takes ORIG_OR_HOST, HOST, ORIG`},
	{"%GRPC_STATUS(camel_string)%", format.ErrSyntax, false, "it takes CAMEL_STRING, SNAKE_STRING, NUMBER"},
	{"%COMMON_DURATION(DS_RX_BEG)%", format.ErrSyntax, false, "it takes two moments and a unit"},
	{"%COMMON_DURATION(a:b:ms:d)%", format.ErrSyntax, false, "it takes two moments and a unit"},
	{"%COMMON_DURATION(DS_RX_BEG:DS_TX_END:s)%", format.ErrSyntax, false, `does not take the unit "s"; it takes ms, us, ns`},
	{"%COMMON_DURATION(DS_RX_BEG:DS_TX_END:)%", format.ErrSyntax, false, `does not take the unit ""`},
	{"%ENVIRONMENT()%", format.ErrSyntax, false, "ENVIRONMENT needs a parameter"},

	{"%DYNAMIC_METADATA(a:b)%", format.ErrUnsupported, true, "format: byte 0, %DYNAMIC_METADATA(a:b)%: unsupported: no filter sets metadata"},
	{"%CEL(request.path)%", format.ErrUnsupported, true, "unsupported: "},
	{"%FILTER_STATE(x)%", format.ErrUnsupported, true, "unsupported: "},
	{"%METADATA(ROUTE:a:b)%", format.ErrUnsupported, true, "unsupported: "},
	{"%COMMON_DURATION(DS_RX_BEG:US_CX_BEG)%", format.ErrUnsupported, true, `the moment "US_CX_BEG" is not measured`},
	{"%COMMON_DURATION(MINE:DS_TX_END:ms)%", format.ErrUnsupported, true, `the moment "MINE" is not measured`},
}

func TestParseErrors(t *testing.T) {
	for _, c := range badFormats {
		_, err := format.Parse(c.text)
		assert.ErrorIs(t, err, c.err, "%q", c.text)
		assert.ErrorContains(t, err, c.want, "%q", c.text)
	}
}

// oddFormats look odd, and that Envoy accepts too.
var oddFormats = []string{
	"", "plain", "a\n%REQ(a)%\nb", "%BYTES_SENT()%", "%REQ(a):007%", "%REQ(a):18446744073709551615%",
	"%REQ(?b)%", "%REQ(a?)%", "%REQ(:foo)%", "%REQ(a%b)%", "%REQ(a%)%", "%REQ(A!#$&'*+-.^_`|~b)%",
	"%%%REQ(a)%", "%REQ(a)%x%%y", "%PATH(:)%", "%PATH(WQ:)%", "%PATH(WQ:ORIG:X)%", "%PATH:5%",
	"%QUERY_PARAM(a)b)%", "%QUERY_PARAM(%)%", "%START_TIME(%)%", "%START_TIME(%H:%M))%", "%START_TIME(\t)%",
	"%REQUESTED_SERVER_NAME(SNI_ONLY:HOST)%", "%RESPONSE_CODE_DETAILS(x)%", "%GRPC_STATUS()%",
	"%COMMON_DURATION(DS_RX_BEG:DS_TX_END)%", "%COMMON_DURATION(US_HS_END:US_TX_BEG:us)%",
	"%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(x)%", "%DOWNSTREAM_PEER_SUBJECT%",
	"%DOWNSTREAM_PEER_CERT_V_START(%Y)%", "%TRACE_ID%", "%ENVIRONMENT(a?b)%",
}

func TestParse(t *testing.T) {
	for _, text := range oddFormats {
		f, err := format.Parse(text)
		require.NoError(t, err, "%q", text)
		assert.Equal(t, text, f.Text())
	}
}

func TestStatic(t *testing.T) {
	for text, want := range map[string]string{"": "", "plain": "plain", "%%": "%", "100%% sure": "100% sure"} {
		f, err := format.Parse(text)
		require.NoError(t, err)
		got, ok := f.Static()
		assert.True(t, ok, "%q", text)
		assert.Equal(t, want, got)
		assert.Equal(t, want, string(f.Append(nil, get(), "-")))
	}
	for _, text := range []string{"%REQ(a)%", "x%REQ(a)%", "%HOSTNAME%"} {
		f, err := format.Parse(text)
		require.NoError(t, err)
		_, ok := f.Static()
		assert.False(t, ok, "%q", text)
	}
	got, ok := new(format.Format).Static()
	assert.True(t, ok)
	assert.Empty(t, got)
}
