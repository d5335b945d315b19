package config

import (
	"runtime"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// listField decodes a list. A value that is none stands for a list of it.
func (d *decoder) listField(m protoreflect.Message, f *field, n *node) {
	items := m.NewField(f.desc).List()
	set := protoreflect.ValueOfList(items)
	switch {
	case n.kind != list:
		d.appendItem(items, f, n)
	case f.desc.Message() != nil && len(n.kids) >= 2 && n.isLarge() && runtime.GOMAXPROCS(0) > 1:
		d.parallelList(items, f, n)
	default:
		if !d.enter(n) {
			return
		}
		for i := range n.kids {
			d.pushItem(i)
			d.appendItem(items, f, &n.kids[i])
			d.pop()
		}
		d.leave()
	}
	if d.check(f.countChecks, set, n) && items.Len() > 0 {
		m.Set(f.desc, set)
	}
}

// appendItem appends an item. One that is wrong is appended too, as empty as it is, so that
// the others keep their numbers.
func (d *decoder) appendItem(items protoreflect.List, f *field, n *node) {
	if f.inner() != nil && f.message.desc.FullName() == lbEndpoint {
		if plain := d.plain(n); plain != nil {
			items.Append(protoreflect.ValueOfMessage(plain.ProtoReflect()))
			return
		}
	}
	empty := items.NewElement()
	v := empty
	if !n.isNull() {
		v = d.fieldValue(f, n, func() protoreflect.Value { return empty })
	} else if s := f.inner(); s != nil {
		d.fields(empty.Message(), s, &node{kind: mapping, line: n.line, column: n.column})
	}
	if !v.IsValid() {
		v = empty
	}
	items.Append(v)
}

// isLarge reports whether a list holds so much that it pays to share the work: clusters
// with hundreds of endpoints.
func (n *node) isLarge() bool {
	size := 0
	for i := range n.kids {
		for j := range n.kids[i].kids {
			size += len(n.kids[i].kids[j].kids)
			for k := range n.kids[i].kids[j].kids {
				size += len(n.kids[i].kids[j].kids[k].kids)
			}
		}
	}
	return size >= 1000
}

// parallelList decodes the items of a list on several cores.
func (d *decoder) parallelList(items protoreflect.List, f *field, n *node) {
	if !d.enter(n) {
		return
	}
	defer d.leave()
	for range n.kids {
		items.Append(items.NewElement())
	}
	f.inner()
	workers := min(runtime.GOMAXPROCS(0), len(n.kids))
	forks := make([]*decoder, workers)
	var done sync.WaitGroup
	for w := range workers {
		forks[w] = d.fork()
		done.Go(func() {
			fork := forks[w]
			for i := len(n.kids) * w / workers; i < len(n.kids)*(w+1)/workers; i++ {
				fork.pushItem(i)
				if !n.kids[i].isNull() {
					fork.fieldValue(f, &n.kids[i], func() protoreflect.Value { return items.Get(i) })
				}
				fork.pop()
			}
		})
	}
	done.Wait()
	for _, fork := range forks {
		d.join(fork)
	}
}

func (d *decoder) mapField(m protoreflect.Message, f *field, n *node) {
	if n.kind != mapping {
		d.bad(n, "%s is %s; it has to be an object", n.show(), n.kind)
		return
	}
	if !d.enter(n) {
		return
	}
	defer d.leave()
	entries := m.NewField(f.desc).Map()
	for key, value := range n.pairs() {
		d.pushKey(key.text)
		k := protoreflect.ValueOfString(key.text)
		if f.desc.MapKey().Kind() != protoreflect.StringKind {
			k = d.scalar(f.desc.MapKey(), key)
		}
		if k.IsValid() && d.check(f.keyChecks, k, key) && (!value.isNull() || f.holdsAny()) {
			if v := d.mapValue(entries, f, value); v.IsValid() {
				entries.Set(k.MapKey(), v)
			}
		}
		d.pop()
	}
	if d.check(f.countChecks, protoreflect.ValueOfMap(entries), n) && entries.Len() > 0 {
		m.Set(f.desc, protoreflect.ValueOfMap(entries))
	}
}

// holdsAny reports whether the values of a map are google.protobuf.Any, which may not be null.
func (f *field) holdsAny() bool {
	s := f.inner()
	return s != nil && s.desc.FullName() == "google.protobuf.Any"
}

func (d *decoder) mapValue(entries protoreflect.Map, f *field, n *node) protoreflect.Value {
	if f.desc.MapValue().Message() == nil {
		v := d.scalar(f.desc.MapValue(), n)
		if v.IsValid() && !d.check(f.checks, v, n) {
			return protoreflect.Value{}
		}
		return v
	}
	v := entries.NewValue()
	if !d.messageValue(v.Message(), f.inner(), n) || !d.check(f.checks, v, n) {
		return protoreflect.Value{}
	}
	return v
}
