package maglev

import "time"

// BalancerStats is what a [Balancer] has to say about itself.
type BalancerStats struct {
	// Backends are those of the set, in the order of their names, and then
	// those that have left it with requests in flight.
	Backends []BackendStats

	Slots    int     // M
	Panic    bool    // so few are healthy that health is ignored
	Rebuilds uint64  // tables built so far
	Last     Rebuilt // the last of them
	Err      error   // why the one after it could not be built; nil if none failed
}

// BackendStats is the part of [BalancerStats] about one backend.
type BackendStats struct {
	Backend          // a Weight of 0 as 1
	Slots    int     // that it holds
	Share    float64 // of the weights of all that are in the table
	State    State   // StateFull is told by Candidates only
	Left     bool    // it is not in the set any more
	InFlight int     // leases not yet released

	Picks     uint64 // leases given
	Spills    uint64 // leases that it was first in line for, but was down or warming
	Overflows uint64 // leases that it was first in line for, but was at its bound
}

// Rebuilt is how a table was built.
type Rebuilt struct {
	At    time.Time     // when it began
	Took  time.Duration // how long it took
	Moved int           // slots that got another backend
	Ideal int           // slots that had to, as shares have changed
}

// Stats returns what there is to say, at this moment. It costs a walk over the
// backends.
func (b *Balancer[T]) Stats() BalancerStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.current.Load()
	stats := BalancerStats{
		Backends: make([]BackendStats, 0, len(b.order)+len(b.leaving)),
		Slots:    s.table.Size(),
		Panic:    s.panicked,
		Rebuilds: b.rebuilds,
		Last:     b.last,
		Err:      b.failed,
	}
	shares := b.shares(s.members, func(int) bool { return true })
	for _, m := range b.order {
		of := m.stats(b.state(s, m))
		if m.index >= 0 {
			of.Slots, of.Share = s.table.Slots(m.index), shares[m.index]
		}
		stats.Backends = append(stats.Backends, of)
	}
	for _, m := range b.leaving {
		of := m.stats(StateDraining)
		of.Left = true
		stats.Backends = append(stats.Backends, of)
	}
	return stats
}

// state returns a member's state for people to look at: what is wrong with it, in
// panic too. Balancer.mu is held.
func (b *Balancer[T]) state(s *snapshot[T], m *member[T]) State {
	if i := m.index; i >= 0 && s.states[i] == StateWarming && time.Since(b.epoch)-s.ups[i] < b.opts.SlowStart.Window {
		return StateWarming
	}
	return m.state(false)
}

func (m *member[T]) stats(state State) BackendStats {
	return BackendStats{
		Backend:   m.backend,
		State:     state,
		InFlight:  int(m.load()),
		Picks:     m.picks.Load(),
		Spills:    m.spills.Load(),
		Overflows: m.overflows.Load(),
	}
}

// A Candidate is a backend in the order in which a hash prefers them.
type Candidate struct {
	Name   string
	State  State
	Picked bool // a request with this hash would get it now
}

// Candidates says where a hash goes and why: the backends of the table in the order
// of [Table.Candidates], the state of each, and which of them would be picked at
// this moment. It is for people to look at; it counts nothing.
func (b *Balancer[T]) Candidates(hash uint64) []Candidate {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.current.Load()
	picked, _ := b.search(s, hash, nil, 1, func(m *member[T], slots int64) entry {
		if m.load() > slots {
			return full
		}
		return entered
	})
	all := make([]Candidate, 0, s.table.Len())
	for i := range s.table.Candidates(hash) {
		m := s.members[i]
		c := Candidate{m.name, b.state(s, m), i == picked}
		if (c.State == StateReady || c.State == StateWarming) && m.load() > b.slots(s, i, 1) {
			c.State = StateFull
		}
		all = append(all, c)
	}
	return all
}
