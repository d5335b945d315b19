package route

import (
	"strconv"

	"github.com/maglev-lb/maglev/mesh/message"
)

// Cluster returns the name of the cluster that a request goes to, and the weighted cluster
// that it is, nil where the route has none. The name is "" where the header of a
// cluster_header is absent or empty. The request must be as it was matched, before
// [Route.RewriteRequest], and the route one that forwards.
//
// Of weighted clusters, one is picked by a number modulo the sum of the weights. That is
// the value of the header that header_name names, or the hash of the request with
// use_hash_policy; without such a header in one line with a decimal number of 64 bits, or
// without a hash, it is random.
func (r *Route) Cluster(ex *message.Exchange, random uint64) (name string, w *Weighted) {
	f := r.Config.Forward
	switch {
	case f.Weighted != nil:
		w = r.pick(ex, random)
		if w == nil {
			return "", nil
		}
		if w.Config.Name != "" {
			return w.Config.Name, w
		}
		return headerOf(&ex.Request, w.Config.ClusterHeader), w
	case f.ClusterHeader != "":
		return headerOf(&ex.Request, f.ClusterHeader), nil
	}
	return f.Cluster, nil
}

func (r *Route) pick(ex *message.Exchange, random uint64) *Weighted {
	f := r.Config.Forward
	number := random
	if f.Weighted.Header != "" {
		if n, ok := numberOf(ex.Request.Fields, f.Weighted.Header); ok {
			number = n
		}
	} else if f.Weighted.UseHash {
		// A cookie that would have to be generated has no hash here: none is set either.
		if hash, ok := f.Hash.Hash(unconnected{connected{ex}}); ok {
			number = hash
		}
	}
	if f.Weighted.Total == 0 {
		return nil
	}
	number %= f.Weighted.Total
	for i := range r.weighted {
		weight := uint64(r.weighted[i].Config.Weight)
		if number < weight {
			return &r.weighted[i]
		}
		number -= weight
	}
	return nil
}

// numberOf returns the number that a header has as its only value.
func numberOf(fields message.Fields, name string) (n uint64, ok bool) {
	for i := range fields {
		if fields[i].Name != name {
			continue
		}
		if ok {
			return 0, false // a second line
		}
		text := fields[i].Value
		if len(text) > 1 && text[0] == '+' {
			text = text[1:]
		}
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			return 0, false
		}
		ok = true
	}
	return n, ok
}

// headerOf returns the first value of a header, which may be a pseudo-header, and "" if it
// is absent.
func headerOf(r *message.Request, name string) string {
	switch name {
	case ":authority", "host":
		return r.Authority
	case ":path":
		return r.Path
	case ":method":
		return r.Method
	case ":scheme":
		return r.Scheme
	}
	value, _ := r.Fields.Get(name)
	return value
}
