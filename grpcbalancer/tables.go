package grpcbalancer

import (
	"encoding/binary"
	"runtime"
	"sync"
	"time"
	"weak"

	"github.com/cespare/xxhash/v2"

	"github.com/maglev-lb/maglev"
)

// tables are those in use in this process: ClientConns to the same endpoints share
// one, as do the clusters of an xDS config that have the same.
var tables = tableCache{entries: make(map[tableKey]*tableEntry)}

type tableCache struct {
	mu      sync.Mutex
	entries map[tableKey]*tableEntry
}

// A tableKey is what a table is of.
type tableKey struct {
	size     int
	dialect  Dialect
	seed     string
	backends uint64 // a hash of them
}

type tableEntry struct {
	building sync.Mutex                 // so that what several ask for is built once
	table    weak.Pointer[maglev.Table] // guarded by tableCache.mu
}

// get returns a table of the backends, which have unique names in ascending order, and
// how long it took to build, 0 if it was there.
func (c *tableCache) get(backends []maglev.Backend, config *Config) (*maglev.Table, time.Duration, error) {
	key := tableKey{config.TableSize, config.Dialect, config.HashSeed, sum(backends)}
	entry := c.entry(key)
	entry.building.Lock()
	defer entry.building.Unlock()
	c.mu.Lock()
	t := entry.table.Value()
	c.mu.Unlock()
	if t != nil && isOf(t, backends) {
		return t, 0, nil
	}
	start := time.Now()
	t, err := maglev.New(backends, config.options())
	if err != nil {
		c.drop(key, entry)
		return nil, 0, err
	}
	took := max(time.Since(start), 1)
	c.mu.Lock()
	entry.table = weak.Make(t)
	c.entries[key] = entry // it may have been dropped meanwhile
	c.mu.Unlock()
	runtime.AddCleanup(t, func(key tableKey) { c.drop(key, entry) }, key)
	return t, took, nil
}

func (c *tableCache) entry(key tableKey) *tableEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	entry := c.entries[key]
	if entry == nil {
		entry = new(tableEntry)
		c.entries[key] = entry
	}
	return entry
}

// drop removes an entry whose table nobody has any more.
func (c *tableCache) drop(key tableKey, entry *tableEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[key] == entry && entry.table.Value() == nil {
		delete(c.entries, key)
	}
}

func sum(backends []maglev.Backend) uint64 {
	var d xxhash.Digest
	d.Reset()
	var buf [8]byte
	number := func(n uint64) {
		binary.LittleEndian.PutUint64(buf[:], n)
		_, _ = d.Write(buf[:]) // never fails
	}
	for i := range backends {
		b := &backends[i]
		number(uint64(len(b.Name)))
		_, _ = d.WriteString(b.Name)
		number(uint64(b.Weight))
	}
	return d.Sum64()
}

func isOf(t *maglev.Table, backends []maglev.Backend) bool {
	if t.Len() != len(backends) {
		return false
	}
	for i := range backends {
		if t.Backend(i) != backends[i] {
			return false
		}
	}
	return true
}
