package lookup

import (
	"container/list"
	"sync"
)

// A cache holds the keys that were asked for last. Any number of goroutines may
// use it.
type cache struct {
	capacity int

	mu      sync.Mutex
	entries map[string]*list.Element
	recent  list.List // of entry, the last one used first
}

type entry struct{ key, value string }

func newCache(capacity int) *cache {
	return &cache{capacity: capacity, entries: make(map[string]*list.Element)}
}

func (c *cache) get(key string) (value string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[key]
	if !ok {
		return "", false
	}
	c.recent.MoveToFront(e)
	return e.Value.(entry).value, true
}

func (c *cache) put(key, value string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[key]; ok { // two requests have missed it at once
		e.Value = entry{key, value}
		c.recent.MoveToFront(e)
		return
	}
	c.entries[key] = c.recent.PushFront(entry{key, value})
	if c.recent.Len() > c.capacity {
		last := c.recent.Back()
		c.recent.Remove(last)
		delete(c.entries, last.Value.(entry).key)
	}
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	c.recent.Init()
}
