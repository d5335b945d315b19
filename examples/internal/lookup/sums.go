package lookup

import "fmt"

// A tally counts the answers of a server.
type tally struct{ requests, hits int }

// enter enters an answer into the books.
func (f *Fleet) enter(a Answer) {
	if a.Server == "" {
		return
	}
	t := f.answered[a.Server]
	if t == nil {
		t = new(tally)
		f.answered[a.Server] = t
	}
	t.requests++
	if a.Hit {
		t.hits++
	}
}

// Sums are what both sides have counted since the start.
type Sums struct {
	Answers int // that the clients have had
	Served  int // requests that servers have begun to serve
	Cut     int // of them, those of a killed server that it could not answer
	Hits    int // that the clients were told of
	Misses  int // of the servers' caches
	Queries int // that the database has had
}

// Sums compares the books of the clients with those of each server and of the
// database. They differ by what was cut, and by nothing else.
func (f *Fleet) Sums() (Sums, error) {
	var s Sums
	for _, server := range f.servers {
		told := f.answered[server.Name]
		if told == nil {
			told = new(tally)
		}
		served, hits := int(server.served.Load()), int(server.hits.Load())
		switch cut := served - told.requests; {
		case cut == 0 && hits == told.hits:
		case server.Killed && cut > 0 && cut <= Most && hits >= told.hits && hits-told.hits <= cut:
			s.Cut += cut
		default:
			return s, fmt.Errorf("%s has served %d requests, %d from its cache, and the clients have had %d answers, %d from there",
				server.Name, served, hits, told.requests, told.hits)
		}
		s.Answers += told.requests
		s.Served += served
		s.Hits += told.hits
		s.Misses += served - hits
	}
	s.Queries = f.queries()
	if s.Misses != s.Queries {
		return s, fmt.Errorf("the caches have missed %d times, and the database has had %d queries", s.Misses, s.Queries)
	}
	return s, nil
}
