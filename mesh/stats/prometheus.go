package stats

import (
	"cmp"
	"io"
	"slices"
	"strconv"
	"strings"
)

// WritePrometheus prints Prometheus's text format as Envoy's /stats/prometheus does: counters,
// then gauges, then histograms, each sorted. What the configuration names is a label:
// cluster.orders.upstream_rq_503 is
//
//	envoy_cluster_upstream_rq{envoy_response_code="503",envoy_cluster_name="orders"}
//
// Envoy finds these names by regular expressions, so of a cluster "orders.v1" it takes "orders"
// for the name and lets "v1" stand in the metric's; here the label is the whole name.
func (s *Store) WritePrometheus(w io.Writer, q Query) error {
	samples := make([]sample, 0, 64)
	for _, it := range s.ask(q) {
		samples = append(samples, newSample(it))
	}
	slices.SortStableFunc(samples, func(a, b sample) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.family, b.family))
	})
	out := writer{w: w}
	for i, sm := range samples {
		if i == 0 || sm.kind != samples[i-1].kind || sm.family != samples[i-1].family {
			out.text("# TYPE ", sm.metric, " ", [...]string{Counters: "counter", Gauges: "gauge", Histograms: "histogram"}[sm.kind], "\n")
		}
		if sm.kind == Histograms {
			out.histogram(sm)
			continue
		}
		out.text(sm.metric, "{", sm.labels, "} ")
		out.number(sm.item)
		out.text("\n")
	}
	return out.close()
}

// A sample is an item as Prometheus has it.
type sample struct {
	item
	family string // the name without labels, with dots, by which Envoy sorts
	metric string
	labels string
}

func newSample(it item) sample {
	leaf, extra := splitCode(it.leaf)
	sm := sample{item: it, family: join(it.scope.metric, leaf)}
	metric := []byte("envoy_" + sm.family)
	for i, c := range metric {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			metric[i] = '_'
		}
	}
	sm.metric = string(metric)
	var labels []byte
	if extra.name != "" {
		labels = appendLabel(labels, extra)
	}
	for _, l := range it.scope.labels {
		labels = appendLabel(labels, l)
	}
	sm.labels = string(labels)
	return sm
}

func appendLabel(b []byte, l label) []byte {
	if len(b) > 0 {
		b = append(b, ',')
	}
	b = append(append(b, l.name...), '=', '"')
	for i := range len(l.value) {
		switch c := l.value[i]; c {
		case '\\', '"':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// splitCode takes the status or its class off a name: upstream_rq_200, downstream_rq_2xx.
func splitCode(leaf string) (string, label) {
	i := len(leaf) - len("_200")
	if i < 0 || !strings.HasSuffix(leaf[:i], "_rq") || leaf[i] != '_' {
		return leaf, label{}
	}
	code := leaf[i+1:]
	switch {
	case code[0] < '0' || code[0] > '9':
		return leaf, label{}
	case code[1:] == "xx":
		return leaf[:i] + "_xx", label{"envoy_response_code_class", code[:1]}
	case code[1] >= '0' && code[1] <= '9' && code[2] >= '0' && code[2] <= '9':
		return leaf[:i], label{"envoy_response_code", code}
	}
	return leaf, label{}
}

func (w *writer) histogram(sm sample) {
	bins, count := sm.item.histogram.bins()
	labels := sm.labels
	if labels != "" {
		labels += ","
	}
	for i, n := range cumulative(bins) {
		w.text(sm.metric, "_bucket{", labels, `le="`)
		w.float(bounds[i])
		w.text(`"} `, strconv.FormatUint(n, 10), "\n")
	}
	text := strconv.FormatUint(count, 10)
	w.text(sm.metric, "_bucket{", labels, `le="+Inf"} `, text, "\n")
	w.text(sm.metric, "_sum{", sm.labels, "} ", strconv.FormatUint(sm.item.histogram.sum.Load(), 10), "\n")
	w.text(sm.metric, "_count{", sm.labels, "} ", text, "\n")
}
