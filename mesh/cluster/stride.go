package cluster

import (
	"math"
	"sync/atomic"
)

// A stride takes turns among some, by their weights, without a lock: each gets its share of
// the turns, spread evenly. It is the static stride scheduler of gRPC's weighted round robin:
// turns go round, and in round r one whose weight is w of the largest weight m has a turn if
// w*r has crossed a multiple of m. With equal weights everybody has a turn in each round.
type stride struct {
	weights []uint32 // none: all are equal
	n       uint64
	largest uint64
	turn    atomic.Uint64
}

// newStride returns a stride that begins somewhere, so that not all proxies of a fleet begin
// with the same one.
func newStride(weights []uint32, start uint64) *stride {
	s := &stride{n: uint64(len(weights))}
	for _, w := range weights {
		s.largest = max(s.largest, uint64(w))
	}
	for _, w := range weights {
		if uint64(w) != s.largest {
			s.weights = weights
		}
	}
	s.turn.Store(start >> 32)
	return s
}

// next returns whose turn it is. There has to be one with a weight.
func (s *stride) next() int {
	for {
		turn := s.turn.Add(1)
		i, round := turn%s.n, turn/s.n
		if s.weights == nil {
			return int(i)
		}
		w := uint64(s.weights[i])
		// Those of equal weight are to have their turns in different rounds.
		at := (w*(round%s.largest) + i*(s.largest/2)%s.largest) % s.largest
		if at+w >= s.largest {
			return int(i)
		}
	}
}

// scaled returns weights as integers.
func scaled(weights []float64) []uint32 {
	largest := 0.0
	for _, w := range weights {
		largest = max(largest, w)
	}
	out := make([]uint32, len(weights))
	if largest == 0 {
		return out
	}
	for i, w := range weights {
		if w > 0 {
			out[i] = uint32(max(1, math.Round(w/largest*(1<<20))))
		}
	}
	return out
}
