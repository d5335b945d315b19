package maglev

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
)

// A gate is a Hash that stops the build that comes to it once it is closed.
type gate struct {
	shut    atomic.Bool
	entered chan struct{}
	open    chan struct{}
}

func newGate() *gate { return &gate{entered: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) hash(key string, seed uint64) uint64 {
	if g.shut.CompareAndSwap(true, false) {
		g.entered <- struct{}{}
		<-g.open
	}
	return XXHash(key, seed)
}

func gated(t *testing.T, opts BalancerOptions) (*Balancer[int], *gate) {
	g := newGate()
	opts.Table.Hash = g.hash
	opts.Table.TableSize = 251
	b, err := NewBalancer[int](opts)
	require.NoError(t, err)
	return b, g
}

func some(n int) []Member[int] {
	members := make([]Member[int], n)
	for i := range members {
		members[i] = Member[int]{Backend: Backend{Name: fmt.Sprintf("%04d", i)}, Value: i}
	}
	return members
}

// While one table is being built a hundred sets are asked for: one more table is
// built, the last one's, and all of them return.
func TestUpdatesDuringABuildCoalesce(t *testing.T) {
	b, g := gated(t, BalancerOptions{})
	g.shut.Store(true)
	var all sync.WaitGroup
	all.Go(func() { require.NoError(t, b.Update(some(1))) })
	<-g.entered
	for n := 2; n <= 101; n++ {
		all.Go(func() {
			require.NoError(t, b.Update(some(n)))
			require.Len(t, b.Stats().Backends, 101)
		})
		for asked(b) < uint64(n) { // it waits for the first by now, or soon
			runtime.Gosched()
		}
	}
	require.Empty(t, b.Stats().Backends, "nothing is in place yet")
	g.open <- struct{}{}
	all.Wait()
	require.EqualValues(t, 2, b.Stats().Rebuilds)
	require.Nil(t, b.pending, "no set is kept")
}

func asked(b *Balancer[int]) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.asked
}

// A Hash of the caller's that panics does not stop the Balancer, nor empty it.
func TestUpdateAfterAPanicInHash(t *testing.T) {
	panics := false
	b, err := NewBalancer[int](BalancerOptions{Table: Options{TableSize: 251, Hash: func(key string, seed uint64) uint64 {
		if panics {
			panic("hash")
		}
		return XXHash(key, seed)
	}}})
	require.NoError(t, err)
	require.NoError(t, b.Update(some(3)))
	panics = true
	require.Panics(t, func() { _ = b.Update(some(4)) })
	require.Len(t, b.Stats().Backends, 3)
	panics = false
	// Somebody who had asked before the panic, and comes now, carries it out.
	_, err = b.settle(2)
	require.NoError(t, err)
	require.Len(t, b.Stats().Backends, 4)
	require.NoError(t, b.Update(some(5)))
	require.Len(t, b.Stats().Backends, 5)
}

// A set that a good one has overtaken is in place as far as its caller is
// concerned, though a bad one came after both.
func TestABadSetIsNoErrorOfEarlierOnes(t *testing.T) {
	b, err := NewBalancer[int](BalancerOptions{Table: Options{TableSize: 251}})
	require.NoError(t, err)
	require.NoError(t, b.Update(some(1)))
	require.NoError(t, b.Update(some(2)))
	b.settled, b.outcome = 3, ErrTableSize
	_, err = b.settle(1)
	require.NoError(t, err)
	_, err = b.settle(2)
	require.NoError(t, err)
	_, err = b.settle(3)
	require.ErrorIs(t, err, ErrTableSize)
}

// In Rebuild mode changes of health during a build are caught up with by one more.
func TestRebuildsOfHealthCoalesce(t *testing.T) {
	b, g := gated(t, BalancerOptions{Unhealthy: Rebuild, PanicThreshold: new(0)})
	require.NoError(t, b.Update(some(50)))
	g.shut.Store(true)
	require.NoError(t, b.SetHealth("0000", false))
	<-g.entered
	for i := 1; i < 50; i++ {
		require.NoError(t, b.SetHealth(fmt.Sprintf("%04d", i), i%2 == 0))
	}
	for hash := range uint64(251) { // it spills meanwhile
		value, ok := b.Pick(hash)
		require.True(t, ok)
		require.True(t, value != 0 && value%2 == 0)
	}
	g.open <- struct{}{}
	waitRebuilt(b)
	require.EqualValues(t, 3, b.Stats().Rebuilds)
	require.Equal(t, 24, b.current.Load().table.Len())
}

func waitRebuilt(b *Balancer[int]) {
	for {
		b.mu.Lock()
		busy := b.rebuilding
		b.mu.Unlock()
		if !busy {
			return
		}
		runtime.Gosched()
	}
}

// The table of before, kept for the keys that are not taken over yet, is let go
// once they are.
func TestSlowStartLetsGoOfOldTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = time.Minute
		b, err := NewBalancer[int](BalancerOptions{SlowStart: SlowStart{Window: window}})
		require.NoError(t, err)
		require.NoError(t, b.Update(some(3)))
		time.Sleep(time.Second)
		require.Nil(t, b.current.Load().past)
		old := weak.Make(b.current.Load().table)
		for n := 4; n <= 20; n++ {
			require.NoError(t, b.Update(some(n)))
			require.Len(t, b.current.Load().past, min(n-3, maxPast))
		}
		require.Equal(t, StateWarming, b.Stats().Backends[10].State)
		time.Sleep(window)
		require.Equal(t, StateReady, b.Stats().Backends[10].State, "though nobody has picked yet")
		for hash := range uint64(100) {
			_, _ = b.Pick(hash)
		}
		require.Nil(t, b.current.Load().past)
		runtime.GC()
		require.Nil(t, old.Value())
	})
}

// A request that has an old snapshot in hand, and in it a backend that is removed
// and empty, waits for the snapshot that is about to be there, and goes elsewhere.
func TestAcquireOutlivesAnOldSnapshot(t *testing.T) {
	b, err := NewBalancer[int](BalancerOptions{Table: Options{TableSize: 251}})
	require.NoError(t, err)
	require.NoError(t, b.Update(some(2)))
	old := b.current.Load()
	hash := uint64(0)
	for old.members[old.table.Lookup(hash)].name != "0001" {
		hash++
	}
	require.NoError(t, b.Update(some(1)))
	require.Negative(t, old.members[1].inFlight.Load(), "it is closed")

	current := b.current.Load()
	b.current.Store(old)
	time.AfterFunc(5*time.Millisecond, func() { b.current.Store(current) })
	lease, ok := b.Acquire(hash)
	require.True(t, ok)
	require.Equal(t, "0000", lease.Name)
}

// In Rebuild mode a table that cannot be built does not keep the next one from
// being built, if health has changed meanwhile.
func TestRebuildGoesOnAfterAFailure(t *testing.T) {
	const m = 5000011
	slow := "" // a backend whose 32-bit positions do not reach every slot
	for i := 0; ; i++ {
		slow = fmt.Sprint(i)
		if h2 := katranHash(XXHash(slow, 0), 2718281828, 2307); (h2%(m-1)+1)%(1<<14) == 0 {
			break
		}
	}
	g := newGate()
	b, err := NewBalancer[int](BalancerOptions{
		Unhealthy:      Rebuild,
		PanicThreshold: new(0),
		Table:          Options{TableSize: m, Dialect: Katran(func(name string) uint64 { return g.hash(name, 0) })},
	})
	require.NoError(t, err)
	require.NoError(t, b.Update([]Member[int]{
		{Backend: Backend{Name: slow, Weight: 100}},
		{Backend: Backend{Name: "other"}},
		{Backend: Backend{Name: "heavy", Weight: 100000}},
	}))
	g.shut.Store(true)
	require.NoError(t, b.SetHealth("heavy", false))
	<-g.entered                                  // slow and other: there is no such table
	require.NoError(t, b.SetHealth(slow, false)) // other alone
	g.open <- struct{}{}
	waitRebuilt(b)
	require.Equal(t, 1, b.current.Load().table.Len())
	require.NoError(t, b.Stats().Err)
}
