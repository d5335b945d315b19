package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// fill sets most of a message's fields to something, as deep as asked for.
func fill(r *rand.Rand, m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if r.IntN(3) == 0 || fd.ContainingOneof() != nil && m.WhichOneof(fd.ContainingOneof()) != nil {
			continue
		}
		switch {
		case fd.IsMap():
			if v := m.NewField(fd).Map(); fd.MapKey().Kind() == protoreflect.StringKind && fd.MapValue().Message() == nil {
				v.Set(protoreflect.ValueOfString("a key").MapKey(), fillScalar(r, fd.MapValue()))
				m.Set(fd, protoreflect.ValueOfMap(v))
			}
		case fd.IsList():
			list := m.NewField(fd).List()
			for range r.IntN(3) {
				if fd.Message() == nil {
					list.Append(fillScalar(r, fd))
				} else if item := list.NewElement(); fillMessage(r, item.Message(), depth-1) {
					list.Append(item)
				}
			}
			if list.Len() > 0 {
				m.Set(fd, protoreflect.ValueOfList(list))
			}
		case fd.Message() == nil:
			m.Set(fd, fillScalar(r, fd))
		default:
			if v := m.NewField(fd); fillMessage(r, v.Message(), depth-1) {
				m.Set(fd, v)
			}
		}
	}
}

func fillMessage(r *rand.Rand, m protoreflect.Message, depth int) bool {
	desc := m.Descriptor()
	if depth < 0 || desc.FullName() == "google.protobuf.Any" || strings.HasSuffix(string(desc.FullName()), "DiskLayer") {
		return false
	}
	switch desc.FullName() {
	case "google.protobuf.Duration":
		m.Set(desc.Fields().ByName("seconds"), protoreflect.ValueOfInt64(r.Int64N(1000)))
		m.Set(desc.Fields().ByName("nanos"), protoreflect.ValueOfInt32(int32(r.IntN(1000))*1000))
		return true
	case "google.protobuf.Timestamp":
		return false
	case "google.protobuf.Struct":
		s := map[string]any{"a": "x", "b": 1.0, "c": true, "d": nil, "e": map[string]any{"f": []any{"1", -2.0}}}
		text, _ := json.Marshal(s)
		return protojson.Unmarshal(text, m.Interface()) == nil
	case "google.protobuf.Value":
		return protojson.Unmarshal([]byte(`"v"`), m.Interface()) == nil
	}
	fill(r, m, depth)
	return true
}

func fillScalar(r *rand.Rand, fd protoreflect.FieldDescriptor) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "x", "5", "true", "a: b # c", "~", "é\"\n"}[r.IntN(7)])
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		if names, limited := supportedValues[fd.Enum().FullName()]; limited {
			all := strings.Fields(names)
			return protoreflect.ValueOfEnum(values.ByName(protoreflect.Name(all[r.IntN(len(all))])).Number())
		}
		return protoreflect.ValueOfEnum(values.Get(r.IntN(values.Len())).Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(r.Uint32()))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(int64(r.Uint64()))
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(r.Uint32())
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(r.Uint64())
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(r.NormFloat64())
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(r.NormFloat64()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{byte(r.Uint32()), 0xff, 0, 'a'})
	}
	panic(fd.Kind())
}

// What protojson writes, the decoder reads as protojson does, whatever it says of support and
// rules.
func TestDecodeIsProtojson(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	names := []protoreflect.FullName{"envoy.config.bootstrap.v3.Bootstrap"}
	names = slices.AppendSeq(names, maps.Keys(supported))
	slices.Sort(names)
	for _, name := range names {
		mt, err := protoregistry.GlobalTypes.FindMessageByName(name)
		require.NoError(t, err, name)
		for range 5 {
			want := mt.New()
			fill(r, want, 4)
			for _, options := range []protojson.MarshalOptions{{}, {UseProtoNames: true}, {UseEnumNumbers: true, Multiline: true}} {
				text, err := options.Marshal(want.Interface())
				require.NoError(t, err)
				root, wrong := parseText("x.json", string(text))
				require.Nil(t, wrong)
				got := mt.New()
				d := newDecoder("x.json")
				d.message(got, bare(mt.Descriptor()), root)
				require.Empty(t, d.errors, "%s", text)
				require.True(t, proto.Equal(want.Interface(), got.Interface()), "%s\n%v\n%v", text, want, got)
			}
		}
	}
}

// bare returns a schema in which everything is supported and no rule holds.
func bare(desc protoreflect.MessageDescriptor) *schema {
	made := make(map[protoreflect.FullName]*schema)
	var build func(desc protoreflect.MessageDescriptor) *schema
	build = func(desc protoreflect.MessageDescriptor) *schema {
		if s := made[desc.FullName()]; s != nil {
			return s
		}
		s := &schema{desc: desc, fields: make(map[string]*field)}
		made[desc.FullName()] = s
		for i := range desc.Fields().Len() {
			fd := desc.Fields().Get(i)
			f := &field{desc: fd, name: string(fd.Name()), index: i % 128, supported: true}
			f.once.Do(func() {})
			inner := fd
			if fd.IsMap() {
				inner = fd.MapValue()
			}
			if inner.Message() != nil {
				f.message = build(inner.Message())
			}
			s.fields[fd.JSONName()], s.fields[f.name] = f, f
		}
		return s
	}
	return build(desc)
}

// Whatever is named as supported is there, and whatever can be reached is named.
func TestSupportedFieldsExist(t *testing.T) {
	reached := make(map[protoreflect.FullName]bool)
	var reach func(desc protoreflect.MessageDescriptor)
	reach = func(desc protoreflect.MessageDescriptor) {
		if reached[desc.FullName()] {
			return
		}
		reached[desc.FullName()] = true
		_, named := supported[desc.FullName()]
		common := strings.HasPrefix(string(desc.FullName()), "google.protobuf.") || strings.HasPrefix(string(desc.FullName()), "envoy.type.")
		require.True(t, named || common, "%s is not named", desc.FullName())
		for _, f := range schemaOf(desc).fields {
			if f.supported && f.inner() != nil {
				reach(f.inner().desc)
			}
		}
	}
	for name, fields := range supported {
		mt, err := protoregistry.GlobalTypes.FindMessageByName(name)
		require.NoError(t, err, name)
		for field := range strings.FieldsSeq(fields) {
			if field != everything {
				require.NotNil(t, mt.Descriptor().Fields().ByName(protoreflect.Name(field)), "%s has no field %s", name, field)
			}
		}
		reach(mt.Descriptor())
	}
	for name, values := range supportedValues {
		et, err := protoregistry.GlobalTypes.FindEnumByName(name)
		require.NoError(t, err, name)
		for value := range strings.FieldsSeq(values) {
			require.NotNil(t, et.Descriptor().Values().ByName(protoreflect.Name(value)), value)
		}
	}
}

// An endpoint that is plain, and one that is decoded by its descriptors, are one message.
func TestPlainEndpoint(t *testing.T) {
	for _, text := range []string{
		`{address: 10.0.0.1, port_value: 80}`, `{address: "::1", port_value: 65535}`, `{address: shop.test, port_value: 1}`, `{address: "1.1", port_value: "80"}`,
		`{address: 10.0.0.1, port_value: 080}`, `{address: 10.0.0.1, port_value: 0}`, `{address: 10.0.0.1, port_value: 65536}`, `{address: true, port_value: 80}`,
		`{port_value: 80, address: 10.0.0.1}`, `{address: 12345, port_value: 80}`, `{address: 10.0.0.1, port_value: 4294967376}`, `{address: null, port_value: 80}`,
		`{address: 10.0.0.1, port_value: }`, `{address: 10.0.0.1, portValue: 80}`, `[]`, `{address: [], port_value: 80}`, `{address: 10.0.0.1, port_value: {}}`,
	} {
		text = "endpoint: {address: {socket_address: " + text + "}}"
		root, wrong := parseYAML("x", text)
		require.Nil(t, wrong)
		plain := newDecoder("x").plain(root)
		mt, _ := protoregistry.GlobalTypes.FindMessageByName(lbEndpoint)
		want := mt.New()
		d := newDecoder("x")
		d.message(want, schemaOf(mt.Descriptor()), root)
		if plain != nil {
			require.Empty(t, d.errors)
			require.True(t, proto.Equal(want.Interface(), plain), text)
		}
		require.Equal(t, strings.Contains(text, "10.0.0.1, port_value: 80}") || strings.Contains(text, "65535}") || strings.Contains(text, `"80"`) || strings.Contains(text, "shop"), plain != nil, text)
	}
}

func bootstrapOf(t *testing.T, text string) (*bootstrapv3.Bootstrap, Errors) {
	root, wrong := parseText("x.yaml", text)
	require.Nil(t, wrong)
	d := newDecoder("x.yaml")
	return d.bootstrap(root), d.errors
}

// Ways of writing a value that Envoy takes, and that it does not.
func TestValues(t *testing.T) {
	const cluster = "static_resources: {clusters: [{name: c, %s: %s}]}"
	for _, test := range []struct {
		field string
		good  string // separated by |
		bad   string
	}{
		{"per_connection_buffer_limit_bytes", `5|"5"|'5'|0x10|010|+5|6.5537e4|65537.0|"5.0"|4294967295|~|null||{value: 5}|!!str 5|1e2`, `-1|6.5|0b1|0o10|1_000|4294967296|18446744073709551616|true|''|.inf|[]|[5]|x`},
		{"ignore_health_on_host_removal", `true|yes|y|on|On|ON|True|tRUE|n|no|off|"true"|"yes"|~`, `1|0|oN|maybe|[]|{}|''`},
		{"alt_stat_name", `x|'5'|1.5|.5|1e5|2020-01-01|.nan|~|a b`, `5|0x10|yes|on|!!str 5|[]|{}|true`},
		{"connect_timeout", `1s|1.5s|0.5s|01s|"1s"|{seconds: 1}|~`, `-1s|1|'1'|1m|1ms|.5s|1.s|+1s|1S|1 s|1e1s|1.1234567891s|315576000001s|0s|{seconds: -1}|[]`},
		{"lb_policy", `MAGLEV|maglev|Maglev|5|'5'|~`, `5.0|99|-1|''|x|[]|{}|4|true`},
		{"health_checks", `[]|~`, `[~]|{}|5`},
		{"metadata", `{filter_metadata: {a: ~}}|{filter_metadata: {a: {b: ~, c: [1, ~, {d: yes}]}}}`, `[]|5|{filter_metadata: []}|{filter_metadata: {a: 5}}`},
	} {
		for good := range strings.SplitSeq(test.good, "|") {
			_, errs := bootstrapOf(t, fmt.Sprintf(cluster, test.field, good))
			require.Empty(t, errs, "%s: %s", test.field, good)
		}
		for bad := range strings.SplitSeq(test.bad, "|") {
			_, errs := bootstrapOf(t, fmt.Sprintf(cluster, test.field, bad))
			require.NotEmpty(t, errs, "%s: %s", test.field, bad)
			require.True(t, strings.HasPrefix(errs[0].Path, "static_resources.clusters[0]."+test.field), "%s", errs)
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]string{"YWJj": "abc", "YWI=": "ab", "YWI": "ab", "_-8=": "\xff\xef", "/+8": "\xff\xef", "": ""} {
		got, ok := (&node{text: text}).bytes()
		require.True(t, ok, text)
		require.Equal(t, want, string(got))
	}
	_, ok := (&node{text: "YW?"}).bytes()
	require.False(t, ok)
}

// The last of two pairs counts; a key tagged !ignore does not.
func TestPairs(t *testing.T) {
	b, errs := bootstrapOf(t, "node: {id: a, id: b}\n!ignore foo: [x]\nstatic_resources: {clusters: [{name: a, connect_timeout: x, connect_timeout: 2s}]}\n")
	require.Empty(t, errs)
	require.Equal(t, "b", b.GetNode().GetId())
	require.EqualValues(t, 2, b.GetStaticResources().GetClusters()[0].GetConnectTimeout().GetSeconds())

	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "k%d: %d, ", i%50, i)
	}
	b, errs = bootstrapOf(t, "node: {metadata: {"+text.String()+"}}")
	require.Empty(t, errs)
	require.Len(t, b.GetNode().GetMetadata().GetFields(), 50)
	require.EqualValues(t, 57, b.GetNode().GetMetadata().GetFields()["k7"].GetNumberValue())
}

func TestAliases(t *testing.T) {
	b, errs := bootstrapOf(t, "node: {metadata: {a: &a {x: word}, b: *a}}")
	require.Empty(t, errs)
	require.Equal(t, "word", b.GetNode().GetMetadata().GetFields()["b"].GetStructValue().GetFields()["x"].GetStringValue())

	_, err := parseText("x", "node: &a {metadata: *a}")
	require.ErrorContains(t, err, "within its own anchor")

	// Nine anchors, each ten times in the next: a thousand million values.
	var bomb strings.Builder
	bomb.WriteString("node:\n  metadata:\n    a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&bomb, "    a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 10))
	}
	_, errs = bootstrapOf(t, bomb.String())
	require.Len(t, errs, 1)
	require.Contains(t, errs[0].Text, "with its aliases")
}

func TestDepth(t *testing.T) {
	for _, text := range []string{
		"node: {metadata: {a: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "}}",
		"node: {metadata: " + strings.Repeat("{a: ", 5000) + "b" + strings.Repeat("}", 5000) + "}",
		"node: {metadata: &b " + strings.Repeat("{a: ", 150) + "b" + strings.Repeat("}", 150) + "}",
	} {
		_, err := Parse("x", []byte(text))
		require.ErrorContains(t, err, "deep")
	}
}
