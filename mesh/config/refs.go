package config

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/anypb"
)

// A reference is the name of a cluster somewhere, which is looked up when all are known.
type reference struct {
	place *place
	name  string
}

// refer notes a reference to a cluster, unless it is empty, which its own rule has refused.
func (b *builder) refer(p *place, name string) {
	if name != "" {
		b.refs = append(b.refs, reference{p, name})
	}
}

// resolve looks up all references.
func (b *builder) resolve() {
	// One of them may be meant for a cluster whose name is wrong.
	nameless := b.clusters[""] != nil
	for _, ref := range b.refs {
		if !nameless && b.clusters[ref.name] == nil {
			b.bad(ref.place, "there is no cluster %q; static_resources.clusters has %s", ref.name, b.clusterNames())
		}
	}
	b.unusedRuntime()
}

// clusterNames lists the first few clusters.
func (b *builder) clusterNames() string {
	var names []string
	for name := range b.clusters {
		names = append(names, `"`+name+`"`)
	}
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	if len(names) > 10 {
		names = append(names[:10], "...")
	}
	return strings.Join(names, ", ")
}

// wrongType says that a google.protobuf.Any holds a message that has no place there. One
// that was wrong in itself has been refused already.
func (b *builder) wrongType(p *place, a *anypb.Any, allowed ...string) {
	if b.any(a) == nil {
		return
	}
	b.bad(p.to("@type"), "%q is unsupported here; %s", a.GetTypeUrl(), oneOf(strings.Join(allowed, ", ")))
}
