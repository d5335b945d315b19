package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// wrongValues are what a value is replaced by, one after another.
var wrongValues = []string{"-1", "[]", "{}", `""`, "xx", "1s", "0", "true", "99999999999", "~", "[1]", "{a: b}", `"a\nb"`, "1.5"}

// mutants calls f with texts that differ from shop.yaml in one place each: a field is missing, has
// another name or another value. It makes thousands, of which f is given one in so many.
func mutants(t *testing.T, in int, f func(what string, text []byte)) {
	text, err := os.ReadFile(filepath.Join("testdata", "shop.yaml"))
	require.NoError(t, err)
	var document yaml.Node
	require.NoError(t, yaml.Unmarshal(text, &document))
	count := 0
	emit := func(what string) {
		if count++; count%in != 0 {
			return
		}
		text, err := yaml.Marshal(&document)
		require.NoError(t, err)
		f(what, text)
	}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
			all, key, value := n.Content, n.Content[i], n.Content[i+1]
			n.Content = append(append([]*yaml.Node{}, all[:i]...), all[i+2:]...)
			emit("without " + key.Value)
			n.Content = all
			key.Value += "x"
			emit("with " + key.Value)
			key.Value = key.Value[:len(key.Value)-1]
			for _, wrong := range wrongValues {
				var other yaml.Node
				require.NoError(t, yaml.Unmarshal([]byte(wrong), &other))
				n.Content[i+1] = other.Content[0]
				emit(key.Value + ": " + wrong)
			}
			n.Content[i+1] = value
		}
		for _, child := range n.Content {
			walk(child)
		}
	}
	walk(&document)
	require.Greater(t, count, 5000)
}

// TestEnvoyLiveMutants takes some of the thousands of mutants of a configuration, and requires of
// those accepted here that Envoy accepts them too. (The other way round there are
// differences on purpose: an endpoint without an address, numbers that are none of an enum's.)
func TestEnvoyLiveMutants(t *testing.T) {
	binary := requireEnvoy(t)
	const in = 67 // a prime, so that all wrong values have their turn
	mutants(t, in, func(what string, text []byte) {
		if _, err := config.Parse("envoy.yaml", text); err == nil {
			requireVerdict(t, binary, what, string(text), true)
		}
	})
}

// All mutants are refused with a place, or make a model.
func TestMutants(t *testing.T) {
	mutants(t, 41, func(_ string, text []byte) { requireSound(t, text) })
}
