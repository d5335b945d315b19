package maglev

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Member is a backend of a [Balancer] and what the caller keeps for it, such
// as a connection or a transport.
type Member[T any] struct {
	Backend
	Value T

	// Draining has a new name begin as one that drains, see [Balancer.SetDraining],
	// so that it never gets a key. It is not looked at for a name that stays.
	Draining bool
}

// A Balancer picks backends from a set that lives: backends come and go, fail
// and recover, drain and warm up, while requests are under way.
//
// It keeps one [Table] of the set, and beside it, under the same atomic pointer,
// the values and states of the backends: what [Balancer.Pick] reads is of one
// generation. [Balancer.Update] replaces the set. A backend that is down is passed
// over, in the order of [Table.Candidates], and no table is built: no key of
// another backend moves.
//
// A Balancer is made by [NewBalancer] and is safe for use by any number of
// goroutines; it must not be copied. It owns no goroutine: with [Rebuild] one is
// there while a table is being built.
type Balancer[T any] struct {
	opts  BalancerOptions // with defaults spelled out
	epoch time.Time       // what members' times are counted from

	current atomic.Pointer[snapshot[T]]
	drained atomic.Pointer[func(Member[T])]

	// inFlight counts the requests in flight at all members together, those that
	// are being acquired included: so it is never less than their sum. It is kept
	// if there is a bound.
	inFlight atomic.Int64

	// building is held while a table is built, so that one is at a time. It is
	// locked before mu, which is never held for long.
	building sync.Mutex
	builder  Builder
	settled  uint64 // the newest set asked for whose fate is known,
	outcome  error  // and its fate
	placed   uint64 // the newest that has been put in place

	mu         sync.Mutex
	members    map[string]*member[T]
	order      []*member[T] // the same, sorted by name
	leaving    []*member[T] // removed, with requests in flight
	usable     int          // members that are healthy and not draining
	staying    int          // members that are not draining
	pending    []Member[T]  // the newest set to have been asked for, sorted by name
	asked      uint64       // how many sets have been asked for
	rebuilding bool         // a goroutine is building what health has changed
	rebuilds   uint64
	last       Rebuilt
	failed     error   // why the set or table after that is not in place
	weigher    Builder // of shares, not of tables
}

// NewBalancer returns a Balancer without backends. Its errors wrap [ErrOption],
// or are those of [New] about BalancerOptions.Table.
func NewBalancer[T any](opts BalancerOptions) (*Balancer[T], error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	empty, err := New(nil, opts.Table)
	if err != nil {
		return nil, err
	}
	b := &Balancer[T]{
		opts:    opts.withDefaults(),
		epoch:   time.Now(),
		members: make(map[string]*member[T]),
	}
	b.current.Store(&snapshot[T]{table: empty})
	return b, nil
}

// Update makes the given set of backends the one to pick from, and returns when
// it, or a set from a later Update, is. It neither keeps nor changes the slice.
//
// A name that stays keeps its state, its counters and its value: the Value given
// for it now is not looked at. (To give a name another value, leave it out of an
// Update first, and wait for that.) A new backend is healthy. A backend that has
// been left out gets no new keys; its requests in flight go on, see
// [Balancer.OnDrained].
//
// If names and weights are those of the set in place, in whatever order, and
// localities too where they have weights, no table is built. Of Updates that come
// while a table is being built the last is carried out, for all of them: if it cannot
// be built, which is ErrTableSize, all get that error.
//
// An error wraps [ErrEmptyName], [ErrDuplicateName] or [ErrLocality], or
// [ErrTableSize] as in [New]; then the last good set stays. An empty set is not an
// error: there is nothing to pick.
func (b *Balancer[T]) Update(members []Member[T]) error {
	set, err := b.sorted(members)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.pending = set
	b.asked++
	ticket := b.asked
	b.mu.Unlock()

	empty, err := b.settle(ticket)
	b.tellDrained(empty)
	return err
}

// settle sees to it that the fate of the set of a ticket is known, and returns
// it. A set that a later one has overtaken shares its fate.
func (b *Balancer[T]) settle(ticket uint64) (empty []Member[T], err error) {
	b.building.Lock()
	defer b.building.Unlock() // a Hash of the caller's may panic
	if b.settled < ticket {
		empty = b.install()
	}
	if b.placed < ticket {
		err = b.outcome
	}
	return empty, err
}

// sorted returns the members in the order of their names, weights of 0 as 1, so
// that equal sets are equal slices.
func (b *Balancer[T]) sorted(members []Member[T]) ([]Member[T], error) {
	for i := range members {
		m := &members[i]
		if m.Name == "" {
			return nil, fmt.Errorf("maglev: members[%d].Name: %w; it is the backend's identity and hash key", i, ErrEmptyName)
		}
		if weights := b.opts.Table.LocalityWeights; weights != nil {
			if _, ok := weights[m.Locality]; !ok {
				return nil, fmt.Errorf("maglev: members[%d].Locality: %w: %q is not in BalancerOptions.Table.LocalityWeights; add it there, with weight 0 if it is to get no slots",
					i, ErrLocality, m.Locality)
			}
		}
	}
	set := slices.Clone(members)
	slices.SortStableFunc(set, func(x, y Member[T]) int { return strings.Compare(x.Name, y.Name) })
	for i := range set {
		set[i].Weight = set[i].weight()
		if i > 0 && set[i].Name == set[i-1].Name {
			return nil, fmt.Errorf("maglev: members: %w: %q comes more than once; names have to be unique", ErrDuplicateName, set[i].Name)
		}
	}
	return set, nil
}

// Pick returns the value of the backend for a hash: the first of its
// [Table.Candidates] that is healthy, not draining, and warm enough for this
// key. It is a read of the table, waits for nobody and is not counted; what is to
// be counted or bounded takes [Balancer.Acquire]. It does not allocate for the first
// eight candidates. It returns false if there is no backend to pick.
func (b *Balancer[T]) Pick(hash uint64) (value T, ok bool) {
	s := b.current.Load()
	if i := s.table.Lookup(hash); uint(i) < uint(len(s.values)) && (s.calm || s.states[i] == StateReady) {
		return s.values[i], true
	}
	if i := b.next(s, hash); i >= 0 {
		return s.values[i], true
	}
	return value, false
}

// SetHealth says whether a backend is healthy. It takes effect at once, for all
// picks that begin later; the price is a copy of a byte per backend, and with
// SlowStart, or with a BalanceFactor and LocalityWeights, a walk over them. An unknown
// name is an error, which wraps [ErrUnknownBackend].
func (b *Balancer[T]) SetHealth(name string, healthy bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, err := b.member("SetHealth", name)
	if err != nil || m.healthy == healthy {
		return err
	}
	b.change(m, func() { m.healthy = healthy })
	return nil
}

// SetDraining says whether a backend is to get no new keys, though it stays in
// the set: its slots are passed over, in panic too, and what it has in flight goes
// on, see [Balancer.OnDrained]. It takes effect for all picks that begin later. To
// drain a backend for good, leave it out of an [Balancer.Update]. An unknown name
// is an error, which wraps [ErrUnknownBackend].
func (b *Balancer[T]) SetDraining(name string, draining bool) error {
	b.mu.Lock()
	m, err := b.member("SetDraining", name)
	if err != nil || m.draining.Load() == draining {
		b.mu.Unlock()
		return err
	}
	if !draining {
		m.reopen()
	}
	b.change(m, func() { m.draining.Store(draining) })
	empty := m.close(nil)
	b.mu.Unlock()
	b.tellDrained(empty)
	return nil
}

func (b *Balancer[T]) member(method, name string) (*member[T], error) {
	m := b.members[name]
	if m == nil {
		return nil, fmt.Errorf("maglev: Balancer.%s: %w: %q is not in the set", method, ErrUnknownBackend, name)
	}
	return m, nil
}

// change changes the state of a member, and what follows from it.
func (b *Balancer[T]) change(m *member[T], change func()) {
	was := m.usable()
	b.count(m, -1)
	change()
	b.count(m, +1)
	if m.usable() && !was {
		m.up = time.Since(b.epoch)
	}
	b.publish(*b.current.Load(), m)
	b.follow()
}

// count counts a member in or out.
func (b *Balancer[T]) count(m *member[T], sign int) {
	usable, staying := m.counts()
	b.usable += sign * usable
	b.staying += sign * staying
}

// OnDrained has f called when a backend that has been removed, or is draining, has
// no request in flight: once for each removal, and once for each time that it is
// marked as draining, unless before it is empty the mark is taken back or it is
// removed. (So one that is drained and then removed is told of twice: the first
// time it may yet come back.) From then on no [Lease] of it is given.
//
// f is called without locks held, by the goroutine that has removed or marked the
// backend or released its last request, and gets the Member as it was in the set.
// Set it before the first Update; nil is none. [Balancer.Pick] is not counted: who
// uses it has to wait for its own requests.
func (b *Balancer[T]) OnDrained(f func(Member[T])) {
	if f == nil {
		b.drained.Store(nil)
		return
	}
	b.drained.Store(&f)
}

func (b *Balancer[T]) tellDrained(members []Member[T]) {
	if f := b.drained.Load(); f != nil {
		for _, m := range slices.Backward(members) {
			defer (*f)(m) // so that all are told, even if f panics
		}
	}
}
