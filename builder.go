package maglev

import (
	"fmt"
	"math"
	"slices"
)

// A Builder builds one table after another in the same scratch memory: 16
// bytes a backend, 16 more if weights differ or localities have some, 4 more if
// positions wrap, as Katran's above 65537, and a bit a slot. What a build
// allocates is the new table.
//
// The zero value is ready to use. A Builder must not be used by several
// goroutines at once, nor copied after its first use. The tables it has built
// do not depend on it.
type Builder struct {
	board  board
	round  roundRobin
	shares proportional[float64]
	sums   proportional[uint64]
	cilium ciliumTurns

	localities map[string]uint64 // the sum of weights in each
}

// Build is [New] in the Builder's memory.
func (b *Builder) Build(backends []Backend, opts Options) (*Table, error) {
	d := opts.Dialect.rules()
	if err := d.check(&opts); err != nil {
		return nil, err
	}
	size, err := d.size(opts.TableSize)
	if err != nil {
		return nil, err
	}
	t := &Table{
		divisor:  newDivisor(size),
		hash:     opts.Hash,
		backends: slices.Clone(backends),
		order:    make([]uint32, len(backends)),
		held:     make([]uint32, len(backends)),
	}
	if t.hash == nil {
		t.hash = XXHash
	}
	b.board.reset(t.divisor, len(backends), d.exactUpTo > 0 && size > d.exactUpTo)
	if err := b.sort(t, d.sortKey); err != nil {
		return nil, err
	}
	turns, err := b.turns(t, d, opts.LocalityWeights)
	if err != nil {
		return nil, err
	}
	if turns == nil {
		return t, nil // a table of no backends, or of none with a share
	}
	for rank, i := range t.order {
		b.board.start(rank, d.place(&t.divisor, t.hash, t.backends[i].Name))
	}
	if err := b.fill(t, turns); err != nil {
		return nil, fmt.Errorf("maglev: Options.TableSize %d: %w: %s computes positions in 32 bits and cannot fill it from these backends (%w); use %d",
			size, ErrTableSize, d.name, err, d.exactUpTo)
	}
	return t, nil
}

// turns returns whose turn it is, or nil if it is nobody's.
func (b *Builder) turns(t *Table, d *dialect, localityWeights map[string]uint32) (turns, error) {
	if len(t.backends) == 0 {
		return nil, nil
	}
	if localityWeights != nil {
		for i := range t.backends {
			if _, ok := localityWeights[t.backends[i].Locality]; !ok {
				return nil, fmt.Errorf("maglev: backends[%d].Locality: %w: %q is not in Options.LocalityWeights; add it there, with weight 0 if it is to get no slots",
					i, ErrLocality, t.backends[i].Locality)
			}
		}
	} else if equalWeights(t.backends) {
		b.round.reset(len(t.backends))
		return &b.round, nil
	}
	return d.turns(b, t, localityWeights), nil
}

func equalWeights(backends []Backend) bool {
	for i := range backends {
		if backends[i].weight() != backends[0].weight() {
			return false
		}
	}
	return true
}

// envoyTurns computes the shares as Envoy does, in its order of float
// operations: weight * locality's share / sum of the locality's weights.
func (b *Builder) envoyTurns(t *Table, localityWeights map[string]uint32) turns {
	if b.localities == nil {
		b.localities = make(map[string]uint64)
	}
	clear(b.localities)
	locality := func(backend *Backend) string {
		if localityWeights == nil {
			return ""
		}
		return backend.Locality
	}
	for i := range t.backends {
		b.localities[locality(&t.backends[i])] += uint64(t.backends[i].weight())
	}
	sum := uint64(0) // over the localities that have backends
	for name := range b.localities {
		sum += uint64(localityWeights[name])
	}

	b.shares.reset(len(t.backends))
	for rank, i := range t.order {
		backend := &t.backends[i]
		name := locality(backend)
		part := 1.0
		if localityWeights != nil {
			part = float64(localityWeights[name]) / float64(max(sum, 1))
		}
		q := quota[float64]{weight: float64(backend.weight()) * part / float64(b.localities[name])}
		if part == 0 {
			q = quota[float64]{target: math.Inf(1)}
		}
		b.shares.quotas[rank] = q
		b.shares.step = max(b.shares.step, q.weight)
	}
	if localityWeights != nil && sum == 0 {
		return nil
	}
	return &b.shares
}

// sharesOf returns, by index, the backends' shares of the weights as Envoy
// computes them, 0 for a backend whose locality has no weight.
func (b *Builder) sharesOf(t *Table, localityWeights map[string]uint32) []float64 {
	b.envoyTurns(t, localityWeights)
	shares := make([]float64, len(t.backends))
	for rank, i := range t.order {
		shares[i] = b.shares.quotas[rank].weight
	}
	return shares
}

func (b *Builder) ciliumTurns(t *Table, _ map[string]uint32) turns {
	n := uint64(len(t.backends))
	sum := uint64(0)
	b.cilium.reset(len(t.backends))
	for rank, i := range t.order {
		w := float64(t.backends[i].weight())
		b.cilium.quotas[rank] = quota[float64]{weight: w, target: w / float64(n)}
		sum += uint64(t.backends[i].weight())
	}
	if sum/n <= 1 {
		b.round.reset(int(n))
		return &b.round
	}
	b.cilium.sum = float64(sum)
	return &b.cilium
}

func (b *Builder) katranTurns(t *Table, _ map[string]uint32) turns {
	b.sums.reset(len(t.backends))
	for i := range t.backends {
		b.sums.step = max(b.sums.step, uint64(t.backends[i].weight()))
	}
	for rank, i := range t.order {
		b.sums.quotas[rank] = quota[uint64]{weight: uint64(t.backends[i].weight()), target: b.sums.step}
	}
	return &b.sums
}

// fill allocates the slots, as wide as the indexes need, populates them, and
// counts what each backend holds.
func (b *Builder) fill(t *Table, turns turns) error {
	reach := t.Size() + t.spill()
	switch n := len(t.backends); {
	case n <= 1<<8:
		t.narrow = make([]uint8, reach)
		return fill(t.narrow, t, b, turns)
	case n <= 1<<16:
		t.medium = make([]uint16, reach)
		return fill(t.medium, t, b, turns)
	default:
		t.wide = make([]uint32, reach)
		return fill(t.wide, t, b, turns)
	}
}

func fill[S slot](reach []S, t *Table, b *Builder, turns turns) error {
	slots := reach[:t.Size()]
	if len(t.backends) > 1 { // one alone fills the table
		if err := populate(slots, t.order, &b.board, turns); err != nil {
			return err
		}
	}
	copy(reach[len(slots):], slots)
	if turns == &b.round {
		// Nothing to count: they differ by one at most.
		size, n := uint32(len(slots)), uint32(len(t.order))
		for rank, i := range t.order {
			t.held[i] = (size + n - 1 - uint32(rank)) / n
		}
	} else {
		for _, i := range slots {
			t.held[i]++
		}
	}
	for _, held := range t.held {
		if held > 0 {
			t.holders++
		}
	}
	return nil
}
