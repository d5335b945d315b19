package config

import (
	"fmt"
	"iter"
	"math"
	"runtime"
	"strconv"
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
func (d *decoder) pushKey(key string) { d.push(`["` + key + `"]`) }
func (d *decoder) pop()               { d.path = d.path[:len(d.path)-1] }

// bad says what is wrong at a node, whose place is the path as it stands.
func (d *decoder) bad(n *node, format string, args ...any) {
	var path strings.Builder
	for _, s := range d.path {
		writeStep(&path, s.field, s.index)
	}
	d.errors = append(d.errors, &Error{
		File: d.file, Line: int(n.line), Column: int(n.column),
		Path: path.String(), Text: fmt.Sprintf(format, args...),
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
			d.push(key.text)
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
		if k.IsValid() && d.check(f.keyChecks, k, key) && !value.isNull() {
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
			if err := message.CheckValid(); len(d.errors) == before && (err != nil || message.Seconds < 0 || message.Nanos < 0) {
				d.bad(n, "it may not be negative, nor longer than 315576000000s")
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

// scalar decodes a value that is no message.
func (d *decoder) scalar(desc protoreflect.FieldDescriptor, n *node) protoreflect.Value {
	if n.kind != scalar {
		d.bad(n, "%s is %s; it has to be %s", n.show(), n.kind, kindText(desc))
		return protoreflect.Value{}
	}
	var v protoreflect.Value
	ok := false
	whole := n.valueType
	switch desc.Kind() {
	case protoreflect.StringKind:
		if whole() == stringValue {
			v, ok = protoreflect.ValueOfString(n.text), true
		}
	case protoreflect.BoolKind:
		var b bool
		b, ok = n.bool()
		v = protoreflect.ValueOfBool(b)
	case protoreflect.EnumKind:
		return d.enum(desc.Enum(), n)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		var i int64
		i, ok = n.signed(32)
		v = protoreflect.ValueOfInt32(int32(i))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		var i int64
		i, ok = n.signed(64)
		v = protoreflect.ValueOfInt64(i)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		var u uint64
		u, ok = n.unsigned(32)
		v = protoreflect.ValueOfUint32(uint32(u))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		var u uint64
		u, ok = n.unsigned(64)
		v = protoreflect.ValueOfUint64(u)
	case protoreflect.DoubleKind:
		var f float64
		f, ok = n.float()
		v = protoreflect.ValueOfFloat64(f)
	case protoreflect.FloatKind:
		var f float64
		f, ok = n.float()
		ok = ok && (math.IsInf(f, 0) || math.Abs(f) <= math.MaxFloat32 || f != f)
		v = protoreflect.ValueOfFloat32(float32(f))
	case protoreflect.BytesKind:
		var b []byte
		b, ok = n.bytes()
		v = protoreflect.ValueOfBytes(b)
	}
	if !ok {
		d.bad(n, "%s is not allowed; it has to be %s", n.show(), kindText(desc))
		return protoreflect.Value{}
	}
	return v
}

// kindText says what a value of a field has to be.
func kindText(desc protoreflect.FieldDescriptor) string {
	switch desc.Kind() {
	case protoreflect.StringKind:
		return "a text (in quotes if it looks like a number or a boolean)"
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.EnumKind:
		return "one of " + enumNames(desc.Enum())
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return "a whole number from 0 to 4294967295"
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return "a whole number from 0 to 18446744073709551615"
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		return "a number"
	case protoreflect.BytesKind:
		return "bytes in base64"
	}
	return "a whole number"
}

// enum decodes a name, in any case, or a number of an enum.
func (d *decoder) enum(desc protoreflect.EnumDescriptor, n *node) protoreflect.Value {
	value := desc.Values().ByName(protoreflect.Name(n.text))
	for i := 0; value == nil && i < desc.Values().Len(); i++ {
		if strings.EqualFold(string(desc.Values().Get(i).Name()), n.text) {
			value = desc.Values().Get(i)
		}
	}
	if value == nil {
		if i, err := strconv.ParseInt(n.text, 10, 32); err == nil {
			value = desc.Values().ByNumber(protoreflect.EnumNumber(i))
		}
	}
	if value == nil || n.plain && n.valueType() == boolValue {
		d.bad(n, "%s is not allowed; %s", n.show(), oneOf(enumNames(desc)))
		return protoreflect.Value{}
	}
	names, limited := supportedValues[desc.FullName()]
	if limited && !strings.Contains(" "+names+" ", " "+string(value.Name())+" ") {
		hint := hints[string(value.Name())]
		if hint == "" {
			hint = oneOf(enumNames(desc))
		}
		d.bad(n, "%s is unsupported; %s", n.show(), hint)
		return protoreflect.Value{}
	}
	return protoreflect.ValueOfEnum(value.Number())
}

// enumNames lists what of an enum is supported.
func enumNames(desc protoreflect.EnumDescriptor) string {
	if names, ok := supportedValues[desc.FullName()]; ok {
		return strings.ReplaceAll(names, " ", ", ")
	}
	var names []string
	for i := range desc.Values().Len() {
		if i == 20 {
			return strings.Join(names[:8], ", ") + fmt.Sprintf(" and so on, see %s", desc.FullName())
		}
		names = append(names, string(desc.Values().Get(i).Name()))
	}
	return strings.Join(names, ", ")
}

func oneOf(names string) string {
	if !strings.Contains(names, ",") {
		return "it is " + names
	}
	return "it is one of " + names
}

// show returns a value for an error: a scalar in quotes, if it is not too long.
func (n *node) show() string {
	switch n.kind {
	case mapping:
		if len(n.kids) == 0 {
			return "{}"
		}
		return "{...}"
	case list:
		if len(n.kids) == 0 {
			return "[]"
		}
		return "[...]"
	}
	if len(n.text) > 100 {
		return strconv.Quote(n.text[:100]) + "..."
	}
	return strconv.Quote(n.text)
}

// suggestion names the field that an unknown one was meant to be, if it is plain.
func (s *schema) suggestion(name string) string {
	best, distance := "", 3
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(s))
	}
	for _, f := range s.fields {
		if !f.supported {
			continue
		}
		if d := editDistance(plain(name), plain(f.name)); d < distance || d == distance && best != "" && f.name < best {
			best, distance = f.name, d
		}
	}
	if best == "" || len(name) > 60 {
		return ""
	}
	return "; there is " + best
}

// editDistance is how many characters to add, drop or change make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := corner
			if a[i] != b[j] {
				next = 1 + min(corner, row[j], row[j+1])
			}
			corner, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
