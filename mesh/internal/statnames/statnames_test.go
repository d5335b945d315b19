package statnames

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestUnknown(t *testing.T) {
	text := `# TYPE envoy_cluster_upstream_rq counter
envoy_cluster_upstream_rq{envoy_response_code="200"} 1
# TYPE envoy_cluster_upstream_rq_xx gauge
# TYPE envoy_cluster_bogus counter
`
	assert.Equal(t, []string{"envoy_cluster_upstream_rq_xx gauge", "envoy_cluster_bogus counter"}, Unknown(text))
}

func TestNamesAreSorted(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(names, "\n"), "\n")
	assert.True(t, slices.IsSorted(lines))
	assert.Greater(t, len(lines), 300)
}
