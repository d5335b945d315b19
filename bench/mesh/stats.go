//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
)

// A figure sums up the repeats of a measurement: their median and range.
type figure struct {
	Median, Min, Max float64
	N                int // repeats; 0: there are none, and the rest means nothing
}

func figureOf(values []float64) figure {
	if len(values) == 0 {
		return figure{}
	}
	return figure{median(values), slices.Min(values), slices.Max(values), len(values)}
}

// median is the middle value, or the mean of the two in the middle.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// format writes the median and, if there are several repeats, the range.
func (f figure) format(decimals int) string {
	switch f.N {
	case 0:
		return "-"
	case 1:
		return fmt.Sprintf("%.*f", decimals, f.Median)
	}
	return fmt.Sprintf("%.*f (%.*f-%.*f)", decimals, f.Median, decimals, f.Min, decimals, f.Max)
}

// A series is what the repeats have found, by repeat.
type series map[int]float64

func (s series) figure() figure {
	values := make([]float64, 0, len(s))
	for _, v := range s {
		values = append(values, v)
	}
	return figureOf(values)
}

// pair puts together what two series have found in the same repeat, so that what the machine
// did then, it did to both. Repeats that one of them lacks are left out.
func (s series) pair(other series, f func(a, b float64) float64) series {
	paired := make(series)
	for repeat, a := range s {
		if b, ok := other[repeat]; ok {
			if v := f(a, b); !math.IsNaN(v) && !math.IsInf(v, 0) {
				paired[repeat] = v
			}
		}
	}
	return paired
}

func ratio(a, b float64) float64      { return a / b }
func difference(a, b float64) float64 { return a - b }
