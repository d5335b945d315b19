package cluster

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// hostsOf returns a priority of n hosts, so many of them healthy and degraded.
func hostsOf(n, healthy, degraded int) availability {
	a := availability{healthy: healthy, degraded: degraded, total: n, hosts: n}
	if n > 0 {
		a.available = 100 * float64(healthy+degraded) / float64(n)
	}
	return a
}

func TestLoad(t *testing.T) {
	// 100 hosts a priority, so that numbers are percentages. Figures marked with * are from Envoy's
	// documentation, "Priority levels".
	p := func(healthy, degraded int) availability { return hostsOf(100, healthy, degraded) }
	tests := []struct {
		name     string
		levels   []availability
		healthy  []uint32
		degraded []uint32
		panics   []bool
	}{
		{"all healthy*", []availability{p(100, 0), p(100, 0)}, []uint32{100, 0}, nil, nil},
		{"72 % are enough*", []availability{p(72, 0), p(72, 0)}, []uint32{100, 0}, nil, nil},
		{"71 % are not quite*", []availability{p(71, 0), p(71, 0)}, []uint32{99, 1}, nil, nil},
		{"half*", []availability{p(50, 0), p(50, 0)}, []uint32{70, 30}, nil, nil},
		{"a quarter*", []availability{p(25, 0), p(100, 0)}, []uint32{35, 65}, nil, nil},
		{"none in the first*", []availability{p(0, 0), p(100, 0)}, []uint32{0, 100}, nil, nil},
		{"three priorities*", []availability{p(25, 0), p(25, 0), p(100, 0)}, []uint32{35, 35, 30}, nil, nil},
		{"scaled up", []availability{p(20, 0), p(20, 0)}, []uint32{50, 50}, nil, []bool{true, true}},
		{"rounding goes to the first", []availability{p(5, 0), p(0, 0), p(65, 0)}, []uint32{8, 0, 92}, nil, []bool{true, true, false}},
		{"panic in both", []availability{p(25, 0), p(25, 0)}, []uint32{50, 50}, nil, []bool{true, true}},
		{"no panic while the sum is 100", []availability{p(5, 0), p(100, 0)}, []uint32{7, 93}, nil, nil},
		{"nothing is healthy", []availability{p(0, 0), p(0, 0)}, []uint32{50, 50}, nil, []bool{true, true}},
		{"in total panic by numbers of hosts", []availability{hostsOf(30, 0, 0), hostsOf(60, 0, 0), hostsOf(10, 0, 0)}, []uint32{30, 60, 10}, nil, []bool{true, true, true}},
		{"no hosts", []availability{hostsOf(0, 0, 0)}, []uint32{100}, nil, []bool{true}},
		{"an empty priority is passed over", []availability{hostsOf(0, 0, 0), hostsOf(2, 2, 0)}, []uint32{0, 100}, nil, nil},
		{"degraded hosts take what is left", []availability{p(25, 75)}, []uint32{35}, []uint32{65}, nil},
		{"healthy ones of the next priority come first", []availability{p(50, 50), p(50, 0)}, []uint32{70, 30}, []uint32{0, 0}, nil},
		{"only degraded", []availability{p(0, 100), p(0, 100)}, []uint32{0, 0}, []uint32{100, 0}, nil},
		{"one of 200 is none", []availability{hostsOf(200, 1, 0)}, []uint32{100}, nil, []bool{true}},
		{"some priorities in panic", []availability{p(60, 0), p(5, 0)}, []uint32{93, 7}, nil, []bool{false, true}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := newLoad(test.levels, 140, 50)
			none := make([]uint32, len(test.levels))
			if test.degraded == nil {
				test.degraded = none
			}
			if test.panics == nil {
				test.panics = make([]bool, len(test.levels))
			}
			assert.Equal(t, test.healthy, got.healthy, "healthy")
			assert.Equal(t, test.degraded, got.degraded, "degraded")
			assert.Equal(t, test.panics, got.panic, "panic")
		})
	}
}

func TestLoadSumsUp(t *testing.T) {
	for h := range 11 {
		for d := range 11 - h {
			for h2 := range 11 {
				for d2 := range 11 - h2 {
					for _, threshold := range []uint32{0, 50, 100} {
						l := newLoad([]availability{hostsOf(10, h, d), hostsOf(10, h2, d2)}, 140, threshold)
						sum := l.healthy[0] + l.healthy[1] + l.degraded[0] + l.degraded[1]
						assert.EqualValues(t, 100, sum, "%d %d %d %d: %+v", h, d, h2, d2, l)
					}
				}
			}
		}
	}
}

func TestLoadWithoutPanic(t *testing.T) {
	l := newLoad([]availability{hostsOf(4, 0, 0), hostsOf(4, 0, 0)}, 140, 0)
	assert.Equal(t, []uint32{100, 0}, l.healthy)
	assert.Equal(t, []bool{false, false}, l.panic)

	l = newLoad([]availability{hostsOf(4, 1, 0)}, 140, 0)
	assert.Equal(t, []uint32{100}, l.healthy)
	assert.Equal(t, []bool{false}, l.panic)
}

func TestLoadChoice(t *testing.T) {
	l := load{healthy: []uint32{35, 20}, degraded: []uint32{0, 45}}
	counts := make(map[string]int)
	for hash := range uint64(1000) {
		p, degraded := l.choose(hash)
		counts[map[bool]string{false: "healthy", true: "degraded"}[degraded]+string(rune('0'+p))]++
	}
	assert.Equal(t, map[string]int{"healthy0": 350, "healthy1": 200, "degraded1": 450}, counts)
	p, _ := l.choose(34)
	assert.Equal(t, 0, p, "34 mod 100 + 1 is 35")
	p, _ = l.choose(35)
	assert.Equal(t, 1, p)
}

func TestLoadWithoutTried(t *testing.T) {
	levels := []availability{hostsOf(4, 4, 0), hostsOf(4, 2, 1), hostsOf(4, 1, 0)}
	l := newLoad(levels, 140, 50)
	assert.Equal(t, []uint32{100, 0, 0}, l.healthy)

	got := l.without(1, levels, 140)
	assert.Equal(t, []uint32{0, 70, 30}, got.healthy)
	got = l.without(1|2, levels, 140)
	assert.Equal(t, []uint32{0, 0, 100}, got.healthy)
	got = l.without(1|2|4, levels, 140)
	assert.Equal(t, []uint32{100, 0, 0}, got.healthy, "all have been tried: all are used again")
}
