package lookup

import (
	"fmt"
	"sync/atomic"
	"time"
)

// QueryTime is what a query of the database costs.
const QueryTime = 8 * time.Millisecond

// A database takes its time, and counts.
type database struct {
	queryTime time.Duration
	queries   atomic.Int64
}

func (d *database) query(key string) string {
	d.queries.Add(1)
	time.Sleep(d.queryTime) // stands in for the work
	return valueOf(key)
}

// valueOf is what the database has for a key.
func valueOf(key string) string { return "the value of " + key }

// A Server answers lookups from its cache, and else from the database. How requests
// reach it is for others to say. Any number of goroutines may use it.
type Server struct {
	Name   string
	Killed bool // requests that it had may have got no answer; set while nothing is sent to it

	database     *database
	cache        *cache
	served, hits atomic.Int64
}

// Answer returns the value of a key, and whether the cache had it.
func (s *Server) Answer(key string) (value string, hit bool) {
	s.served.Add(1)
	if value, hit = s.cache.get(key); hit {
		s.hits.Add(1)
		return value, true
	}
	value = s.database.query(key)
	s.cache.put(key, value)
	return value, false
}

// Clear empties the cache.
func (s *Server) Clear() { s.cache.clear() }

// NameOf names the i-th server.
func NameOf(i int) string { return fmt.Sprintf("lookup-%d", i+1) }
