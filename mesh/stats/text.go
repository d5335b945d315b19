package stats

import (
	"encoding/json"
	"io"
	"strconv"
)

// WriteText prints lines as Envoy's /stats does: counters and gauges as "name: value", sorted,
// then histograms with their quantiles. Envoy prints a quantile for the last interval of 5 s and
// one for all of the time, "P50(1.05,2.05)"; no intervals are kept here, so the first is always
// nan, which is what Envoy prints for an interval without values.
func (s *Store) WriteText(w io.Writer, q Query) error {
	out := writer{w: w}
	items := s.ask(q)
	for _, it := range items {
		if it.kind != Histograms {
			out.text(it.name, ": ")
			out.number(it)
			out.text("\n")
		}
	}
	for _, it := range items {
		if it.kind != Histograms {
			continue
		}
		out.text(it.name, ":")
		bins, count := it.histogram.bins()
		if count == 0 {
			out.text(" No recorded values\n")
			continue
		}
		for i, value := range estimate(bins, count) {
			out.text(" P")
			out.float(quantiles[i])
			out.text("(nan,")
			out.float(value)
			out.text(")")
		}
		out.text("\n")
	}
	return out.close()
}

// WriteJSON prints what WriteText does as Envoy's /stats?format=json.
func (s *Store) WriteJSON(w io.Writer, q Query) error {
	out := writer{w: w}
	out.text(`{"stats":[`)
	items := s.ask(q)
	comma := ""
	for _, it := range items {
		if it.kind != Histograms {
			out.text(comma, `{"name":`)
			out.quoted(it.name)
			out.text(`,"value":`)
			out.number(it)
			out.text("}")
			comma = ","
		}
	}
	first := true
	for _, it := range items {
		if it.kind != Histograms {
			continue
		}
		if first {
			out.text(comma, `{"histograms":{"supported_quantiles":[`)
			for i, q := range quantiles {
				out.sep(i)
				out.float(q)
			}
			out.text(`],"computed_quantiles":[`)
			first = false
		} else {
			out.text(",")
		}
		out.text(`{"name":`)
		out.quoted(it.name)
		out.text(`,"values":[`)
		bins, count := it.histogram.bins()
		var values [len(quantiles)]float64
		if count > 0 {
			values = estimate(bins, count)
		}
		for i, value := range values {
			out.sep(i)
			out.text(`{"cumulative":`)
			if count > 0 {
				out.float(value)
			} else {
				out.text("null")
			}
			out.text(`,"interval":null}`)
		}
		out.text("]}")
	}
	if !first {
		out.text("]}}")
	}
	out.text("]}")
	return out.close()
}

// A writer gathers what it prints into pieces.
type writer struct {
	w   io.Writer
	buf []byte
	err error
}

func (w *writer) text(parts ...string) {
	for _, s := range parts {
		w.buf = append(w.buf, s...)
	}
	if len(w.buf) > 16<<10 {
		w.flush()
	}
}

func (w *writer) sep(i int) {
	if i > 0 {
		w.text(",")
	}
}

func (w *writer) number(it item) {
	if it.kind == Counters {
		w.buf = strconv.AppendUint(w.buf, uint64(it.value), 10)
	} else {
		w.buf = strconv.AppendInt(w.buf, it.value, 10)
	}
}

func (w *writer) float(v float64) { w.buf = strconv.AppendFloat(w.buf, v, 'f', -1, 64) }

func (w *writer) quoted(s string) {
	text, err := json.Marshal(s)
	if err != nil { // of a string there is none
		w.err = err
	}
	w.buf = append(w.buf, text...)
}

func (w *writer) flush() {
	if w.err == nil {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

func (w *writer) close() error {
	w.flush()
	return w.err
}
