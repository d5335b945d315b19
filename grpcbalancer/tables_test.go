package grpcbalancer

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/maglev-lb/maglev"
)

// What nobody uses is not kept, and what several ask for at once is built once.
func TestTablesAreForgotten(t *testing.T) {
	c := tableCache{entries: make(map[tableKey]*tableEntry)}
	config := &Config{TableSize: 251}
	backends := func(i int) []maglev.Backend {
		return []maglev.Backend{{Name: "a", Weight: 1}, {Name: fmt.Sprint("b", i), Weight: 1}}
	}
	kept, _, err := c.get(backends(0), config)
	require.NoError(t, err)
	var all sync.WaitGroup
	for caller := range 4 {
		all.Go(func() {
			for i := range 500 {
				if _, _, err := c.get(backends((i+caller)%500), config); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	_, _, err = c.get(backends(500), &Config{TableSize: 4})
	require.Error(t, err)
	require.Eventually(t, func() bool {
		runtime.GC()
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.entries) == 1
	}, 20*time.Second, 10*time.Millisecond)
	again, took, err := c.get(backends(0), config)
	require.NoError(t, err)
	require.Same(t, kept, again)
	require.Zero(t, took)

	tables := make([]*maglev.Table, 8)
	for i := range tables {
		all.Go(func() {
			var err error
			if tables[i], _, err = c.get(backends(1000), config); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, table := range tables {
		require.Same(t, tables[0], table)
	}
	runtime.KeepAlive(kept)
}
