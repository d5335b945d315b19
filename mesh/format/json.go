package format

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/maglev-lb/maglev/mesh/message"
)

// A JSON is a format whose values stand in a JSON object.
//
// A string that is an operator and nothing else gives the operator's value: a number where
// it is one, null where there is none. One that mixes operators and text gives a string.
// Numbers, booleans and null stand as they are. The zero JSON is the empty object.
type JSON struct {
	root      []member
	omitEmpty bool
}

// A node is a part of the object. One of its fields is set; a node without any is a string
// of pieces.
type node struct {
	literal string   // as it is written
	value   *value   // of a string that is one operator
	pieces  []piece  // their texts escaped
	members []member // of an object
	list    []node
	isList  bool
	isNull  bool // a literal null
}

// A member is a field of an object.
type member struct {
	name string // as it is written, with the colon
	node node
}

// ParseJSON reads a format from what a JSON object is in Go: strings, float64, bool, nil,
// []any and map[string]any, as of structpb.Struct.AsMap. Fields are written sorted by their
// names, as Envoy writes them whether or not sort_properties is set.
//
// With omitEmpty, omit_empty_values, nulls are left out, and so are objects that are empty
// then. A list stays, and so does an empty string.
func ParseJSON(fields map[string]any, omitEmpty bool) (*JSON, error) {
	root, err := parseObject("", fields)
	if err != nil {
		return nil, fmt.Errorf("format: %w", err)
	}
	return &JSON{root.members, omitEmpty}, nil
}

func parseNode(path string, v any) (node, error) {
	switch v := v.(type) {
	case nil:
		return node{literal: "null", isNull: true}, nil
	case bool:
		return node{literal: strconv.FormatBool(v)}, nil
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return node{}, fmt.Errorf("%s: %w", path, invalid("%v is no number of JSON", v))
		}
		return node{literal: numberText(v)}, nil
	case string:
		return parseString(path, v)
	case []any:
		n := node{isList: true}
		for i, v := range v {
			element, err := parseNode(fmt.Sprintf("%s[%d]", path, i), v)
			if err != nil {
				return node{}, err
			}
			n.list = append(n.list, element)
		}
		return n, nil
	case map[string]any:
		return parseObject(path, v)
	}
	return node{}, fmt.Errorf("%s: %w", path, invalid("%T is no value of JSON", v))
}

func parseObject(path string, fields map[string]any) (node, error) {
	n := node{members: []member{}}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		at := name
		if path != "" {
			at = path + "." + name
		}
		v, err := parseNode(at, fields[name])
		if err != nil {
			return node{}, err
		}
		quoted := append(appendQuoted(nil, name), ':')
		n.members = append(n.members, member{string(quoted), v})
	}
	return n, nil
}

func parseString(path, s string) (node, error) {
	pieces, err := parse(s)
	if err != nil {
		return node{}, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case len(pieces) == 0:
		return node{literal: `""`}, nil
	case len(pieces) == 1 && pieces[0].text != "":
		return node{literal: string(appendQuoted(nil, pieces[0].text))}, nil
	case len(pieces) == 1:
		return node{value: &pieces[0].value}, nil
	}
	for i := range pieces {
		pieces[i].text = string(appendEscaped(nil, pieces[i].text))
	}
	return node{pieces: pieces}, nil
}

// numberText returns a number in the fewest characters: 100000 is 1e+05, as in Envoy.
func numberText(f float64) string {
	plain := strconv.FormatFloat(f, 'f', -1, 64)
	if f == math.Trunc(f) {
		plain = strconv.FormatFloat(f, 'f', 0, 64)
	}
	scientific := strconv.FormatFloat(f, 'e', -1, 64)
	if len(scientific) < len(plain) {
		return scientific
	}
	return plain
}

// Append appends the object that an exchange makes of the format, without a newline, for
// an access log.
func (j *JSON) Append(b []byte, ex *message.Exchange) []byte { return j.append(b, ex, inLog) }

// AppendBody appends the object that an exchange makes of the format, without a newline,
// for the body of a local reply.
func (j *JSON) AppendBody(b []byte, ex *message.Exchange) []byte { return j.append(b, ex, inBody) }

func (j *JSON) append(b []byte, ex *message.Exchange, u use) []byte {
	w := writer{ex, u, j.omitEmpty}
	b, ok := w.appendObject(b, j.root)
	if !ok {
		return append(b, "{}"...)
	}
	return b
}

// A writer writes the nodes of one object.
type writer struct {
	ex        *message.Exchange
	use       use
	omitEmpty bool
}

// append appends a node. It returns false, and what it has been given, if the node is to
// be left out.
func (w writer) append(b []byte, n *node) ([]byte, bool) {
	switch {
	case n.members != nil:
		return w.appendObject(b, n.members)
	case n.isList:
		return w.appendList(b, n.list), true
	case n.value != nil:
		return w.appendValue(b, n.value)
	case n.literal != "":
		if n.isNull && w.omitEmpty {
			return b, false
		}
		return append(b, n.literal...), true
	}
	return w.appendPieces(b, n.pieces), true
}

func (w writer) appendObject(b []byte, members []member) ([]byte, bool) {
	start := len(b)
	b = append(b, '{')
	for i := range members {
		m := &members[i]
		before := len(b)
		if before > start+1 {
			b = append(b, ',')
		}
		b = append(b, m.name...)
		var ok bool
		if b, ok = w.append(b, &m.node); !ok {
			b = b[:before]
		}
	}
	if w.omitEmpty && len(b) == start+1 {
		return b[:start], false
	}
	return append(b, '}'), true
}

func (w writer) appendList(b []byte, list []node) []byte {
	b = append(b, '[')
	start := len(b)
	for i := range list {
		before := len(b)
		if before > start {
			b = append(b, ',')
		}
		var ok bool
		if b, ok = w.append(b, &list[i]); !ok {
			b = b[:before]
		}
	}
	return append(b, ']')
}

func (w writer) appendValue(b []byte, v *value) ([]byte, bool) {
	if v.number != nil {
		n, ok := v.number(w.ex)
		if !ok {
			return w.appendNull(b)
		}
		return strconv.AppendInt(b, n, 10), true
	}
	start := len(b)
	b, ok := w.appendString(append(b, '"'), v)
	if !ok {
		return w.appendNull(b[:start])
	}
	return append(b, '"'), true
}

func (w writer) appendNull(b []byte) ([]byte, bool) {
	if w.omitEmpty {
		return b, false
	}
	return append(b, "null"...), true
}

// appendString appends what is between the quotes.
func (w writer) appendString(b []byte, v *value) ([]byte, bool) {
	if v.text != nil {
		s, ok := v.text(w.ex)
		return appendEscaped(b, v.cut(s)), ok
	}
	start := len(b)
	b, ok := v.append(b, w.ex, w.use)
	if isClean(b[start:]) {
		return b, ok
	}
	// What was written is written again, escaped, behind itself, and then takes its place.
	end := len(b)
	b = appendEscaped(b, b[start:end])
	return b[:start+copy(b[start:], b[end:])], ok
}

// appendPieces appends a string of texts and operators. In it an absent value is "-", or
// nothing with omit_empty_values.
func (w writer) appendPieces(b []byte, pieces []piece) []byte {
	b = append(b, '"')
	for i := range pieces {
		p := &pieces[i]
		if p.text != "" {
			b = append(b, p.text...)
			continue
		}
		var ok bool
		if b, ok = w.appendString(b, &p.value); !ok && !w.omitEmpty {
			b = append(b, '-')
		}
	}
	return append(b, '"')
}
