package stats

import (
	"regexp"
	"slices"
	"strings"
)

// A Query says what is to be printed. The zero value asks for everything.
type Query struct {
	Filter   *regexp.Regexp // found anywhere in the name; nil: all
	Invert   bool           // those that Filter does not find
	UsedOnly bool           // those that were written: counters and histograms that have counted, gauges that were set
	Kind     Kind           // 0: all
}

// A Kind is one of the kinds of statistics.
type Kind uint8

// The kinds there are.
const (
	Counters Kind = iota + 1
	Gauges
	Histograms
	TextReadouts // Envoy's kind of texts, of which there are none
)

func (q *Query) wants(name string, kind Kind, used bool) bool {
	if q.Kind != 0 && q.Kind != kind || q.UsedOnly && !used {
		return false
	}
	return q.Filter == nil || q.Filter.MatchString(name) != q.Invert
}

// An item is something to be printed.
type item struct {
	name      string // the whole of it
	scope     *scope
	leaf      string // the name's part after the scope's
	kind      Kind
	value     int64
	histogram *Histogram
}

// ask returns what a query asks for, sorted by name.
func (s *Store) ask(q Query) []item {
	var items []item
	for _, sc := range s.all() {
		var lazy bool
		add := func(leaf string, kind Kind, value int64, h *Histogram, used bool) {
			if name := join(sc.prefix, leaf); (used || !lazy) && q.wants(name, kind, used) {
				items = append(items, item{name, sc, leaf, kind, value, h})
			}
		}
		sc.each(func(leaf string, v any, isLazy bool) {
			lazy = isLazy
			switch v := v.(type) {
			case *Counter:
				n := v.Value()
				add(leaf, Counters, int64(n), nil, n > 0)
			case *Gauge:
				add(leaf, Gauges, v.Value(), nil, v.used.Load())
			case func() int64:
				add(leaf, Gauges, v(), nil, true)
			case *Histogram:
				add(leaf, Histograms, 0, v, v.used())
			case composite:
				v.each(leaf, func(leaf string, n uint64) { add(leaf, Counters, int64(n), nil, n > 0) })
			}
		})
	}
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.name, b.name) })
	return items
}
