package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/httpbalancer"
)

// An observed is a traffic and what is exported of it.
type observed struct {
	*traffic
	exporter *tracetest.InMemoryExporter
	reader   *metric.ManualReader
	tracers  *trace.TracerProvider
}

func observe(t *testing.T) *observed {
	t.Helper()
	o := &observed{exporter: tracetest.NewInMemoryExporter(), reader: metric.NewManualReader()}
	o.tracers = trace.NewTracerProvider(trace.WithSyncer(o.exporter))
	var err error
	o.traffic, err = startTraffic(o.tracers, metric.NewMeterProvider(metric.WithReader(o.reader)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.close()) })
	return o
}

// spans returns what has been exported: those of requests, and those of attempts in
// the order in which they began.
func (o *observed) spans(t *testing.T) (requests, attempts tracetest.SpanStubs) {
	t.Helper()
	for _, s := range o.exporter.GetSpans() {
		require.Equal(t, oteltrace.SpanKindClient, s.SpanKind)
		if of(s, semconv.ServerAddressKey) == "users.example" {
			requests = append(requests, s)
		} else {
			attempts = append(attempts, s)
		}
	}
	slices.SortFunc(attempts, byStart)
	return requests, attempts
}

// of returns an attribute of a span, nil if it has none.
func of(s tracetest.SpanStub, key attribute.Key) any {
	set := attribute.NewSet(s.Attributes...)
	v, ok := set.Value(key)
	if !ok {
		return nil
	}
	return v.AsInterface()
}

// keyAt returns a key of a server.
func keyAt(t *testing.T, server string) string {
	t.Helper()
	table, err := maglev.New([]maglev.Backend{{Name: "users-1"}, {Name: "users-2"}, {Name: "users-3"}}, maglev.Options{})
	require.NoError(t, err)
	for i := range 1000 {
		key := fmt.Sprint("key-", i)
		if table.Backend(table.LookupString(key)).Name == server {
			return key
		}
	}
	t.Fatalf("none of 1000 keys goes to %s", server)
	return ""
}

func TestSpansOfARequestThatIsTriedAgain(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			o := observe(t)
			require.NoError(t, o.send(t.Context(), method, keyAt(t, refusing), strings.NewReader("body")))

			requests, attempts := o.spans(t)
			require.Len(t, requests, 1)
			require.Len(t, attempts, 2)
			request, refused, answered := requests[0], attempts[0], attempts[1]

			require.False(t, request.Parent.IsValid())
			require.Equal(t, int64(http.StatusOK), of(request, semconv.HTTPResponseStatusCodeKey))
			require.Equal(t, codes.Unset, request.Status.Code)
			require.Nil(t, of(request, semconv.NetworkPeerAddressKey))
			require.Nil(t, of(request, semconv.HTTPRequestResendCountKey))

			urls := make(map[string]netip.AddrPort)
			for _, b := range o.transport.Stats().Backends {
				urls[b.Name] = netip.MustParseAddrPort(strings.TrimPrefix(b.URL, "http://"))
			}
			for _, a := range attempts {
				require.Equal(t, request.SpanContext.SpanID(), a.Parent.SpanID())
				require.Equal(t, request.SpanContext.TraceID(), a.SpanContext.TraceID())
				backend := urls[of(a, backendName).(string)]
				require.Equal(t, backend.Addr().String(), of(a, semconv.ServerAddressKey))
				require.Equal(t, int64(backend.Port()), of(a, semconv.ServerPortKey))
				require.Equal(t, backend.Addr().String(), of(a, semconv.NetworkPeerAddressKey))
				require.Equal(t, int64(backend.Port()), of(a, semconv.NetworkPeerPortKey))
			}
			require.Equal(t, refusing, of(refused, backendName))
			require.Equal(t, codes.Error, refused.Status.Code)
			require.Nil(t, of(refused, semconv.HTTPResponseStatusCodeKey))
			require.Nil(t, of(refused, semconv.HTTPRequestResendCountKey))

			require.NotEqual(t, refusing, of(answered, backendName))
			require.NotEqual(t, of(refused, semconv.NetworkPeerPortKey), of(answered, semconv.NetworkPeerPortKey))
			require.Equal(t, codes.Unset, answered.Status.Code)
			require.Equal(t, int64(http.StatusOK), of(answered, semconv.HTTPResponseStatusCodeKey))
			require.Equal(t, int64(1), of(answered, semconv.HTTPRequestResendCountKey))

			require.Equal(t, []string{traceparent(answered)}, o.parents)
		})
	}
}

// traceparent is the header of W3C's Trace Context, section 3.2.
func traceparent(s tracetest.SpanStub) string {
	return fmt.Sprintf("00-%s-%s-01", s.SpanContext.TraceID(), s.SpanContext.SpanID())
}

func TestSpansOfARequestThatIsNot(t *testing.T) {
	o := observe(t)
	ctx, caller := o.tracers.Tracer("test").Start(t.Context(), "caller")
	for range 2 { // the second time over the same connection
		require.NoError(t, o.send(ctx, http.MethodGet, keyAt(t, "users-3"), nil))
	}
	requests, attempts := o.spans(t)
	require.Len(t, requests, 2)
	require.Len(t, attempts, 2)
	for i, a := range attempts {
		require.Equal(t, caller.SpanContext().SpanID(), requests[i].Parent.SpanID())
		require.Equal(t, requests[i].SpanContext.SpanID(), a.Parent.SpanID())
		require.Equal(t, "users-3", of(a, backendName))
		require.Equal(t, of(a, semconv.ServerPortKey), of(a, semconv.NetworkPeerPortKey))
		require.Nil(t, of(a, semconv.HTTPRequestResendCountKey))
	}
	require.Equal(t, []string{traceparent(attempts[0]), traceparent(attempts[1])}, o.parents)
}

func TestSpansOfARequestThatFails(t *testing.T) {
	o := observe(t)
	for _, s := range o.servers {
		require.NoError(t, s.Close())
	}
	err := o.send(t.Context(), http.MethodGet, keyAt(t, refusing), nil)
	var failed *httpbalancer.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, 3, failed.Attempts)

	requests, attempts := o.spans(t)
	require.Len(t, requests, 1)
	require.Equal(t, codes.Error, requests[0].Status.Code)
	require.Len(t, attempts, 3)
	var resends []any
	peers := make(map[any]bool)
	for _, a := range attempts {
		resends = append(resends, of(a, semconv.HTTPRequestResendCountKey))
		peers[of(a, semconv.NetworkPeerPortKey)] = true
	}
	require.Equal(t, []any{nil, int64(1), int64(2)}, resends)
	require.Len(t, peers, 3)
}

func TestDurationIsThatOfAttempts(t *testing.T) {
	o := observe(t)
	require.NoError(t, o.send(t.Context(), http.MethodGet, keyAt(t, refusing), nil))
	var all metricdata.ResourceMetrics
	require.NoError(t, o.reader.Collect(t.Context(), &all))
	ports := make(map[attribute.Value]uint64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "http.client.request.duration" {
				continue
			}
			for _, p := range m.Data.(metricdata.Histogram[float64]).DataPoints {
				port, _ := p.Attributes.Value(semconv.ServerPortKey)
				ports[port] += p.Count
			}
		}
	}
	_, attempts := o.spans(t)
	require.Len(t, attempts, 2)
	want := make(map[attribute.Value]uint64)
	for _, a := range attempts {
		want[attribute.Int64Value(of(a, semconv.ServerPortKey).(int64))]++
	}
	require.Equal(t, want, ports)
}

func TestASpanThatIsNotRecorded(t *testing.T) {
	called := errors.New("called")
	a := attempts{next: roundTripper(func(*http.Request) (*http.Response, error) { return nil, called })}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://users.example/", nil)
	require.NoError(t, err)
	_, err = a.RoundTrip(req) //nolint:bodyclose // there is none
	require.ErrorIs(t, err, called)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestPeer(t *testing.T) {
	require.Equal(t, []attribute.KeyValue{semconv.NetworkPeerAddress("::1"), semconv.NetworkPeerPort(80)}, peer("[::1]:80"))
	require.Equal(t, []attribute.KeyValue{semconv.NetworkPeerAddress("/run/users.sock")}, peer("/run/users.sock"))
}
