package stats

import (
	"strconv"
	"sync/atomic"
)

// CodeCounters count answers by their status: of the name upstream_rq, upstream_rq_200,
// upstream_rq_2xx and upstream_rq_completed. Those of a status are there when it was first
// counted, as in Envoy. The zero value is ready to use. It must not be copied; any number of
// goroutines may use it.
type CodeCounters struct {
	// by the first digit; an answer is counted once, and the sums are made when they are read
	classes [10]atomic.Pointer[[100]Counter]
}

// Inc counts an answer. A status that does not have three digits counts as 999.
func (c *CodeCounters) Inc(status int) {
	if status < 100 || status > 999 {
		status = 999
	}
	class := c.classes[status/100].Load()
	if class == nil {
		c.classes[status/100].CompareAndSwap(nil, new([100]Counter))
		class = c.classes[status/100].Load()
	}
	class[status%100].Inc()
}

// Value returns how many answers had a status.
func (c *CodeCounters) Value(status int) uint64 {
	if status < 100 || status > 999 {
		return 0
	}
	class := c.classes[status/100].Load()
	if class == nil {
		return 0
	}
	return class[status%100].Value()
}

// Completed returns how many answers there were.
func (c *CodeCounters) Completed() uint64 {
	var n uint64
	for i := range c.classes {
		n += c.class(i)
	}
	return n
}

func (c *CodeCounters) class(i int) uint64 {
	var n uint64
	if class := c.classes[i].Load(); class != nil {
		for j := range class {
			n += class[j].Value()
		}
	}
	return n
}

func (c *CodeCounters) each(name string, yield func(string, uint64)) {
	var completed, unknown uint64
	for i := range c.classes {
		class := c.classes[i].Load()
		if class == nil {
			continue
		}
		if i > 5 {
			unknown += c.class(i)
			continue
		}
		var sum uint64
		for j := range class {
			if n := class[j].Value(); n > 0 {
				yield(name+"_"+strconv.Itoa(i*100+j), n)
				sum += n
			}
		}
		yield(name+"_"+strconv.Itoa(i)+"xx", sum)
		completed += sum
	}
	if unknown > 0 {
		yield(name+"_unknown", unknown)
		completed += unknown
	}
	if completed > 0 {
		yield(name+"_completed", completed)
	}
}

func (c *CodeCounters) reset() {
	for i := range c.classes {
		if class := c.classes[i].Load(); class != nil {
			for j := range class {
				class[j].n.Store(0)
			}
		}
	}
}

// ClassCounters count answers by the first digit of their status: of the name downstream_rq,
// downstream_rq_1xx to downstream_rq_5xx and downstream_rq_completed. The zero value is ready
// to use. It must not be copied; any number of goroutines may use it.
type ClassCounters struct{ classes [6]Counter } // classes[0] is of all other statuses

// Inc counts an answer.
func (c *ClassCounters) Inc(status int) {
	class := status / 100
	if class < 1 || class > 5 {
		class = 0
	}
	c.classes[class].Inc()
}

// Value returns how many answers had a status of a class, from 1 to 5.
func (c *ClassCounters) Value(class int) uint64 { return c.classes[class].Value() }

// Completed returns how many answers there were.
func (c *ClassCounters) Completed() uint64 {
	var n uint64
	for i := range c.classes {
		n += c.classes[i].Value()
	}
	return n
}

func (c *ClassCounters) each(name string, yield func(string, uint64)) {
	for i := 1; i < len(c.classes); i++ {
		yield(name+"_"+strconv.Itoa(i)+"xx", c.classes[i].Value())
	}
	yield(name+"_completed", c.Completed())
}

func (c *ClassCounters) reset() {
	for i := range c.classes {
		c.classes[i].n.Store(0)
	}
}
