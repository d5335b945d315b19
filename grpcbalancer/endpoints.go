package grpcbalancer

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"google.golang.org/grpc/experimental/balancer/hostname"
	"google.golang.org/grpc/experimental/balancer/weight"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/ringhash"

	"github.com/maglev-lb/maglev"
)

// A row is an endpoint as a backend of the table.
type row struct {
	maglev.Backend
	addresses string // those of the endpoint, as an identity: sorted, each ended by a NUL
	endpoint  resolver.Endpoint
}

// rowsOf returns the endpoints as backends with unique names, in the order of those:
// the same for the same endpoints, in whatever order they come.
//
// Endpoints without an address are left out. Endpoints with the same addresses are
// one, with the sum of their weights; for what else they have, that with the smallest
// key counts. Of different endpoints with one hash key, that
// with the smallest addresses has it, and the key of each other one is continued with
// its addresses.
func (c *Config) rowsOf(endpoints []resolver.Endpoint) []row {
	rows := make([]row, 0, len(endpoints))
	for _, e := range endpoints {
		if len(e.Addresses) > 0 {
			rows = append(rows, row{maglev.Backend{Name: c.keyOf(e), Weight: weightOf(e)}, identity(e), e})
		}
	}
	slices.SortStableFunc(rows, func(x, y row) int {
		return cmp.Or(strings.Compare(x.addresses, y.addresses), strings.Compare(x.Name, y.Name),
			strings.Compare(x.endpoint.Addresses[0].ServerName, y.endpoint.Addresses[0].ServerName))
	})
	merged := rows[:0]
	for _, r := range rows {
		if last := len(merged) - 1; last >= 0 && merged[last].addresses == r.addresses {
			sum := uint64(merged[last].Weight) + uint64(r.Weight)
			merged[last].Weight = uint32(min(sum, math.MaxUint32))
			continue
		}
		merged = append(merged, r)
	}
	slices.SortStableFunc(merged, func(x, y row) int { return strings.Compare(x.Name, y.Name) })
	taken := make(map[string]bool, len(merged))
	again := false
	for i := range merged {
		r := &merged[i]
		for taken[r.Name] {
			r.Name += " " + strings.ReplaceAll(r.addresses, "\x00", " ")
			again = true
		}
		taken[r.Name] = true
	}
	if again {
		slices.SortStableFunc(merged, func(x, y row) int { return strings.Compare(x.Name, y.Name) })
	}
	unscale(merged)
	return merged
}

// unnamed is what is hashed of an address that is empty, as that of the target
// passthrough:/// is: a dialer of the user's knows where to.
const unnamed = " "

// keyOf returns what is hashed of an endpoint that has an address.
func (c *Config) keyOf(e resolver.Endpoint) string {
	if key := ringhash.HashKey(e); key != "" {
		return key
	}
	if name := hostname.FromEndpoint(e); name != "" && c.UseHostnameForHashing {
		return name
	}
	return cmp.Or(c.Dialect.name(e.Addresses[0].Addr), unnamed)
}

// weightOf returns the weight of an endpoint. One that is not set means 1.
func weightOf(e resolver.Endpoint) uint32 { return max(weight.FromEndpoint(e).Weight, 1) }

func identity(e resolver.Endpoint) string {
	if len(e.Addresses) == 1 {
		return e.Addresses[0].Addr + "\x00"
	}
	addrs := make([]string, len(e.Addresses))
	for i, a := range e.Addresses {
		addrs[i] = a.Addr
	}
	slices.Sort(addrs)
	return strings.Join(slices.Compact(addrs), "\x00") + "\x00"
}

// gRPC's xDS gives the weights of a priority as fractions with 31 bits after the point. They
// are taken for that if they sum up to 1, or, as some may have been left out, if one is
// that large.
const (
	fixedOne = 1 << 31
	fixedMin = 1 << 20
)

// maxDenominator bounds the search for the weights that the fractions stand for, and
// so its time: a millisecond.
const maxDenominator = 10_000

// rounding bounds what a fraction is off a whole multiple of another. It is the product
// of two, of a locality and of an endpoint in it: each is rounded down and is at most 1,
// and the product is rounded down again.
const rounding = 3

// unscale undoes what gRPC's xDS has done to weights: 1, 2 and 3 arrive as 357913941,
// 715827882 and 1073741824, which are not quite their multiples, and an Envoy that
// builds its table from 1, 2 and 3 may have another one. If all are within rounding
// of whole multiples of something, they become those multiples. So do weights as large
// that another resolver has set: their ratios stay.
func unscale(rows []row) {
	weights := make([]uint32, len(rows))
	sum := int64(0)
	for i := range rows {
		weights[i] = rows[i].Weight
		sum += int64(rows[i].Weight)
	}
	lost := rounding * int64(len(rows)) // at most
	if len(rows) == 0 || (sum < fixedOne-lost || sum > fixedOne) && slices.Max(weights) < fixedMin {
		return
	}
	// Those that differ, the smallest first: if it cannot be, one look shows that.
	slices.Sort(weights)
	weights = slices.Compact(weights)
	largest := weights[len(weights)-1]
	for n := range maxDenominator {
		unit := float64(largest) / float64(n+1)
		whole := func(w uint32) bool {
			multiple := math.Round(float64(w) / unit)
			return multiple >= 1 && math.Abs(float64(w)-multiple*unit) <= rounding
		}
		if slices.ContainsFunc(weights, func(w uint32) bool { return !whole(w) }) {
			continue
		}
		for i := range rows {
			rows[i].Weight = uint32(math.Round(float64(rows[i].Weight) / unit))
		}
		return
	}
}
