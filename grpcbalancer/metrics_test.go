package grpcbalancer_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	estats "google.golang.org/grpc/experimental/stats"
	"google.golang.org/grpc/stats"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/grpcbalancer"
	"github.com/maglev-lb/maglev/internal/refuse"
)

// A recorder is a stats plugin that adds up what it is told.
type recorder struct {
	estats.UnimplementedMetricsRecorder
	noStats

	mu   sync.Mutex
	sums map[string]float64 // by name and labels
}

// noStats is a stats handler that does not listen.
type noStats struct{}

func (noStats) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (noStats) HandleRPC(context.Context, stats.RPCStats)                         {}
func (noStats) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (noStats) HandleConn(context.Context, stats.ConnStats)                       {}

func (r *recorder) add(d *estats.MetricDescriptor, v float64, labels []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sums[strings.Join(append([]string{d.Name}, labels...), " ")] += v
}

func (r *recorder) RecordInt64Count(h *estats.Int64CountHandle, v int64, labels ...string) {
	r.add(h.Descriptor(), float64(v), labels)
}

func (r *recorder) RecordInt64UpDownCount(h *estats.Int64UpDownCountHandle, v int64, labels ...string) {
	r.add(h.Descriptor(), float64(v), labels)
}

func (r *recorder) RecordFloat64Histo(h *estats.Float64HistoHandle, v float64, labels ...string) {
	r.add(h.Descriptor(), v, labels)
}

// endpoints waits until there are so many in a state.
func (r *recorder) endpoints(t *testing.T, state string, want float64) {
	t.Helper()
	require.Eventually(t, func() bool { return r.sum("maglev.endpoints", state) == want }, 10*time.Second, time.Millisecond, "%v are to be %s", want, state)
}

func (r *recorder) sum(name string, labels ...string) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sums[strings.Join(append([]string{name, "test:///"}, labels...), " ")]
}

func TestMetrics(t *testing.T) {
	port, err := refuse.Take()
	require.NoError(t, err)
	defer port.Close()
	r := &recorder{sums: make(map[string]float64)}
	all := append(addrs(servers(t, 3)), port.Addr())
	c := dial(t, byUser, endpoints(all...), grpc.WithStatsHandler(r))
	keys := []string{}
	for i := 0; len(keys) < 10; i++ { // those of the backend that fails
		if key := strconv.Itoa(i); order(t, maglev.XXHash(key, 0), all...)[0] == port.Addr() {
			keys = append(keys, key)
		}
	}
	_, err = c.call(grpcbalancer.WithKey(short(t), keys[0]))
	require.NoError(t, err)
	r.endpoints(t, "TRANSIENT_FAILURE", 1)
	r.endpoints(t, "CONNECTING", 0)
	require.Positive(t, r.sum("maglev.endpoints", "READY"))
	require.EqualValues(t, 3, r.sum("maglev.endpoints", "READY")+r.sum("maglev.endpoints", "IDLE"))
	before := r.sum("maglev.picks_passed_over")
	for _, key := range keys {
		_, err := c.call(grpcbalancer.WithKey(short(t), key))
		require.NoError(t, err)
	}
	require.GreaterOrEqual(t, r.sum("maglev.picks_passed_over"), before+10)
	require.Zero(t, r.sum("maglev.picks_without_hash"))
	_, err = c.call(short(t))
	require.NoError(t, err)
	require.Positive(t, r.sum("maglev.picks_without_hash"))
	require.Positive(t, r.sum("maglev.table_build_duration"))
	require.NoError(t, c.Close())
	for _, state := range []string{"IDLE", "CONNECTING", "READY", "TRANSIENT_FAILURE"} {
		r.endpoints(t, state, 0)
	}
}

// By gRFC A79 instruments of third parties do not begin with "grpc.", and those that are
// experimental are off.
func TestMetricsAreOffAndHaveNamesOfTheirOwn(t *testing.T) {
	var names []string
	for _, name := range []string{"endpoints", "picks_passed_over", "picks_overflowed", "picks_without_hash", "table_build_duration"} {
		d := estats.DescriptorForMetric("maglev." + name)
		require.NotNil(t, d, name)
		require.False(t, d.Default, name)
		names = append(names, d.Name)
	}
	for name := range estats.DefaultMetrics.Metrics() {
		require.False(t, slices.Contains(names, name), name)
	}
}
