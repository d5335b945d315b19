package listener

import (
	"sync/atomic"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/stats"
)

// A limit is envoy.filters.network.connection_limit. A nil limit is none.
type limit struct {
	config  *config.ConnectionLimit
	n       atomic.Int64
	active  *stats.Gauge
	limited *stats.Counter
}

func newLimit(c *config.ConnectionLimit, store *stats.Store) *limit {
	scope := store.ConnectionLimit(c.StatPrefix)
	return &limit{config: c, active: scope.Gauge("active_connections"), limited: scope.Counter("limited_connections")}
}

// enter counts a connection in, if there may be one more.
func (l *limit) enter() bool {
	if l == nil {
		return true
	}
	if uint64(l.n.Add(1)) > l.config.Max {
		l.n.Add(-1)
		l.limited.Inc()
		return false
	}
	l.active.Inc()
	return true
}

// leave counts one out.
func (l *limit) leave() {
	if l != nil {
		l.n.Add(-1)
		l.active.Dec()
	}
}
