package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// scalar decodes a value that is no message.
func (d *decoder) scalar(desc protoreflect.FieldDescriptor, n *node) protoreflect.Value {
	if n.kind != scalar {
		d.bad(n, "%s is %s; it has to be %s", n.show(), n.kind, kindText(desc))
		return protoreflect.Value{}
	}
	var v protoreflect.Value
	ok := false
	switch desc.Kind() {
	case protoreflect.StringKind:
		var text string
		text, ok = n.string()
		v = protoreflect.ValueOfString(text)
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
