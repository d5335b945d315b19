package config

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/envoyproxy/protoc-gen-validate/validate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// The API's files state rules for their fields, in the language of protoc-gen-validate:
// that a number has a greatest value, a list at least one item, a field has to be there.
// Its generated code checks them on whole messages, stops at a google.protobuf.Any, and
// speaks of Go's names; here they become checks that the decoder makes where a value stands.

// A check returns what is allowed in place of a value, "" if it is.
type check func(v protoreflect.Value) string

func fieldRules(desc protoreflect.FieldDescriptor) *validate.FieldRules {
	rules, _ := proto.GetExtension(desc.Options(), validate.E_Rules).(*validate.FieldRules)
	return rules
}

func isRequired(oneof protoreflect.OneofDescriptor) bool {
	required, _ := proto.GetExtension(oneof.Options(), validate.E_Required).(bool)
	return required
}

// fieldChecks returns the checks of a field: of its values, of how many it has, of its keys.
func fieldChecks(desc protoreflect.FieldDescriptor) (values, counts, keys []check) {
	rules := fieldRules(desc)
	switch {
	case rules == nil:
		return nil, nil, nil
	case desc.IsMap():
		m := rules.GetMap()
		counts = countChecks(m.GetMinPairs(), m.GetMaxPairs(), m != nil && m.MaxPairs != nil)
		return valueChecks(desc.MapValue(), m.GetValues()), counts, valueChecks(desc.MapKey(), m.GetKeys())
	case desc.IsList():
		r := rules.GetRepeated()
		counts = countChecks(r.GetMinItems(), r.GetMaxItems(), r != nil && r.MaxItems != nil)
		if r.GetUnique() {
			counts = append(counts, unique)
		}
		return valueChecks(desc, r.GetItems()), counts, nil
	}
	return valueChecks(desc, rules), nil, nil
}

func countChecks(least, most uint64, bounded bool) (all []check) {
	length := func(v protoreflect.Value) uint64 {
		if m, ok := v.Interface().(protoreflect.Map); ok {
			return uint64(m.Len())
		}
		return uint64(v.List().Len())
	}
	if least > 0 {
		all = append(all, func(v protoreflect.Value) string {
			return unless(length(v) >= least, "it has to have at least %d", least)
		})
	}
	if bounded {
		all = append(all, func(v protoreflect.Value) string {
			return unless(length(v) <= most, "it may have at most %d", most)
		})
	}
	return all
}

func unique(v protoreflect.Value) string {
	items := v.List()
	for i := range items.Len() {
		for j := range i {
			if items.Get(i).Equal(items.Get(j)) {
				return "its items have to differ"
			}
		}
	}
	return ""
}

func unless(ok bool, format string, args ...any) string {
	if ok {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

// absence returns what is wrong when a field is absent, "" if nothing is.
func absence(f *field) string {
	missing := f.name + " is missing"
	rules := fieldRules(f.desc)
	switch {
	case rules == nil || f.desc.ContainingOneof() != nil:
		return ""
	case f.desc.IsMap():
		return unless(rules.GetMap().GetMinPairs() == 0, "%s", missing)
	case f.desc.IsList():
		return unless(rules.GetRepeated().GetMinItems() == 0, "%s", missing)
	case f.desc.Message() != nil:
		required := rules.GetMessage().GetRequired() || rules.GetDuration().GetRequired() || rules.GetAny().GetRequired()
		return unless(!required, "%s", missing)
	}
	for _, c := range f.checks {
		if allowed := c(f.desc.Default()); allowed != "" {
			return missing + "; " + allowed
		}
	}
	return ""
}

// valueChecks returns the checks of one value. Those of a wrapper such as UInt32Value are
// of what it wraps.
func valueChecks(desc protoreflect.FieldDescriptor, rules *validate.FieldRules) []check {
	if rules == nil {
		return nil
	}
	of := func(v protoreflect.Value) protoreflect.Value { return v }
	if m := desc.Message(); m != nil && isWrapper(m) {
		inner := m.Fields().ByName("value")
		of = func(v protoreflect.Value) protoreflect.Value { return v.Message().Get(inner) }
	}
	var all []check
	switch r := rules.GetType().(type) {
	case nil, *validate.FieldRules_Any, *validate.FieldRules_Timestamp:
	case *validate.FieldRules_Bool:
		if want := r.Bool.Const; want != nil {
			all = append(all, func(v protoreflect.Value) string { return unless(v.Bool() == *want, "it has to be %t", *want) })
		}
	case *validate.FieldRules_String_:
		all = stringChecks(r.String_)
	case *validate.FieldRules_Bytes:
		all = lengthChecks(r.Bytes.MinLen, r.Bytes.MaxLen, "bytes", func(v protoreflect.Value) int { return len(v.Bytes()) })
	case *validate.FieldRules_Enum:
		all = enumChecks(desc.Enum(), r.Enum)
	case *validate.FieldRules_Duration:
		all = durationChecks(r.Duration)
	default:
		rules.ProtoReflect().Range(func(which protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			if which.ContainingOneof() != nil {
				all = numberChecks(v.Message())
			}
			return true
		})
	}
	for i, c := range all {
		all[i] = func(v protoreflect.Value) string { return c(of(v)) }
	}
	return all
}

// numberChecks reads the rules for any type of number: they differ in their types alone.
func numberChecks(rules protoreflect.Message) (all []check) {
	rules.Range(func(rule protoreflect.FieldDescriptor, limit protoreflect.Value) bool {
		var text string
		var holds func(v float64) bool
		switch name := rule.Name(); name {
		case "gte", "gt", "lte", "lt", "const":
			bound := number(limit)
			words := map[protoreflect.Name]string{"gte": "at least", "gt": "greater than", "lte": "at most", "lt": "less than", "const": "exactly"}
			text = fmt.Sprintf("it has to be %s %s", words[name], numberText(bound))
			holds = comparison(string(name), bound)
		case "in", "not_in":
			var values []float64
			var texts []string
			for i := range limit.List().Len() {
				values = append(values, number(limit.List().Get(i)))
				texts = append(texts, numberText(values[i]))
			}
			in := name == "in"
			text = map[bool]string{true: "it has to be one of ", false: "it may not be one of "}[in] + strings.Join(texts, ", ")
			holds = func(v float64) bool {
				for _, value := range values {
					if v == value {
						return in
					}
				}
				return !in
			}
		default:
			return true // ignore_empty concerns absent values, which are not checked unless absent is wrong
		}
		all = append(all, func(v protoreflect.Value) string { return unless(holds(number(v)), "%s", text) })
		return true
	})
	return all
}

func comparison(name string, bound float64) func(v float64) bool {
	switch name {
	case "gte":
		return func(v float64) bool { return v >= bound }
	case "gt":
		return func(v float64) bool { return v > bound }
	case "lte":
		return func(v float64) bool { return v <= bound }
	case "lt":
		return func(v float64) bool { return v < bound }
	}
	return func(v float64) bool { return v == bound }
}

func number(v protoreflect.Value) float64 {
	switch n := v.Interface().(type) {
	case int32:
		return float64(n)
	case int64:
		return float64(n)
	case uint32:
		return float64(n)
	case uint64:
		return float64(n)
	case float32:
		return float64(n)
	case float64:
		return n
	}
	return math.NaN()
}

func numberText(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func durationChecks(r *validate.DurationRules) (all []check) {
	duration := func(d *durationpb.Duration) time.Duration { return d.AsDuration() }
	add := func(limit *durationpb.Duration, word string, holds func(v, bound time.Duration) bool) {
		if limit == nil {
			return
		}
		bound := duration(limit)
		all = append(all, func(v protoreflect.Value) string {
			d, ok := v.Message().Interface().(*durationpb.Duration)
			return unless(ok && holds(duration(d), bound), "it has to be %s %s", word, durationText(bound))
		})
	}
	if r.Gt != nil && r.Lt != nil && duration(r.Lt) <= duration(r.Gt) || r.Gte != nil && r.Lt != nil && duration(r.Lt) <= duration(r.Gte) {
		// Bounds the other way round: what lies between them is not allowed.
		low, high := duration(r.Lt), max(duration(r.Gt), duration(r.Gte))
		return []check{func(v protoreflect.Value) string {
			d, ok := v.Message().Interface().(*durationpb.Duration)
			return unless(ok && (duration(d) < low || duration(d) >= high), "it has to be shorter than %s or at least %s", durationText(low), durationText(high))
		}}
	}
	add(r.Gte, "at least", func(v, bound time.Duration) bool { return v >= bound })
	add(r.Gt, "longer than", func(v, bound time.Duration) bool { return v > bound })
	add(r.Lte, "at most", func(v, bound time.Duration) bool { return v <= bound })
	add(r.Lt, "shorter than", func(v, bound time.Duration) bool { return v < bound })
	return all
}

// durationText writes a duration as configurations do.
func durationText(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}

func enumChecks(desc protoreflect.EnumDescriptor, r *validate.EnumRules) []check {
	return []check{func(v protoreflect.Value) string {
		value := desc.Values().ByNumber(v.Enum())
		ok := value != nil || !r.GetDefinedOnly()
		for _, not := range r.GetNotIn() {
			ok = ok && int32(v.Enum()) != not
		}
		return unless(ok, "%s", oneOf(enumNames(desc)))
	}}
}

func lengthChecks(least, most *uint64, unit string, length func(v protoreflect.Value) int) (all []check) {
	if least != nil {
		all = append(all, func(v protoreflect.Value) string {
			if *least == 1 {
				return unless(length(v) >= 1, "it may not be empty")
			}
			return unless(uint64(length(v)) >= *least, "it has to have at least %d %s", *least, unit)
		})
	}
	if most != nil {
		all = append(all, func(v protoreflect.Value) string {
			return unless(uint64(length(v)) <= *most, "it may have at most %d %s", *most, unit)
		})
	}
	return all
}

func stringChecks(r *validate.StringRules) []check {
	all := lengthChecks(r.MinLen, r.MaxLen, "characters", func(v protoreflect.Value) int { return utf8.RuneCountInString(v.String()) })
	all = append(all, lengthChecks(r.MinBytes, r.MaxBytes, "bytes", func(v protoreflect.Value) int { return len(v.String()) })...)
	add := func(holds func(s string) bool, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		all = append(all, func(v protoreflect.Value) string {
			s := v.String()
			return unless(holds(s) || s == "" && r.GetIgnoreEmpty(), "%s", text)
		})
	}
	if r.Prefix != nil {
		add(func(s string) bool { return strings.HasPrefix(s, r.GetPrefix()) }, "it has to begin with %q", r.GetPrefix())
	}
	if r.Suffix != nil {
		add(func(s string) bool { return strings.HasSuffix(s, r.GetSuffix()) }, "it has to end with %q", r.GetSuffix())
	}
	if r.Pattern != nil {
		pattern := regexp.MustCompile(r.GetPattern())
		add(pattern.MatchString, "it has to match %s", r.GetPattern())
	}
	if len(r.In) > 0 {
		add(func(s string) bool { return slices.Contains(r.In, s) }, "it is one of %s", strings.Join(r.In, ", "))
	}
	if len(r.NotIn) > 0 {
		add(func(s string) bool { return !slices.Contains(r.NotIn, s) }, "it may not be one of %s", strings.Join(r.NotIn, ", "))
	}
	strict := r.GetStrict()
	switch r.GetWellKnownRegex() {
	case validate.KnownRegex_HTTP_HEADER_NAME:
		add(func(s string) bool { return isHeaderName(s, strict) }, "it has to be the name of a header")
	case validate.KnownRegex_HTTP_HEADER_VALUE:
		add(func(s string) bool { return isHeaderValue(s, strict) }, "it has to be the value of a header, without control characters")
	}
	return all
}

// isHeaderName is HTTP_HEADER_NAME: if it is not strict, all that cannot end a line.
func isHeaderName(s string, strict bool) bool {
	if !strict {
		return !strings.ContainsAny(s, "\x00\r\n")
	}
	s = strings.TrimPrefix(s, ":")
	for i := range len(s) {
		c := s[i]
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') && !strings.ContainsRune("!#$%&'*+-.^_|~`", rune(c)) {
			return false
		}
	}
	return s != ""
}

// isHeaderValue is HTTP_HEADER_VALUE.
func isHeaderValue(s string, strict bool) bool {
	if !strict {
		return !strings.ContainsAny(s, "\x00\r\n")
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
