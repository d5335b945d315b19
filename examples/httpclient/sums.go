package main

import "fmt"

// sums are what both sides have counted since the start.
type sums struct {
	answers int // that the clients have had
	served  int // requests that servers have begun to serve
	cut     int // of them, those of the killed server that it could not answer
	hits    int // that the clients were told of
	misses  int // of the servers' caches
	queries int // that the database has had
}

// sums compares the books of the clients with those of each server and of the
// database. They differ by what was cut, and by nothing else.
func (p *play) sums() (sums, error) {
	var s sums
	for _, server := range p.fleet.servers {
		told := p.answered[server.name]
		if told == nil {
			told = new(tally)
		}
		served, hits := int(server.served.Load()), int(server.hits.Load())
		switch cut := served - told.requests; {
		case cut == 0 && hits == told.hits:
		case server.killed && cut > 0 && cut <= most && hits >= told.hits && hits-told.hits <= cut:
			s.cut += cut
		default:
			return s, fmt.Errorf("%s has served %d requests, %d from its cache, and the clients have had %d answers, %d from there",
				server.name, served, hits, told.requests, told.hits)
		}
		s.answers += told.requests
		s.served += served
		s.hits += told.hits
		s.misses += served - hits
	}
	s.queries = p.queries()
	if s.misses != s.queries {
		return s, fmt.Errorf("the caches have missed %d times, and the database has had %d queries", s.misses, s.queries)
	}
	return s, nil
}

// check returns an error if something is not as the report claims.
func (f *figures) check() error {
	for _, c := range []*change{&f.kill, &f.add} {
		switch {
		case c.firstError != nil:
			return fmt.Errorf("%d requests failed as %s changed: %w", c.failed, c.server, c.firstError)
		case c.ownMoved != c.own:
			return fmt.Errorf("of the %d keys that %s had to lose or gain, %d have moved", c.own, c.server, c.ownMoved)
		}
	}
	if f.kill.othersMoved > 0 {
		return fmt.Errorf("%d keys of servers that were not killed have moved", f.kill.othersMoved)
	}
	return nil
}
