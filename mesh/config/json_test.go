package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev/mesh/config"
)

// What is JSON and no YAML is read as JSON.
func TestJSON(t *testing.T) {
	for _, text := range []string{
		`{"static_resources": {"clusters": []}, "node": {"id": "\ud83d\ude00"}}`,
		"{\"static_resources\"\n:\n{}}",
		"{\"static_resources\": {}, \"node\": {\"id\": \"\x7f\u0085\ufeff\"}}",
		`{"static_resources": {}, "node": {"metadata": {"` + strings.Repeat("k", 2000) + `": 1}}}`,
		"\ufeff{}", "{\t\"static_resources\":\r\n{\t}}",
	} {
		_, err := config.Parse("x.json", []byte(text))
		require.NoError(t, err, "%s", text)
	}
}

func TestJSONThatIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"{\n \"node\": {\"id\": \"\\ud800\"}}":          `x.json:2:17: not JSON: half of a surrogate pair`,
		"{\n \"node\": {\"id\": \"a\xff\"}}":            `x.json:2:19: not JSON: the byte 0xff is no UTF-8`,
		"{\n \"node\": {\"id\": \"a\",}}":               `x.json:2:21: not JSON: invalid character '}' looking for beginning of object key string`,
		"{\n \"node\": {\"id\": \"a\"":                  `x.json:2:20: not JSON: unexpected end of JSON input`,
		"{}\n{}":                                        `x.json:2:1: not JSON: there is more behind the value`,
		"{\n \"static_resources\": {\"listner\":\n 1}}": `x.json:2:23: static_resources.listner: unknown field: envoy.config.bootstrap.v3.Bootstrap.StaticResources has no field of this name; there is listeners`,
		"[]":   `x.json:1:1: the file is a list; it has to be an object with fields such as static_resources`,
		"null": `x.json:1:1: the file is empty; it has to be an object with fields such as static_resources`,
		strings.Repeat(`{"node":`, 200) + "1" + strings.Repeat("}", 200): `x.json:1:794: lies more than 100 values deep`,
	} {
		_, err := config.Parse("x.json", []byte(text))
		require.EqualError(t, err, want, "%s", text)
	}
}
