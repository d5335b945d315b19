package config

import (
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// A schema is what the decoder has to know of a type of message, made from its descriptor
// once, when the first of that type is met.
type schema struct {
	desc     protoreflect.MessageDescriptor
	fields   map[string]*field // by both names that JSON may have
	required []requirement     // what is wrong when a field is absent
}

// A field is one of a schema.
type field struct {
	desc      protoreflect.FieldDescriptor
	name      string // as in the .proto file
	index     int    // in the message; the first 128 are told apart
	supported bool

	checks      []check // of the value, or of each item or pair of a list or map
	countChecks []check // of how many items a list or map has
	keyChecks   []check // of a map's keys

	once    sync.Once
	message *schema // of a field that holds messages; see inner
}

// A requirement is that a field, or one of a oneof, is there.
type requirement struct {
	anyOf [2]uint64 // a bit for each field that meets it
	text  string    // what is wrong if none is there
}

func (r *requirement) meetBy(f *field) { r.anyOf[f.index/64] |= 1 << (f.index % 64) }

var schemas sync.Map // protoreflect.FullName -> *schema

func schemaOf(desc protoreflect.MessageDescriptor) *schema {
	if known, ok := schemas.Load(desc.FullName()); ok {
		return known.(*schema)
	}
	s := &schema{desc: desc, fields: make(map[string]*field)}
	names, listed := supported[desc.FullName()]
	all := !listed || names == everything
	is := make(map[string]bool)
	for name := range strings.FieldsSeq(names) {
		is[name] = true
	}
	for i := range desc.Fields().Len() {
		fd := desc.Fields().Get(i)
		f := &field{desc: fd, name: string(fd.Name()), index: i % 128, supported: all || is[string(fd.Name())]}
		f.checks, f.countChecks, f.keyChecks = fieldChecks(fd)
		s.fields[fd.JSONName()] = f
		s.fields[f.name] = f
		if text := absence(f); text != "" {
			r := requirement{text: text}
			r.meetBy(f)
			s.required = append(s.required, r)
		}
	}
	for i := range desc.Oneofs().Len() {
		if oneof := desc.Oneofs().Get(i); isRequired(oneof) {
			r := requirement{text: oneofText(s, oneof)}
			for j := range oneof.Fields().Len() {
				r.meetBy(s.fields[oneof.Fields().Get(j).JSONName()])
			}
			s.required = append(s.required, r)
		}
	}
	known, _ := schemas.LoadOrStore(desc.FullName(), s)
	return known.(*schema)
}

// oneofText says that none of a oneof is there, and which may be.
func oneofText(s *schema, oneof protoreflect.OneofDescriptor) string {
	var names []string
	for i := range oneof.Fields().Len() {
		if name := string(oneof.Fields().Get(i).Name()); s.fields[name].supported {
			names = append(names, name)
		}
	}
	if len(names) == 1 {
		return names[0] + " is missing"
	}
	return string(oneof.Name()) + " is missing: one of " + strings.Join(names, ", ")
}

// inner returns the schema of the messages in a field, or in the values of a map.
func (f *field) inner() *schema {
	f.once.Do(func() {
		desc := f.desc
		if desc.IsMap() {
			desc = desc.MapValue()
		}
		if desc.Message() != nil {
			f.message = schemaOf(desc.Message())
		}
	})
	return f.message
}

// likeType names the types that are supported of the kind of one that is not: of
// envoy.extensions.filters.http.lua.v3.Lua, those in envoy.extensions.filters.http.
func likeType(name string) string {
	parts := strings.Split(name, ".")
	if len(parts) < 5 {
		return ""
	}
	kind := strings.Join(parts[:len(parts)-3], ".") + "."
	var like []string
	for known := range supported {
		rest, ok := strings.CutPrefix(string(known), kind)
		if ok && strings.Count(rest, ".") == 2 && strings.HasPrefix(kind, "envoy.extensions.") {
			like = append(like, rest)
		}
	}
	if len(like) == 0 {
		return ""
	}
	slices.Sort(like)
	return "; of " + strings.TrimSuffix(kind, ".") + " there are " + strings.Join(like, ", ")
}

// messageType returns the type of a name that may stand in "@type" here.
func messageType(name protoreflect.FullName) protoreflect.MessageType {
	if _, ok := supported[name]; !ok {
		return nil
	}
	t, err := protoregistry.GlobalTypes.FindMessageByName(name)
	if err != nil {
		return nil
	}
	return t
}
