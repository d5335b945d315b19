package stats

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The quantiles are those that Envoy 1.40 printed for these values.
func TestQuantilesAreEnvoys(t *testing.T) {
	tests := []struct {
		name   string
		values []uint64
		want   string
	}{
		{"none", nil, "No recorded values"},
		{"lengths of connections", []uint64{0, 1, 1, 2, 2, 2, 3, 3, 3, 4, 55, 105},
			"P0(nan,0) P25(nan,1.0666666666666667) P50(nan,2.075) P75(nan,3.075) P90(nan,55.5) P95(nan,105) P99(nan,105) P99.5(nan,105) P99.9(nan,105) P100(nan,105)"},
		{"a bin is divided evenly", []uint64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
			"P0(nan,1.0076923076923077) P25(nan,1.023076923076923) P50(nan,1.0461538461538462) P75(nan,1.0692307692307692) P90(nan,1.0846153846153845) P95(nan,1.0923076923076924) P99(nan,1.0923076923076924) P99.5(nan,1.0923076923076924) P99.9(nan,1.0923076923076924) P100(nan,1.0923076923076924)"},
		{"requests of a connection", []uint64{1, 1, 2, 5},
			"P0(nan,1.0333333333333334) P25(nan,1.0333333333333334) P50(nan,1.0666666666666667) P75(nan,2.05) P90(nan,5.05) P95(nan,5.05) P99(nan,5.05) P99.5(nan,5.05) P99.9(nan,5.05) P100(nan,5.05)"},
		{"two digits count", []uint64{249},
			"P0(nan,245) P25(nan,245) P50(nan,245) P75(nan,245) P90(nan,245) P95(nan,245) P99(nan,245) P99.5(nan,245) P99.9(nan,245) P100(nan,245)"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			store := NewStore()
			h := store.Scope("s").Histogram("h")
			for _, v := range test.values {
				h.Record(v)
			}
			var out strings.Builder
			require.NoError(t, store.WriteText(&out, Query{}))
			assert.Equal(t, "s.h: "+test.want+"\n", out.String())
		})
	}
}

// Each value is in the one bin it belongs to: left <= value < left + width, or the width is 0.
func TestEachValueIsInItsBin(t *testing.T) {
	values := []uint64{0, 1, 9, 10, 11, 99, 100, 101, 109, 110, 999, 1000, 1099, 1100, 99_999, 100_000, 123_456_789, 999_999_999_999}
	for _, v := range values {
		var h Histogram
		assert.False(t, h.used())
		h.Record(v)
		assert.True(t, h.used())
		bins, count := h.bins()
		require.Len(t, bins, 1)
		assert.EqualValues(t, 1, count)
		assert.LessOrEqual(t, bins[0].left, float64(v))
		assert.Greater(t, bins[0].left+max(bins[0].width, 0.1), float64(v))
	}
}

func TestValuesTooLargeAreInTheHighestBin(t *testing.T) {
	var h Histogram
	h.Record(math.MaxUint64)
	h.Record(1_000_000_000_000)
	h.Record(999_999_999_999)
	bins, _ := h.bins()
	assert.Equal(t, []bin{{990_000_000_000, 10_000_000_000, 3}}, bins)
}

func TestRecordDoesNotAllocate(t *testing.T) {
	var h Histogram
	assert.LessOrEqual(t, testing.AllocsPerRun(100, func() { h.Record(7); h.Record(250) }), 0.1)
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	for b.Loop() {
		h.Record(12)
	}
}
