package stats

import (
	"math"
	"sync/atomic"
)

// A Histogram counts durations in milliseconds, or other whole numbers. The zero value is ready
// to use. It must not be copied; any number of goroutines may use it.
//
// Its bins are those of Envoy's histograms (OpenHistogram, log-linear): two significant
// decimal digits, 90 bins between a power of ten and the next. A bin holds the values
// from its left end up to the next bin's, and the bins of a power of ten get their memory when
// there is the first value for them: most histograms use one or two.
type Histogram struct {
	sum   atomic.Uint64
	small atomic.Pointer[[100]atomic.Uint64]             // a bin for each value below 100
	large [decades - 2]atomic.Pointer[[90]atomic.Uint64] // of the values from 100, from 1000 and so on
}

// decades bounds the values: those of 10^decades and above are counted in the highest bin.
const decades = 12

// Record counts a value.
func (h *Histogram) Record(value uint64) {
	h.sum.Add(value)
	if value < 100 {
		bins := h.small.Load()
		if bins == nil {
			h.small.CompareAndSwap(nil, new([100]atomic.Uint64))
			bins = h.small.Load()
		}
		bins[value].Add(1)
		return
	}
	i := 0
	for value >= 1000 {
		value /= 10
		i++
	}
	mantissa := value/10 - 10
	if i >= len(h.large) {
		i, mantissa = len(h.large)-1, 89
	}
	bins := h.large[i].Load()
	if bins == nil {
		h.large[i].CompareAndSwap(nil, new([90]atomic.Uint64))
		bins = h.large[i].Load()
	}
	bins[mantissa].Add(1)
}

// A bin is a part of a histogram that holds values.
type bin struct {
	left, width float64
	count       uint64
}

// bins returns the bins that hold values, from the left, and how many values there are.
func (h *Histogram) bins() (bins []bin, count uint64) {
	add := func(left, width float64, n uint64) {
		if n > 0 {
			bins = append(bins, bin{left, width, n})
			count += n
		}
	}
	if small := h.small.Load(); small != nil {
		for i := range small {
			width := 1.0
			switch {
			case i == 0:
				width = 0
			case i < 10:
				width = 0.1
			}
			add(float64(i), width, small[i].Load())
		}
	}
	width := 10.0
	for i := range h.large {
		if large := h.large[i].Load(); large != nil {
			for j := range large {
				add(float64(10+j)*width, width, large[j].Load())
			}
		}
		width *= 10
	}
	return bins, count
}

// quantiles are what Envoy prints of a histogram, in percent.
var quantiles = [...]float64{0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100}

// estimate returns the values of the quantiles. As in Envoy the n values of a bin are taken to
// divide it into n+1 equal parts.
func estimate(bins []bin, count uint64) (values [len(quantiles)]float64) {
	i, before := 0, uint64(0)
	for q, percent := range quantiles {
		// the place among all values, the first is 1
		place := max(1, uint64(math.Ceil(percent/100*float64(count))))
		for i < len(bins)-1 && place > before+bins[i].count {
			before += bins[i].count
			i++
		}
		b := bins[i]
		values[q] = b.left + b.width*float64(place-before)/float64(b.count+1)
	}
	return values
}

// bounds are the upper bounds of Envoy's buckets.
var bounds = [...]float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000}

// cumulative returns how many values are in bins that begin at or below each of the bounds. So
// the bin that begins at a bound is counted whole, as in Envoy.
func cumulative(bins []bin) (counts [len(bounds)]uint64) {
	i, n := 0, uint64(0)
	for b, bound := range bounds {
		for i < len(bins) && bins[i].left <= bound {
			n += bins[i].count
			i++
		}
		counts[b] = n
	}
	return counts
}

// used tells whether a value was recorded.
func (h *Histogram) used() bool {
	if h.small.Load() != nil {
		return true
	}
	for i := range h.large {
		if h.large[i].Load() != nil {
			return true
		}
	}
	return false
}
