package config

import (
	"math"
	"strconv"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// Envoy has a runtime: values by key, in layers, that fields with a runtime_key take in place
// of their defaults. Here nobody changes them while the proxy runs, so they are what the static
// layers of the bootstrap say, and each is applied where a field refers to it. A key that no
// field refers to would be one that Envoy itself looks at, and is refused.

// runtimeKeys are the keys of all static layers, those of a later layer before those of an earlier.
type runtimeKeys map[string]*runtimeKey

type runtimeKey struct {
	place *place
	value *structpb.Value
	used  bool
}

const programSizeKey = "re2.max_program_size.error_level"

func (b *builder) readRuntime(m *bootstrapv3.Bootstrap) {
	b.runtime = make(runtimeKeys)
	names := make(map[string]bool)
	admin := false
	p := (*place)(nil).to("layered_runtime")
	for i, layer := range m.GetLayeredRuntime().GetLayers() {
		at := p.at("layers", i)
		if name := layer.GetName(); name != "" && names[name] {
			b.bad(at.to("name"), "%q is the name of another layer already", name)
		}
		names[layer.GetName()] = true
		if layer.GetAdminLayer() != nil {
			if admin {
				b.bad(at.to("admin_layer"), "there is an admin_layer already; there may be one")
			}
			admin = true
		}
		b.readLayer(at.to("static_layer"), "", layer.GetStaticLayer())
	}
	b.regexLimit = 100
	if key := b.runtime[programSizeKey]; key != nil {
		key.used = true
		b.regexLimit = b.runtimeNumber(programSizeKey, 100)
	}
}

// readLayer reads the keys of a layer. An object in it holds further parts of its keys,
// unless it is a fraction.
func (b *builder) readLayer(p *place, prefix string, m *structpb.Struct) {
	for name, value := range m.GetFields() {
		at := p.to(quotedField(name))
		inner := value.GetStructValue()
		switch {
		case inner.GetFields()["numerator"] == nil && inner != nil:
			b.readLayer(at, prefix+name+".", inner)
		case value.GetListValue() != nil || isNullValue(value):
			b.bad(at, "a list or null is not allowed; it has to be a number, a text, a boolean or an object")
		default:
			b.runtime[prefix+name] = &runtimeKey{place: at, value: value}
		}
	}
}

func isNullValue(v *structpb.Value) bool {
	_, null := v.GetKind().(*structpb.Value_NullValue)
	return null
}

// unusedRuntime refuses the keys that nothing has asked for.
func (b *builder) unusedRuntime() {
	for name, key := range b.runtime {
		if !key.used && len(b.wrong) == 0 { // what is wrong may have been to ask for it
			b.bad(key.place, "%q is unsupported: no field of this file has it for its runtime_key, and what Envoy itself looks up in its runtime is not looked up here", name)
		}
	}
}

// lookUp returns the value of a key, nil if there is none.
func (b *builder) lookUp(key string) *structpb.Value {
	found := b.runtime[key]
	if key == "" || found == nil {
		return nil
	}
	found.used = true
	return found.value
}

// runtimeNumber returns a key's number, or else the default.
func (b *builder) runtimeNumber(key string, or float64) float64 {
	switch v := b.lookUp(key).GetKind().(type) {
	case *structpb.Value_NumberValue:
		return v.NumberValue
	case *structpb.Value_StringValue:
		if f, err := strconv.ParseFloat(v.StringValue, 64); err == nil {
			return f
		}
	}
	return or
}

func (b *builder) double(m *corev3.RuntimeDouble) float64 {
	return b.runtimeNumber(m.GetRuntimeKey(), m.GetDefaultValue())
}

func (b *builder) uint32(m *corev3.RuntimeUInt32) uint32 {
	v := b.runtimeNumber(m.GetRuntimeKey(), float64(m.GetDefaultValue()))
	if v < 0 || v > math.MaxUint32 || v != math.Trunc(v) {
		return m.GetDefaultValue()
	}
	return uint32(v)
}

// fraction reads a share of requests. A number in the runtime is in percent.
func (b *builder) fraction(m *corev3.RuntimeFractionalPercent) Fraction {
	f := fraction(m.GetDefaultValue())
	value := b.lookUp(m.GetRuntimeKey())
	if fields := value.GetStructValue().GetFields(); fields != nil {
		denominator := fields["denominator"].GetStringValue()
		if _, known := typev3.FractionalPercent_DenominatorType_value[denominator]; known || denominator == "" {
			return fraction(&typev3.FractionalPercent{
				Numerator:   uint32(fields["numerator"].GetNumberValue()),
				Denominator: typev3.FractionalPercent_DenominatorType(typev3.FractionalPercent_DenominatorType_value[denominator]),
			})
		}
		return f
	}
	if v := b.runtimeNumber(m.GetRuntimeKey(), -1); value != nil && v >= 0 && v == math.Trunc(v) && v <= math.MaxUint32 {
		return Fraction{uint32(v), 100}
	}
	return f
}

func fraction(m *typev3.FractionalPercent) Fraction {
	denominator := uint32(100)
	switch m.GetDenominator() {
	case typev3.FractionalPercent_TEN_THOUSAND:
		denominator = 10_000
	case typev3.FractionalPercent_MILLION:
		denominator = 1_000_000
	}
	return Fraction{m.GetNumerator(), denominator}
}

// feature reads a switch.
func (b *builder) feature(m *corev3.RuntimeFeatureFlag) bool {
	if v, ok := b.lookUp(m.GetRuntimeKey()).GetKind().(*structpb.Value_BoolValue); ok {
		return v.BoolValue
	}
	return boolOr(m.GetDefaultValue(), true)
}
