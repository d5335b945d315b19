package format_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/format"
)

// TestNoAllocations has every operator write into a buffer that is large enough.
func TestNoAllocations(t *testing.T) {
	recorded, err := os.ReadFile("testdata/envoy.txt")
	require.NoError(t, err)
	b := make([]byte, 0, 4096)
	ex := get()
	for line := range strings.Lines(string(recorded)) {
		text, _, ok := strings.Cut(line, "\t")
		if !ok {
			continue
		}
		f := parse(t, text)
		j, err := format.ParseJSON(map[string]any{"a": text, "b": "x" + text}, true)
		require.NoError(t, err)
		assert.Zero(t, testing.AllocsPerRun(5, func() {
			f.Append(b, ex, "-")
			f.AppendHeader(b, ex)
			j.Append(b, ex)
		}), text)
	}
}

// BenchmarkAppend is the cost of a line of an access log, and of values of header fields.
//
//	go test -bench . ./format
func BenchmarkAppend(b *testing.B) {
	ex := get()
	buffer := make([]byte, 0, 4096)
	for name, f := range map[string]*format.Format{
		"static":  parse(b, "static"),
		"field":   parse(b, "%REQ(x-request-id)%"),
		"mixed":   parse(b, "%PROTOCOL% %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"),
		"default": format.DefaultLog(),
	} {
		b.Run("format="+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				buffer = f.Append(buffer[:0], ex, "-")
			}
		})
	}
	j := parseJSON(b, `{"time":"%START_TIME%","method":"%REQ(:METHOD)%","path":"%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%",
		"code":"%RESPONSE_CODE%","flags":"%RESPONSE_FLAGS%","received":"%BYTES_RECEIVED%","sent":"%BYTES_SENT%",
		"duration":"%DURATION%","agent":"%REQ(USER-AGENT)%","id":"%REQ(X-REQUEST-ID)%","host":"%REQ(:AUTHORITY)%",
		"upstream":"%UPSTREAM_HOST%"}`, false)
	b.Run("format=json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buffer = j.Append(buffer[:0], ex)
		}
	})
}
