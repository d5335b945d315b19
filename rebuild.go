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
	seats := make([]seat[T], len(set))
	for i := range set {
		m := b.members[set[i].Name]
		if m == nil {
			m = &member[T]{balancer: b, name: set[i].Name, value: set[i].Value, healthy: true, index: -1}
			m.draining.Store(set[i].Draining)
		}
		seats[i] = seat[T]{m, set[i].Backend}
	}
	tabled := b.tabled(seats)
	b.mu.Unlock()

	next := b.build(tabled)
	b.settled, b.outcome = ticket, next.err
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked == ticket {
		b.pending = nil // not before: after a panic in build it is still to be done
	}
	if next.err != nil {
		b.failed = next.err
		return nil
	}
	b.placed = ticket
	old, left := b.order, b.members
	b.order, b.members = make([]*member[T], len(seats)), make(map[string]*member[T], len(seats))
	b.usable, b.staying = 0, 0
	now := time.Since(b.epoch)
	for i, s := range seats {
		if left[s.name] == nil {
			s.up = now
		}
		s.backend = s.as
		b.order[i], b.members[s.name] = s.member, s.member
		b.count(s.member, 1)
	}
	b.place(tabled, next)
	for _, m := range old {
		if b.members[m.name] == nil {
			empty = m.remove(empty)
		}
	}
	for _, m := range b.order {
		if left[m.name] == nil {
			empty = m.close(empty) // if it begins as draining
		}
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
	weights := b.opts.Table.LocalityWeights
	return slices.DeleteFunc(slices.Clone(seats), func(s seat[T]) bool {
		// A backend without slots would be a last resort here, as in Spill. Envoy has
		// none: if nobody else is healthy it picks nobody.
		return s.state(panicked) != StateReady || weights != nil && weights[s.as.Locality] == 0
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
	if slices.EqualFunc(old.backends, backends, b.sameInTable) {
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

// sameInTable returns whether two backends are the same to a table: localities
// count if they have weights.
func (b *Balancer[T]) sameInTable(x, y Backend) bool {
	return x.Name == y.Name && x.Weight == y.Weight && (x.Locality == y.Locality || b.opts.Table.LocalityWeights == nil)
}

// place publishes a table of the seats. Balancer.building and Balancer.mu are
// held.
func (b *Balancer[T]) place(seats []seat[T], next built) {
	b.failed = nil
	old := b.current.Load()
	s := snapshot[T]{
		table:   next.table,
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
	rebuilt := next.table != old.table
	if rebuilt {
		b.rebuilds++
		b.last = next.Rebuilt
	}
	if b.opts.SlowStart.Window > 0 {
		s.past = old.handDown(rebuilt)
	}
	b.publish(s, nil)
}

// publish brings the states of a snapshot up to date, one that has changed or all
// of them, and makes it the one to pick from. Balancer.mu is held.
func (b *Balancer[T]) publish(s snapshot[T], changed *member[T]) {
	panicked := b.panics(b.usable, b.staying)
	if changed != nil && s.panicked == panicked && b.opts.SlowStart.Window == 0 {
		if changed.index < 0 {
			return
		}
		s.states = slices.Clone(s.states)
		s.weight -= s.weightOf(changed.index)
		s.states[changed.index] = changed.state(panicked)
		s.weight += s.weightOf(changed.index)
	} else {
		s.panicked = panicked
		s.states = make([]State, len(s.members))
		for i, m := range s.members {
			s.states[i] = m.state(panicked)
		}
		b.markWarming(&s)
		s.weight = 0
		for i := range s.states {
			s.weight += s.weightOf(i)
		}
	}
	if b.opts.BalanceFactor > 0 && b.opts.Table.LocalityWeights != nil {
		s.shares = b.shares(s.members, func(i int) bool { return s.used(i) })
	}
	s.calm = !slices.ContainsFunc(s.states, func(s State) bool { return s != StateReady })
	b.current.Store(&s)
}

// shares returns the members' shares of the weights of those that count, 0 for
// the others, as Envoy computes them from its hosts in use. Balancer.mu is held.
func (b *Balancer[T]) shares(members []*member[T], counts func(i int) bool) []float64 {
	shares := make([]float64, len(members))
	var t Table
	var counted []int
	for i, m := range members {
		if counts(i) {
			t.order = append(t.order, uint32(len(counted)))
			t.backends = append(t.backends, m.backend)
			counted = append(counted, i)
		}
	}
	for i, share := range b.weigher.sharesOf(&t, b.opts.Table.LocalityWeights) {
		shares[counted[i]] = share
	}
	return shares
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
	if next.err != nil {
		// The last table stays until health changes, or has changed meanwhile.
		b.failed = next.err
		b.rebuilding = !slices.Equal(tabled, b.tabled(b.seats()))
		return b.rebuilding
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
