package grpcbalancer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// fields are those of a JSON object, by the names that the code has for them.
type fields map[string]field

// A field is a value as it is written, under the name that whoever wrote it will know.
type field struct {
	name   string // with those of the objects around it
	raw    json.RawMessage
	quoted bool // a number may stand in quotes, as in JSON of protocol buffers
}

// object returns the fields of an object that stands in the field outer, "" if it is the
// whole.
func object(outer string, raw json.RawMessage) (fields, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		if outer == "" {
			return nil, fmt.Errorf("grpcbalancer: config: it must be an object, such as {\"tableSize\":65537}: %w", err)
		}
		return nil, fmt.Errorf("grpcbalancer: %s %s: it must be an object: %w", outer, raw, err)
	}
	all := make(fields, len(values))
	for name, value := range values {
		path := name
		if outer != "" {
			path = outer + "." + name
		}
		all[name] = field{name: path, raw: value}
	}
	return all, nil
}

// foldNames has fields by the names of [Config], in whatever case they are written:
// ring_hash takes them so.
func (f fields) foldNames() error {
	config := reflect.TypeFor[Config]()
	for i := range config.NumField() {
		known, _, _ := strings.Cut(config.Field(i).Tag.Get("json"), ",")
		for _, name := range slices.Sorted(maps.Keys(f)) {
			if name == known || !strings.EqualFold(name, known) {
				continue
			}
			if there, twice := f[known]; twice {
				return fmt.Errorf("grpcbalancer: %s and %s are one field, which must be there once", there.name, name)
			}
			f[known] = f[name]
			delete(f, name)
		}
	}
	return nil
}

// isSet returns whether a field is there. In JSON of protocol buffers null means that it
// is not.
func (f field) isSet() bool {
	return len(f.raw) > 0 && !bytes.Equal(f.raw, []byte("null"))
}

// whole reads a number without a fraction that fits into 32 bits, 0 if it is not set.
func (f field) whole(allowed string) (int, error) {
	if !f.isSet() {
		return 0, nil
	}
	text := string(f.raw)
	if f.quoted {
		text = strings.Trim(text, `"`)
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("grpcbalancer: %s %s: it must be a whole number, %s", f.name, f.raw, allowed)
	}
	return int(n), nil
}

// text reads a string, "" if it is not set. If there are allowed ones it must be one of
// them, or "".
func (f fields) text(name string, allowed ...string) (string, error) {
	field := f[name]
	if !field.isSet() {
		return "", nil
	}
	var text string
	if err := json.Unmarshal(field.raw, &text); err != nil {
		return "", fmt.Errorf("grpcbalancer: %s %s: it must be a string", field.name, field.raw)
	}
	if text != "" && len(allowed) > 0 && !slices.Contains(allowed, text) {
		return "", fmt.Errorf("grpcbalancer: %s %q: it must be one of %q", field.name, text, allowed)
	}
	return text, nil
}

// boolean reads true or false, false if it is not set.
func (f fields) boolean(name string) (bool, error) {
	field := f[name]
	if !field.isSet() {
		return false, nil
	}
	var value bool
	if err := json.Unmarshal(field.raw, &value); err != nil {
		return false, fmt.Errorf("grpcbalancer: %s %s: it must be true or false", field.name, field.raw)
	}
	return value, nil
}
