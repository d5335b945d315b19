package grpcbalancer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// fileFields are the fields of an entry of a file.
type fileFields struct {
	Address             string   `json:"address" yaml:"address"`
	AdditionalAddresses []string `json:"additionalAddresses" yaml:"additionalAddresses"`
	Weight              written  `json:"weight" yaml:"weight"`
	Key                 string   `json:"key" yaml:"key"`
	Name                string   `json:"name" yaml:"name"`
}

var fieldNames = []string{"address", "additionalAddresses", "weight", "key", "name"}

// written is a number as it has been written, for an error to repeat it.
type written string

func (w *written) UnmarshalJSON(raw []byte) error {
	if string(raw) != "null" { // which is for all fields that they are not there
		*w = written(raw)
	}
	return nil
}

func (w *written) UnmarshalYAML(n *yaml.Node) error {
	*w = written(n.Value)
	if n.Kind != yaml.ScalarNode || n.Value == "" {
		*w = "(no number)"
	}
	return nil
}

// A fileEntry is a text, a backend in the syntax of targets, or has fields.
type fileEntry struct {
	text   string
	fields func(*fileFields) error // nil if it is a text
}

func (e fileEntry) backend() (Backend, error) {
	if e.fields == nil {
		return parseBackend(e.text)
	}
	var f fileFields
	if err := e.fields(&f); err != nil {
		return Backend{}, err
	}
	b := Backend{Address: f.Address, AdditionalAddresses: f.AdditionalAddresses, Key: f.Key, ServerName: f.Name}
	if f.Weight != "" {
		n, err := strconv.ParseUint(string(f.Weight), 10, 32)
		if err != nil || n == 0 {
			return b, badWeight(string(f.Weight))
		}
		b.Weight = uint32(n)
	}
	return b, nil
}

// formats are how files are read, by the ends of their names.
var formats = map[string]func(content []byte) ([]fileEntry, error){
	".json": jsonEntries,
	".yaml": yamlEntries,
	".yml":  yamlEntries,
}

// formatOf returns how a file is read, nil if its name does not say so.
func formatOf(path string) func([]byte) ([]fileEntry, error) {
	return formats[strings.ToLower(filepath.Ext(path))]
}

// parseFile returns the backends of the content of a file. Its errors name the entry, the
// field, the value and what is allowed.
func parseFile(content []byte, format func([]byte) ([]fileEntry, error)) ([]Backend, error) {
	entries, err := format(content)
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, errors.New("it lists no backends; a file must list one at least, as an empty list is what is left when its generator fails")
	}
	label := func(i int) string { return fmt.Sprintf("backends[%d]", i) }
	backends := make([]Backend, len(entries))
	for i, e := range entries {
		b, err := e.backend()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", label(i), err)
		}
		backends[i] = b
	}
	return checkBackends(backends, label)
}

var errShape = errors.New(`it must be a list of backends, or an object with one as its field "backends"`)

func jsonEntries(content []byte) ([]fileEntry, error) {
	content = bytes.TrimSpace(content)
	if len(content) > 0 && content[0] != '[' && content[0] != '{' {
		return nil, errShape
	}
	var whole json.RawMessage
	d := json.NewDecoder(bytes.NewReader(content))
	if err := d.Decode(&whole); errors.Is(err, io.EOF) {
		return nil, errShape
	} else if err != nil {
		return nil, fmt.Errorf("it is not JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("it is not JSON: there is something after its end")
	}
	if whole[0] == '{' {
		fields, err := jsonFields(whole, []string{"backends"})
		if err != nil {
			return nil, err
		}
		whole = fields["backends"]
		if len(whole) == 0 {
			return nil, nil
		}
	}
	var list []json.RawMessage
	if err := json.Unmarshal(whole, &list); err != nil {
		return nil, errShape
	}
	entries := make([]fileEntry, len(list))
	for i, raw := range list {
		switch raw[0] {
		case '"':
			if err := json.Unmarshal(raw, &entries[i].text); err != nil {
				return nil, err
			}
		case '{':
			entries[i].fields = func(f *fileFields) error { return f.fromJSON(raw) }
		default:
			return nil, fmt.Errorf("backends[%d]: %w", i, &fieldError{"entry", string(raw), "it must be a text or an object"})
		}
	}
	return entries, nil
}

// jsonFields returns the fields of a JSON object. It refuses those that are not known, by
// exactly that name, or that are there twice, which [json.Unmarshal] does not.
func jsonFields(object json.RawMessage, known []string) (map[string]json.RawMessage, error) {
	fields := make(map[string]json.RawMessage)
	d := json.NewDecoder(bytes.NewReader(object))
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return nil, err
		}
		name := token.(string) // as in all JSON
		if err := checkField(fields, name, known); err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		fields[name] = value
	}
	return fields, nil
}

func (f *fileFields) fromJSON(raw json.RawMessage) error {
	fields, err := jsonFields(raw, fieldNames)
	if err != nil {
		return err
	}
	err = json.Unmarshal(raw, f)
	if wrong := new(json.UnmarshalTypeError); errors.As(err, &wrong) {
		name, _, _ := strings.Cut(wrong.Field, ".")
		return &fieldError{name, string(fields[name]), "it must be a text, or a list of them if there may be several"}
	}
	return err
}

func yamlEntries(content []byte) ([]fileEntry, error) {
	d := yaml.NewDecoder(bytes.NewReader(content))
	var document, more yaml.Node
	if err := d.Decode(&document); errors.Is(err, io.EOF) {
		return nil, errShape
	} else if err != nil {
		return nil, fmt.Errorf("it is not YAML: %w", err)
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("it must be one YAML document, and no more: line %d", max(more.Line, 1))
	}
	list := resolved(document.Content[0])
	if list.Kind == yaml.MappingNode {
		if err := checkFields(list, []string{"backends"}); err != nil {
			return nil, err
		}
		if len(list.Content) == 2 {
			list = resolved(list.Content[1])
		}
	}
	if list.Kind != yaml.SequenceNode {
		return nil, errShape
	}
	entries := make([]fileEntry, len(list.Content))
	for i, n := range list.Content {
		n = resolved(n)
		switch n.Kind {
		case yaml.ScalarNode:
			entries[i].text = n.Value
		case yaml.MappingNode:
			entries[i].fields = func(f *fileFields) error {
				if err := checkFields(n, fieldNames); err != nil {
					return err
				}
				var wrong *yaml.TypeError
				if err := n.Decode(f); errors.As(err, &wrong) {
					return fmt.Errorf("%w: %s", ErrBackend, strings.Join(wrong.Errors, "; "))
				} else if err != nil {
					return err
				}
				return nil
			}
		default:
			return nil, fmt.Errorf("backends[%d]: line %d: %w: it must be a text or a mapping", i, n.Line, ErrBackend)
		}
	}
	return entries, nil
}

// resolved returns what an alias stands for.
func resolved(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// checkFields refuses fields that are not known, which [yaml.Node.Decode] does not, or that
// are there twice.
func checkFields(mapping *yaml.Node, known []string) error {
	seen := make(map[string]bool)
	for i := 0; i < len(mapping.Content); i += 2 {
		key := mapping.Content[i]
		if err := checkField(seen, key.Value, known); err != nil {
			return fmt.Errorf("line %d: %w", key.Line, err)
		}
		seen[key.Value] = true
	}
	return nil
}

// checkField checks the name of a field that follows others.
func checkField[V any](seen map[string]V, name string, known []string) error {
	if _, twice := seen[name]; twice {
		return fmt.Errorf("field %q is there twice", name)
	}
	if !slices.Contains(known, name) {
		return fmt.Errorf("unknown field %q; there is %s", name, strings.Join(known, ", "))
	}
	return nil
}
