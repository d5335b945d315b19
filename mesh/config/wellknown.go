package config

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
)

// How values are written. Envoy makes JSON of YAML, in which each text without quotes that
// YAML knows as a boolean becomes one, in any of "y", "yes", "on" and "true", whole numbers
// become numbers, in decimal, octal or hexadecimal, and all else a string: so "1.5" is a
// name if a name is asked for, and 15 is none. Where a number or a boolean is asked for,
// strings that look like one will do.

// A value type is what a scalar is to Envoy.
type valueType uint8

const (
	stringValue valueType = iota
	boolValue
	numberValue
)

func (n *node) valueType() valueType {
	if !n.plain {
		return stringValue
	}
	if _, ok := yamlBool(n.text); ok {
		return boolValue
	}
	if _, ok := yamlInt(n.text); ok {
		return numberValue
	}
	return stringValue
}

// yamlBool reads a boolean of YAML 1.1: in lower case, in upper case, or with a capital.
func yamlBool(s string) (value, ok bool) {
	if len(s) == 0 || len(s) > 5 {
		return false, false
	}
	lower := strings.ToLower(s)
	if s != lower && s != strings.ToUpper(s) && s[1:] != lower[1:] {
		return false, false
	}
	switch lower {
	case "y", "yes", "true", "on":
		return true, true
	case "n", "no", "false", "off":
		return false, true
	}
	return false, false
}

// yamlInt reads a whole number as C does: 0x10 and 010 are 16 and 8.
func yamlInt(s string) (int64, bool) {
	if s == "" || s[0] != '-' && s[0] != '+' && (s[0] < '0' || s[0] > '9') || strings.ContainsAny(s, "._oO") {
		return 0, false
	}
	if len(s) > 1 && (s[1] == 'b' || s[1] == 'B' || len(s) > 2 && (s[2] == 'b' || s[2] == 'B') && s[1] == '0') {
		return 0, false // Go's binary numbers
	}
	v, err := strconv.ParseInt(s, 0, 64)
	return v, err == nil
}

// stringBool reads a boolean that is a string.
func stringBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "t", "yes", "y", "1":
		return true, true
	case "false", "f", "no", "n", "0":
		return false, true
	}
	return false, false
}

// string reads a text. A whole number of more than 32 bits is one too: JSON's own numbers would
// not hold it.
func (n *node) string() (string, bool) {
	switch n.valueType() {
	case boolValue:
		return "", false
	case numberValue:
		v, _ := yamlInt(n.text)
		return strconv.FormatInt(v, 10), v != int64(int32(v))
	}
	return n.text, true
}

func (n *node) bool() (value, ok bool) {
	switch n.valueType() {
	case boolValue:
		return yamlBool(n.text)
	case stringValue:
		return stringBool(n.text)
	}
	return false, false
}

// unsigned and signed read whole numbers, which may be written as 6.5537e4.
func (n *node) unsigned(bits int) (uint64, bool) {
	if v, err := strconv.ParseUint(n.text, 10, bits); err == nil && (len(n.text) == 1 || n.text[0] != '0') {
		return v, true
	}
	if v, ok := yamlInt(n.text); ok {
		return uint64(v), v >= 0 && uint64(v) <= math.MaxUint64>>(64-bits)
	}
	if v, err := strconv.ParseUint(n.text, 10, bits); err == nil {
		return v, true
	}
	f, ok := n.float()
	if !ok || f != math.Trunc(f) || f < 0 || f >= math.Ldexp(1, bits) {
		return 0, false
	}
	return uint64(f), true
}

func (n *node) signed(bits int) (int64, bool) {
	if v, ok := yamlInt(n.text); ok {
		return v, v >= math.MinInt64>>(64-bits) && v <= math.MaxInt64>>(64-bits)
	}
	f, ok := n.float()
	if !ok || f != math.Trunc(f) || f < -math.Ldexp(1, bits-1) || f >= math.Ldexp(1, bits-1) {
		return 0, false
	}
	return int64(f), true
}

func (n *node) float() (float64, bool) {
	if v, ok := yamlInt(n.text); ok {
		return float64(v), true
	}
	switch n.text {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	if strings.Trim(n.text, "0123456789.eE+-") != "" {
		return 0, false // Go's other forms
	}
	v, err := strconv.ParseFloat(n.text, 64)
	return v, err == nil
}

func (n *node) bytes() ([]byte, bool) {
	text := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(n.text), "=")
	v, err := base64.RawStdEncoding.DecodeString(text)
	return v, err == nil
}

const durationForm = `it has to be a duration in seconds such as "1.5s"`

// maxDuration is the longest duration in seconds that our clock can hold, and Envoy's: 292 years.
// A google.protobuf.Duration can have 10,000.
const maxDuration = 9223372035

// duration reads a google.protobuf.Duration, and returns what is wrong with it.
func (n *node) duration() (*durationpb.Duration, string) {
	digits, ok := strings.CutSuffix(n.text, "s")
	if n.kind != scalar || n.valueType() != stringValue || !ok {
		return nil, durationForm
	}
	digits, negative := strings.CutPrefix(digits, "-")
	whole, fraction, dot := strings.Cut(digits, ".")
	if strings.Trim(whole, "0123456789") != "" || strings.Trim(fraction, "0123456789") != "" || whole == "" || dot && fraction == "" || len(fraction) > 9 {
		return nil, durationForm
	}
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds > maxDuration {
		return nil, "it may be at most 9223372035s"
	}
	nanos, _ := strconv.ParseInt((fraction + "000000000")[:9], 10, 32)
	if negative && (seconds > 0 || nanos > 0) {
		return nil, "it may not be negative"
	}
	return &durationpb.Duration{Seconds: seconds, Nanos: int32(nanos)}, ""
}

// milliseconds is what Envoy makes of most durations.
func milliseconds(d *durationpb.Duration) time.Duration {
	return d.AsDuration().Truncate(time.Millisecond)
}

// isWrapper reports whether a message is a google.protobuf.UInt32Value or the like, which
// in JSON is what it wraps.
func isWrapper(desc protoreflect.MessageDescriptor) bool {
	switch desc.FullName() {
	case "google.protobuf.DoubleValue", "google.protobuf.FloatValue", "google.protobuf.Int64Value", "google.protobuf.UInt64Value",
		"google.protobuf.Int32Value", "google.protobuf.UInt32Value", "google.protobuf.BoolValue", "google.protobuf.StringValue", "google.protobuf.BytesValue":
		return true
	}
	return false
}

// value makes a google.protobuf.Value of a node.
func (d *decoder) value(n *node) *structpb.Value {
	if !d.enter(n) {
		return structpb.NewNullValue()
	}
	defer d.leave()
	switch n.kind {
	case mapping:
		return structpb.NewStructValue(d.structure(n))
	case list:
		values := make([]*structpb.Value, len(n.kids))
		for i := range n.kids {
			d.pushItem(i)
			values[i] = d.value(&n.kids[i])
			d.pop()
		}
		return structpb.NewListValue(&structpb.ListValue{Values: values})
	}
	if n.isNull() {
		return structpb.NewNullValue()
	}
	switch n.valueType() {
	case boolValue:
		v, _ := yamlBool(n.text)
		return structpb.NewBoolValue(v)
	case numberValue:
		v, _ := yamlInt(n.text)
		if v == int64(int32(v)) {
			return structpb.NewNumberValue(float64(v))
		}
		return structpb.NewStringValue(strconv.FormatInt(v, 10))
	}
	return structpb.NewStringValue(n.text)
}

func (d *decoder) structure(n *node) *structpb.Struct {
	s := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(n.kids)/2)}
	for key, value := range n.pairs() {
		d.pushKey(key.text)
		s.Fields[key.text] = d.value(value)
		d.pop()
	}
	return s
}
