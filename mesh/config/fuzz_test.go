package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParse(f *testing.F) {
	for _, directory := range []string{"accepted", "refused"} {
		for i, c := range readCases(f, directory) {
			if i%4 == 0 {
				text, _, _, _ := c.whole(f)
				f.Add([]byte(text))
			}
		}
	}
	for _, pattern := range []string{"testdata/*.yaml", "testdata/paper/*.yaml"} {
		files, err := filepath.Glob(pattern)
		require.NoError(f, err)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(f, err)
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) { requireSound(t, text) })
}
