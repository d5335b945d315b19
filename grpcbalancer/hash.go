package grpcbalancer

import (
	"context"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc/metadata"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
)

func hashOf(key string) uint64 { return maglev.XXHash(key, 0) }

// A hasher finds the hashes of calls by a config.
type hasher struct {
	header string // "" for none
	rule   HeaderRule
	route  any // the key of the route's hash in a context, nil if it is not known
}

func newHasher(c *Config) hasher {
	route, err := routeKey()
	if err != nil {
		logger.Errorf("hashes of xDS routes cannot be read: %v", err)
	}
	return hasher{c.RequestHashHeader, c.HeaderRule, route}
}

// hash returns the hash of a call, false if it has none.
func (h *hasher) hash(ctx context.Context) (hash uint64, found bool) {
	if chosen.Load() {
		if c, ok := ctx.Value(choiceKey).(*choice); ok {
			return c.hash, true
		}
	}
	if h.header != "" {
		if values := metadata.ValueFromOutgoingContext(ctx, h.header); len(values) > 0 {
			return h.rule.hash(values), true
		}
	}
	if h.route == nil {
		return 0, false
	}
	hash, found = ctx.Value(h.route).(uint64)
	return hash, found
}

// hash returns the hash of the values of a header, of which there is one at least.
func (r HeaderRule) hash(values []string) uint64 {
	switch {
	case len(values) == 1:
		return hashOf(values[0])
	case r == ChainValues:
		return chained(values)
	}
	var d xxhash.Digest
	d.Reset()
	for i, value := range values {
		if i > 0 {
			_, _ = d.WriteString(",") // never fails
		}
		_, _ = d.WriteString(value)
	}
	return d.Sum64()
}

func chained(values headerOnly) uint64 {
	hash, _ := chain.Hash(&values)
	return hash
}

// chain is the rule of an Envoy for headers. The name stands for whatever is asked for.
var chain = hashpolicy.List{hashpolicy.Header("x-header")}

// A headerOnly is a request with nothing but the values of one header.
type headerOnly []string

func (h *headerOnly) Header(_ hashpolicy.Name, i int) (value string, count int) {
	if i < len(*h) {
		value = (*h)[i]
	}
	return value, len(*h)
}

func (*headerOnly) Target() (path, query string, hasQuery bool) { return "", "", false }
func (*headerOnly) Remote() string                              { return "" }
func (*headerOnly) Local() string                               { return "" }

var _ hashpolicy.Request = (*headerOnly)(nil)
