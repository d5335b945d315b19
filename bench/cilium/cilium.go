// Package cilium compares maglev with Cilium's own code, pkg/maglev of
// github.com/cilium/cilium: the same tables, slot for slot, and the time they
// take. It is a module of its own because Cilium's is a large one.
package cilium

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"

	"github.com/cilium/cilium/pkg/clustermesh/types"
	"github.com/cilium/cilium/pkg/loadbalancer"
	original "github.com/cilium/cilium/pkg/maglev"
	"github.com/cilium/hive/cell"

	"github.com/maglev-lb/maglev"
)

// A Case is what a table is built from.
type Case struct {
	HashSeed  string // as in Cilium's option bpf-lb-maglev-hash-seed
	TableSize int
	Backends  []Backend
}

// A Backend is an active backend of Cilium.
type Backend struct {
	Addr     netip.AddrPort
	Protocol loadbalancer.L4Type
	Cluster  uint32 // 0: this cluster
	Internal bool   // scope
	Weight   uint16
}

// Name returns the name of the backend in maglev. It is written from what the
// documentation of [maglev.CiliumName] says, not asked of Cilium, so that a
// difference shows in the tables.
func (b *Backend) Name() string {
	if b.Cluster == 0 && !b.Internal {
		return maglev.CiliumName(b.Addr, b.Protocol)
	}
	host, scope := b.Addr.Addr().String(), ""
	if b.Cluster != 0 {
		host = fmt.Sprintf("%s@%d", host, b.Cluster)
	}
	if b.Addr.Addr().Is6() {
		host = "[" + host + "]"
	}
	if b.Internal {
		scope = "/i"
	}
	return fmt.Sprintf("[%s:%d/%s%s,State:active]", host, b.Addr.Port(), b.Protocol, scope)
}

// Maglev returns the case as maglev takes it.
func (c *Case) Maglev() ([]maglev.Backend, maglev.Options, error) {
	seed, err := base64.StdEncoding.DecodeString(c.HashSeed)
	if err != nil {
		return nil, maglev.Options{}, err
	}
	backends := make([]maglev.Backend, len(c.Backends))
	for i := range c.Backends {
		b := &c.Backends[i]
		backends[i] = maglev.Backend{Name: b.Name(), Weight: uint32(b.Weight)}
	}
	return backends, maglev.Options{
		Dialect:   maglev.Cilium(binary.BigEndian.Uint32(seed)),
		TableSize: c.TableSize,
	}, nil
}

// Original returns the case as Cilium takes it. The ids are indexes into
// c.Backends, and so then are what the table holds.
func (c *Case) Original() (original.Config, iter.Seq[original.BackendInfo], error) {
	config, err := original.UserConfig{
		TableSize: uint(c.TableSize),
		HashSeed:  c.HashSeed,
	}.ToConfig()
	return config, func(yield func(original.BackendInfo) bool) {
		for i, b := range c.Backends {
			scope := loadbalancer.ScopeExternal
			if b.Internal {
				scope = loadbalancer.ScopeInternal
			}
			cluster := types.AddrClusterFrom(b.Addr.Addr(), b.Cluster)
			if !yield(original.BackendInfo{
				ID:     loadbalancer.BackendID(i),
				Addr:   loadbalancer.NewL3n4Addr(b.Protocol, cluster, b.Addr.Port(), scope),
				Weight: b.Weight,
			}) {
				return
			}
		}
	}, err
}

// A Builder builds tables with Cilium's code, one after another: its memory,
// over a gigabyte for the largest table, is kept as an agent keeps it.
type Builder struct {
	*original.Maglev
}

// NewBuilder starts Cilium's workers; Stop ends them.
func NewBuilder() (*Builder, error) {
	b := &Builder{original.New(original.DefaultConfig, new(cell.DefaultLifecycle))}
	return b, b.Start(context.Background())
}

// Table returns the slots of Cilium's table, as indexes into c.Backends.
func (b *Builder) Table(c *Case) ([]loadbalancer.BackendID, error) {
	config, backends, err := c.Original()
	if err != nil {
		return nil, err
	}
	b.Config = config
	return b.GetLookupTable(backends), nil
}
