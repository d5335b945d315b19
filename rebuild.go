package maglev

import (
	"slices"
	"time"
)

// A built is a table and how it came about.
type built struct {
	Rebuilt
	table *Table
	err   error
}

// A seat is a member and the backend that it is, or is about to be.
type seat[T any] struct {
	*member[T]
	as Backend
}

// install carries out the set that was asked for last, and returns the backends
// that it leaves out and that are empty. Balancer.building is held.
func (b *Balancer[T]) install() (empty []Member[T]) {
	b.mu.Lock()
	set, ticket := b.pending, b.asked
	b.pending = nil
	seats := make([]seat[T], len(set))
	for i := range set {
		m := b.members[set[i].Name]
		if m == nil {
			m = &member[T]{balancer: b, name: set[i].Name, value: set[i].Value, healthy: true, index: -1}
		}
		seats[i] = seat[T]{m, set[i].Backend}
	}
	tabled := b.tabled(seats)
	b.mu.Unlock()

	next := b.build(tabled)
	b.settled, b.outcome = ticket, next.err
	b.mu.Lock()
	defer b.mu.Unlock()
	if next.err != nil {
		b.failed = next.err
		return nil
	}
	left := b.members
	b.members = make(map[string]*member[T], len(seats))
	b.order = b.order[:0]
	b.usable, b.staying = 0, 0
	now := time.Since(b.epoch)
	for _, s := range seats {
		if left[s.name] == nil {
			s.up = now
		}
		delete(left, s.name)
		s.backend = s.as
		b.members[s.name] = s.member
		b.order = append(b.order, s.member)
		b.count(s.member, 1)
	}
	b.place(tabled, next)
	for _, m := range left {
		m.draining.Store(true)
		b.leaving = append(b.leaving, m)
		empty = m.close(empty)
	}
	b.follow()
	return empty
}

// tabled returns the seats that the table is to have. Balancer.mu is held.
func (b *Balancer[T]) tabled(seats []seat[T]) []seat[T] {
	if b.opts.Unhealthy == Spill {
		return seats
	}
	usable, staying := 0, 0
	for _, s := range seats {
		u, st := s.counts()
		usable, staying = usable+u, staying+st
	}
	panicked := b.panics(usable, staying)
	return slices.DeleteFunc(slices.Clone(seats), func(s seat[T]) bool {
		return !s.usable() && !(panicked && !s.draining.Load())
	})
}

// panics says whether so few of the backends that stay are usable that all of
// them are to be used.
func (b *Balancer[T]) panics(usable, staying int) bool {
	return usable*100 < *b.opts.PanicThreshold*staying && usable*140 < staying*100
}

// build returns a table of the seats, the one in place if that is of the same.
// Balancer.building is held.
func (b *Balancer[T]) build(seats []seat[T]) built {
	backends := make([]Backend, len(seats))
	for i, s := range seats {
		backends[i] = s.as
	}
	old := b.current.Load().table
	if slices.Equal(old.backends, backends) {
		return built{table: old}
	}
	start := time.Now()
	table, err := b.builder.Build(backends, b.opts.Table)
	if err != nil {
		return built{err: err}
	}
	took := time.Since(start)
	return built{Rebuilt{start, took, old.Moved(table), old.ideal(table)}, table, nil}
}

// place publishes a table of the seats. Balancer.building and Balancer.mu are
// held.
func (b *Balancer[T]) place(seats []seat[T], next built) {
	b.failed = nil
	old := b.current.Load()
	s := &snapshot[T]{
		table:   next.table,
		shares:  b.builder.sharesOf(next.table, b.opts.Table.LocalityWeights),
		values:  make([]T, len(seats)),
		members: make([]*member[T], len(seats)),
	}
	for _, m := range old.members {
		m.index = -1
	}
	for i, seat := range seats {
		seat.index = i
		s.values[i], s.members[i] = seat.value, seat.member
	}
	if next.table != old.table {
		b.rebuilds++
		b.last = next.Rebuilt
		s.before, s.became = old.table, make([]int, len(old.members))
		for i, m := range old.members {
			s.became[i] = m.index
		}
	} else {
		s.before, s.became = old.before, old.became
	}
	b.current.Store(s)
	b.publish(nil)
}

// publish brings the states up to date: one that has changed, or all of them.
// Balancer.mu is held.
func (b *Balancer[T]) publish(changed *member[T]) {
	old := b.current.Load()
	s := *old
	s.panicked = b.panics(b.usable, b.staying)
	slow := b.opts.SlowStart.Window
	if changed != nil && s.panicked == old.panicked && slow == 0 {
		if changed.index < 0 {
			return
		}
		s.states = slices.Clone(old.states)
		s.states[changed.index] = changed.state(s.panicked)
		b.current.Store(&s)
		return
	}
	s.states = make([]State, len(s.members))
	for i, m := range s.members {
		s.states[i] = m.state(s.panicked)
	}
	s.ups = nil
	if slow > 0 && !s.panicked {
		b.markWarming(&s)
	}
	if s.ups == nil { // nobody is warming
		s.before, s.became = nil, nil
	}
	b.current.Store(&s)
}

// markWarming finds out which of the ready ones are in slow start.
func (b *Balancer[T]) markWarming(s *snapshot[T]) {
	now := time.Since(b.epoch)
	s.oldest = now
	for i, m := range s.members {
		if s.states[i] == StateReady {
			s.oldest = min(s.oldest, m.up)
		}
	}
	for i, m := range s.members {
		if s.states[i] == StateReady && m.up > s.oldest && now-m.up < b.opts.SlowStart.Window {
			if s.ups == nil {
				s.ups = make([]time.Duration, len(s.members))
			}
			s.states[i], s.ups[i] = StateWarming, m.up
		}
	}
}

// follow has the table built that is of the healthy backends, if that is what is
// wanted and it is not in place. Balancer.mu is held.
func (b *Balancer[T]) follow() {
	if b.opts.Unhealthy == Spill || b.rebuilding || b.inPlace(b.tabled(b.seats())) {
		return
	}
	b.rebuilding = true
	go b.rebuild()
}

// rebuild builds tables until the one in place is of the healthy backends.
func (b *Balancer[T]) rebuild() {
	for b.rebuildOnce() {
	}
}

func (b *Balancer[T]) rebuildOnce() (more bool) {
	b.building.Lock()
	defer b.building.Unlock()
	b.mu.Lock()
	tabled := b.tabled(b.seats())
	if b.rebuilding = !b.inPlace(tabled); !b.rebuilding {
		b.mu.Unlock()
		return false
	}
	b.mu.Unlock()

	next := b.build(tabled)
	b.mu.Lock()
	defer b.mu.Unlock()
	if next.err != nil { // the last table stays until health changes again
		b.failed = next.err
		b.rebuilding = false
		return false
	}
	b.place(tabled, next)
	return true
}

// seats returns the members as they are. Balancer.mu is held.
func (b *Balancer[T]) seats() []seat[T] {
	seats := make([]seat[T], len(b.order))
	for i, m := range b.order {
		seats[i] = seat[T]{m, m.backend}
	}
	return seats
}

func (b *Balancer[T]) inPlace(tabled []seat[T]) bool {
	return slices.EqualFunc(tabled, b.current.Load().members, func(s seat[T], m *member[T]) bool { return s.member == m })
}
