package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// report writes spans, each below its parent, and metrics.
func report(ctx context.Context, w io.Writer, spans tracetest.SpanStubs, reader metric.Reader) error {
	var page bytes.Buffer
	children := make(map[string]tracetest.SpanStubs) // by the parent's id
	for _, s := range spans {
		id := s.Parent.SpanID().String()
		children[id] = append(children[id], s)
	}
	for _, request := range slices.SortedFunc(slices.Values(children["0000000000000000"]), byStart) {
		writeSpan(&page, "", request)
		for _, attempt := range slices.SortedFunc(slices.Values(children[request.SpanContext.SpanID().String()]), byStart) {
			writeSpan(&page, "   ", attempt)
		}
	}
	lines, err := metricLines(ctx, reader)
	if err != nil {
		return err
	}
	page.WriteString("\n" + strings.Join(lines, "\n") + "\n")
	if _, err := w.Write(page.Bytes()); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

func byStart(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) }

func writeSpan(page *bytes.Buffer, indent string, s tracetest.SpanStub) {
	has := attribute.NewSet(s.Attributes...)
	fmt.Fprintf(page, "%s%s, %v", indent, s.Name, s.EndTime.Sub(s.StartTime))
	for _, key := range []attribute.Key{semconv.ServerAddressKey, backendName, semconv.NetworkPeerAddressKey,
		semconv.NetworkPeerPortKey, semconv.HTTPRequestResendCountKey, semconv.HTTPResponseStatusCodeKey, semconv.ErrorTypeKey} {
		if v, ok := has.Value(key); ok {
			fmt.Fprintf(page, "\n%s   %s = %s", indent, key, v.String())
		}
	}
	page.WriteByte('\n')
}

// metricLines collects the metrics, and returns a line of each value.
func metricLines(ctx context.Context, reader metric.Reader) ([]string, error) {
	var collected metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &collected); err != nil {
		return nil, err
	}
	var lines []string
	for _, scope := range collected.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				lines = append(lines, linesOf(m.Name, data.DataPoints)...)
			case metricdata.Gauge[int64]:
				lines = append(lines, linesOf(m.Name, data.DataPoints)...)
			case metricdata.Gauge[float64]:
				lines = append(lines, linesOf(m.Name, data.DataPoints)...)
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					lines = append(lines, fmt.Sprintf("%s{%s} %d times, %.6f in all", m.Name, label(p.Attributes), p.Count, p.Sum))
				}
			}
		}
	}
	slices.Sort(lines)
	return lines, nil
}

func linesOf[N int64 | float64](name string, points []metricdata.DataPoint[N]) []string {
	var lines []string
	for _, p := range points {
		lines = append(lines, fmt.Sprintf("%s{%s} %v", name, label(p.Attributes), p.Value))
	}
	return lines
}

func label(s attribute.Set) string { return s.Encoded(attribute.DefaultEncoder()) }
