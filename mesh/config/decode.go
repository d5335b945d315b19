package config

import (
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// A decoder makes messages of nodes: what protojson does, but that it knows each value's
// place, goes on after an error, checks rules and support on the way, and reads what Envoy
// reads. What is wrong is left out of the message.
type decoder struct {
	file   string
	errors Errors
	path   []step
	depth  int
	budget *budget

	// inside are the messages that stand in a google.protobuf.Any, which are not
	// encoded only to be decoded again.
	inside *insides
}

type step struct {
	field string
	index int
}

// A budget bounds how many values are decoded, which aliases of aliases could make
// exponentially more than there are in the file.
type budget struct {
	used atomic.Int64
	said atomic.Bool
}

const maxValues = 5_000_000

type insides struct {
	sync.Mutex
	of      map[*anypb.Any]proto.Message
	encoded bool // whether they are to be in Any.Value as well
}

func newDecoder(file string) *decoder {
	return &decoder{file: file, budget: new(budget), inside: &insides{of: make(map[*anypb.Any]proto.Message)}}
}

func (i *insides) get(a *anypb.Any) proto.Message {
	i.Lock()
	defer i.Unlock()
	return i.of[a]
}

// fork returns a decoder that may work at the same time on another part of the file. Its
// errors are to be taken over with join.
func (d *decoder) fork() *decoder {
	return &decoder{file: d.file, path: append([]step(nil), d.path...), depth: d.depth, budget: d.budget, inside: d.inside}
}

func (d *decoder) join(other *decoder) { d.errors = append(d.errors, other.errors...) }

func (d *decoder) push(field string)  { d.path = append(d.path, step{field: field}) }
func (d *decoder) pushItem(index int) { d.path = append(d.path, step{index: index}) }
func (d *decoder) pushKey(key string) { d.push(quotedField(key)) }
func (d *decoder) pop()               { d.path = d.path[:len(d.path)-1] }

// bad says what is wrong at a node, whose place is the path as it stands.
func (d *decoder) bad(n *node, format string, args ...any) {
	var path strings.Builder
	for _, s := range d.path {
		writeStep(&path, s.field, s.index)
	}
	d.errors = append(d.errors, &Error{
		File: d.file, Line: int(n.line), Column: int(n.column),
		Path: path.String(), Text: oneLine(fmt.Sprintf(format, args...)),
	})
}

// enter begins a value. It returns false where a file goes too deep or is too much.
func (d *decoder) enter(n *node) bool {
	d.depth++
	if d.depth > maxDepth {
		d.bad(n, "lies more than %d values deep", maxDepth)
		d.depth--
		return false
	}
	// Counted where a collection begins, for all of it.
	if d.budget.used.Add(int64(1+len(n.kids))) > maxValues {
		if !d.budget.said.Swap(true) {
			d.bad(n, "with its aliases the file has more than %d values", maxValues)
		}
		d.depth--
		return false
	}
	return true
}

func (d *decoder) leave() { d.depth-- }

// pairs are the keys and values of a mapping. Of pairs with one key the last one counts,
// and those whose key is tagged !ignore do not.
func (n *node) pairs() iter.Seq2[*node, *node] {
	return func(yield func(key, value *node) bool) {
		var last map[string]int // of large mappings
		if len(n.kids) > 64 {
			last = make(map[string]int, len(n.kids)/2)
			for i := 0; i < len(n.kids); i += 2 {
				last[n.kids[i].text] = i
			}
		}
		for i := 0; i < len(n.kids); i += 2 {
			key := &n.kids[i]
			if key.ignored || last != nil && last[key.text] != i || last == nil && n.repeats(i) {
				continue
			}
			if !yield(key, &n.kids[i+1]) {
				return
			}
		}
	}
}

// repeats reports whether the key at i comes again.
func (n *node) repeats(i int) bool {
	for j := i + 2; j < len(n.kids); j += 2 {
		if n.kids[j].text == n.kids[i].text {
			return true
		}
	}
	return false
}

func (d *decoder) bootstrap(root *node) *bootstrapv3.Bootstrap {
	b := new(bootstrapv3.Bootstrap)
	d.message(b.ProtoReflect(), schemaOf(b.ProtoReflect().Descriptor()), root)
	return b
}

// message fills a message from an object.
func (d *decoder) message(m protoreflect.Message, s *schema, n *node) {
	if n.kind != mapping {
		d.bad(n, "%s is %s; it has to be an object", n.show(), n.kind)
		return
	}
	if !d.enter(n) {
		return
	}
	defer d.leave()
	d.fields(m, s, n)
}

func (d *decoder) fields(m protoreflect.Message, s *schema, n *node) {
	var given [2]uint64 // a bit for each field that is there, if the schema has required ones
	for key, value := range n.pairs() {
		f := s.fields[key.text]
		if f == nil {
			if key.text == "@type" && len(d.path) > 0 {
				continue // of an Any, which has looked at it
			}
			d.push(fieldName(key.text))
			d.bad(key, "unknown field: %s has no field of this name%s", s.desc.FullName(), s.suggestion(key.text))
			d.pop()
			continue
		}
		if value.isNull() && f.desc.Message() != nil && f.desc.Message().FullName() != "google.protobuf.Value" || value.isNull() && f.desc.Message() == nil {
			continue
		}
		given[f.index/64] |= 1 << (f.index % 64)
		d.push(f.name)
		switch {
		case !f.supported && f.isDefault(value):
		case !f.supported:
			d.bad(key, "unsupported field of %s", s.desc.FullName())
		case d.isSecond(m, f):
			d.bad(key, "%s is set already; only one of %s may be", m.WhichOneof(f.desc.ContainingOneof()).Name(), oneofNames(f.desc.ContainingOneof()))
		default:
			d.field(m, f, value)
		}
		d.pop()
	}
	for i := range s.required {
		if r := &s.required[i]; given[0]&r.anyOf[0] == 0 && given[1]&r.anyOf[1] == 0 {
			d.bad(n, "%s", r.text)
		}
	}
}

// isDefault reports whether a value says no more than its absence: false, 0, an empty list.
func (f *field) isDefault(n *node) bool {
	switch {
	case f.desc.IsList():
		return n.kind == list && len(n.kids) == 0
	case f.desc.IsMap():
		return n.kind == mapping && len(n.kids) == 0
	case f.desc.HasPresence() || n.kind != scalar:
		return false
	case f.desc.Kind() == protoreflect.BoolKind:
		v, ok := n.bool()
		return ok && !v
	case f.desc.Kind() == protoreflect.StringKind:
		return n.text == ""
	}
	return n.text == "0"
}

// isSecond reports whether another field of the same oneof is set.
func (d *decoder) isSecond(m protoreflect.Message, f *field) bool {
	oneof := f.desc.ContainingOneof()
	if oneof == nil {
		return false
	}
	set := m.WhichOneof(oneof)
	return set != nil && set != f.desc
}

func oneofNames(oneof protoreflect.OneofDescriptor) string {
	var names []string
	for i := range oneof.Fields().Len() {
		names = append(names, string(oneof.Fields().Get(i).Name()))
	}
	return strings.Join(names, ", ")
}

// field sets a field of a message. The path ends with it.
func (d *decoder) field(m protoreflect.Message, f *field, n *node) {
	switch {
	case f.desc.IsMap():
		d.mapField(m, f, n)
	case f.desc.IsList():
		d.listField(m, f, n)
	default:
		if v := d.fieldValue(f, n, func() protoreflect.Value { return m.NewField(f.desc) }); v.IsValid() {
			m.Set(f.desc, v)
		}
	}
}

// fieldValue decodes and checks one value, which is invalid if it is not right.
func (d *decoder) fieldValue(f *field, n *node, empty func() protoreflect.Value) protoreflect.Value {
	var v protoreflect.Value
	if f.desc.Message() != nil {
		v = empty()
		if !d.messageValue(v.Message(), f.inner(), n) {
			return protoreflect.Value{}
		}
	} else if v = d.scalar(f.desc, n); !v.IsValid() {
		return v
	}
	if !d.check(f.checks, v, n) {
		return protoreflect.Value{}
	}
	return v
}

func (d *decoder) check(checks []check, v protoreflect.Value, n *node) bool {
	for _, c := range checks {
		if allowed := c(v); allowed != "" {
			d.bad(n, "%s is not allowed; %s", n.show(), allowed)
			return false
		}
	}
	return true
}

// messageValue fills a message from its form in JSON, which is not always an object.
func (d *decoder) messageValue(m protoreflect.Message, s *schema, n *node) bool {
	before := len(d.errors)
	if isWrapper(s.desc) {
		value := s.desc.Fields().ByName("value")
		if n.kind == mapping {
			d.message(m, s, n)
			return len(d.errors) == before
		}
		v := d.scalar(value, n)
		if v.IsValid() {
			m.Set(value, v)
		}
		return v.IsValid()
	}
	switch message := m.Interface().(type) {
	case *durationpb.Duration:
		if n.kind == mapping {
			d.message(m, s, n)
			if err := message.CheckValid(); len(d.errors) == before && (err != nil || message.Seconds < 0 || message.Nanos < 0 || message.Seconds > maxDuration) {
				d.bad(n, "it may not be negative, nor longer than 9223372035s")
			}
			return len(d.errors) == before
		}
		v, wrong := n.duration()
		if wrong != "" {
			d.bad(n, "%s is not allowed; %s", n.show(), wrong)
			return false
		}
		message.Seconds, message.Nanos = v.Seconds, v.Nanos
	case *anypb.Any:
		d.any(message, n)
	case *structpb.Struct:
		if n.kind != mapping {
			d.bad(n, "%s is %s; it has to be an object", n.show(), n.kind)
			return false
		}
		if d.enter(n) {
			message.Fields = d.structure(n).Fields
			d.leave()
		}
	case *structpb.Value:
		message.Kind = d.value(n).Kind
	case *structpb.ListValue:
		if n.kind != list {
			d.bad(n, "%s is %s; it has to be a list", n.show(), n.kind)
			return false
		}
		message.Values = d.value(n).GetListValue().GetValues()
	default:
		d.message(m, s, n)
	}
	return true
}

// any decodes what stands in a google.protobuf.Any, by its "@type".
func (d *decoder) any(message *anypb.Any, n *node) {
	if n.kind != mapping {
		d.bad(n, "%s is %s; it has to be an object", n.show(), n.kind)
		return
	}
	name := n.get("@type")
	if name == nil {
		d.bad(n, `"@type" is missing; it says of which type the object is, such as "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"`)
		return
	}
	slash := strings.LastIndexByte(name.text, '/')
	if name.kind != scalar || slash < 1 || !protoreflect.FullName(name.text[slash+1:]).IsValid() {
		d.push("@type")
		d.bad(name, `%s is not allowed; it has to be such as "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"`, name.show())
		d.pop()
		return
	}
	message.TypeUrl = name.text
	t := messageType(protoreflect.FullName(name.text[slash+1:]))
	if t == nil {
		d.push("@type")
		d.bad(name, "%s is unsupported%s", name.show(), likeType(name.text[slash+1:]))
		d.pop()
		return
	}
	m := t.New()
	d.message(m, schemaOf(t.Descriptor()), n)
	d.inside.Lock()
	defer d.inside.Unlock()
	d.inside.of[message] = m.Interface()
	if d.inside.encoded {
		message.Value, _ = proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
	}
}
