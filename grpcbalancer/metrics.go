package grpcbalancer

import (
	"time"

	"google.golang.org/grpc/balancer"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/experimental/stats"
)

// The instruments, by the rules of gRFC A79. They are off unless whoever configures the
// stats plugin names them.
var (
	endpointsMetric = stats.RegisterInt64UpDownCount(stats.MetricDescriptor{
		Name:        "maglev.endpoints",
		Description: "EXPERIMENTAL. Endpoints of the policy, by their connectivity state.",
		Unit:        "{endpoint}",
		Labels:      []string{"grpc.target", "maglev.state"},
	})
	passedOverMetric = stats.RegisterInt64Count(stats.MetricDescriptor{
		Name:        "maglev.picks_passed_over",
		Description: "EXPERIMENTAL. Picks that did not get the first candidate of their hash because it was in TRANSIENT_FAILURE.",
		Unit:        "{pick}",
		Labels:      []string{"grpc.target"},
	})
	overflowedMetric = stats.RegisterInt64Count(stats.MetricDescriptor{
		Name:        "maglev.picks_overflowed",
		Description: "EXPERIMENTAL. Picks that did not get the first candidate of their hash because it was at its bound.",
		Unit:        "{pick}",
		Labels:      []string{"grpc.target"},
	})
	randomMetric = stats.RegisterInt64Count(stats.MetricDescriptor{
		Name:        "maglev.picks_without_hash",
		Description: "EXPERIMENTAL. Picks of calls that have no hash, and get any endpoint.",
		Unit:        "{pick}",
		Labels:      []string{"grpc.target"},
	})
	buildsMetric = stats.RegisterFloat64Histo(stats.MetricDescriptor{
		Name:        "maglev.table_build_duration",
		Description: "EXPERIMENTAL. Time to build a table. Tables that the process had already are not counted.",
		Unit:        "s",
		Labels:      []string{"grpc.target"},
		Bounds:      []float64{0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1},
	})
)

// metrics records what a policy does.
type metrics struct {
	recorder stats.MetricsRecorder
	target   []string // the only label of most: kept, so that a pick allocates none
}

func newMetrics(cc balancer.ClientConn, target string) *metrics {
	return &metrics{recorderOf(cc), []string{target}}
}

// recorderOf returns the recorder of a ClientConn, or one that does nothing: a ClientConn
// that stands for another may have embedded none.
func recorderOf(cc balancer.ClientConn) (r stats.MetricsRecorder) {
	defer func() {
		if recover() != nil || r == nil {
			r = stats.UnimplementedMetricsRecorder{}
		}
	}()
	return cc.MetricsRecorder()
}

func (m *metrics) endpoints(s connectivity.State, n int) {
	if n != 0 {
		endpointsMetric.Record(m.recorder, int64(n), m.target[0], s.String())
	}
}

func (m *metrics) passedOver()  { passedOverMetric.Record(m.recorder, 1, m.target...) }
func (m *metrics) overflowed()  { overflowedMetric.Record(m.recorder, 1, m.target...) }
func (m *metrics) withoutHash() { randomMetric.Record(m.recorder, 1, m.target...) }

func (m *metrics) built(took time.Duration) {
	buildsMetric.Record(m.recorder, took.Seconds(), m.target...)
}
