package cluster

import (
	"runtime"
	"sync"

	"github.com/maglev-lb/maglev"
)

// A background builds the tables of clusters whose hosts have changed, so that no pick has to
// wait: half of the processors at most, the others are for requests. It has goroutines
// only while there is something to do.
type background struct {
	mu      sync.Mutex
	queue   []*Cluster
	queued  map[*Cluster]bool
	workers int
	closed  bool
	done    sync.WaitGroup
}

// add has the newest snapshot of a cluster built and placed.
func (b *background) add(c *Cluster) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.queued[c] {
		return
	}
	if b.queued == nil {
		b.queued = make(map[*Cluster]bool)
	}
	b.queued[c] = true
	b.queue = append(b.queue, c)
	if b.workers < max(1, runtime.GOMAXPROCS(0)/2) {
		b.workers++
		b.done.Go(b.work)
	}
}

func (b *background) work() {
	builder := new(maglev.Builder)
	for {
		b.mu.Lock()
		if b.closed || len(b.queue) == 0 {
			b.workers--
			b.mu.Unlock()
			return
		}
		c := b.queue[0]
		b.queue = b.queue[1:]
		delete(b.queued, c) // what changes from here on is another job
		b.mu.Unlock()
		c.buildNewest(builder)
	}
}

// close stops the building and waits until it has ended.
func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.done.Wait()
}
