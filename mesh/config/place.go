package config

import (
	"strconv"
	"strings"
)

// A place is a step of the way from the root of a file to a value: a field, or an item of a
// list. Places are made on the way, and only an error asks where one is. The root is nil.
type place struct {
	up    *place
	field string // "" for an item
	index int
}

func (p *place) to(field string) *place        { return &place{up: p, field: field} }
func (p *place) item(index int) *place         { return &place{up: p, index: index} }
func (p *place) at(field string, i int) *place { return p.to(field).item(i) }

// String returns the path: "static_resources.clusters[0].lb_policy".
func (p *place) String() string {
	var b strings.Builder
	p.write(&b)
	return b.String()
}

func (p *place) write(b *strings.Builder) {
	if p == nil {
		return
	}
	p.up.write(b)
	writeStep(b, p.field, p.index)
}

func writeStep(b *strings.Builder, field string, index int) {
	switch {
	case field == "":
		b.WriteString("[" + strconv.Itoa(index) + "]")
	case b.Len() == 0:
		b.WriteString(field)
	case field[0] == '[':
		b.WriteString(field)
	default:
		b.WriteString("." + field)
	}
}

// quotedField is a key of a map, as a path has it.
func quotedField(key string) string { return "[" + strconv.Quote(key) + "]" }

// fieldName is a key that should be a field's name, as a path has it.
func fieldName(key string) string {
	for i := range len(key) {
		if c := key[i]; c <= ' ' || c == '.' || c == '[' || c == '"' || c >= 0x7f {
			return quotedField(key)
		}
	}
	if key == "" {
		return quotedField(key)
	}
	return key
}

// oneLine returns an error's text without line breaks, which may come of the values in it.
func oneLine(text string) string {
	return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(text)
}

// find returns the node of a place, or of the innermost object around it that is there.
func (p *place) find(root *node) *node {
	n, _ := p.walk(root)
	return n
}

// isThere reports whether an object has a field, be it supported or not.
func (p *place) isThere(root *node, field string) bool {
	n, whole := p.to(field).walk(root)
	return whole && !n.isNull()
}

func (p *place) walk(root *node) (n *node, whole bool) {
	if p == nil {
		return root, true
	}
	n, whole = p.up.walk(root)
	if !whole {
		return n, false
	}
	var next *node
	switch {
	case p.field == "" && n.kind != list && p.index == 0:
		next = n // a single value stands for a list of it
	case p.field == "" && p.index < len(n.kids) && n.kind == list:
		next = &n.kids[p.index]
	case p.field != "":
		name := p.field
		if name[0] == '[' {
			name, _ = strconv.Unquote(name[1 : len(name)-1])
		}
		next = n.get(name, camel(name))
	}
	if next == nil {
		return n, false
	}
	return next, true
}

// camel returns a field's name as JSON has it.
func camel(name string) string {
	var b strings.Builder
	upper := false
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '_':
			upper = true
			continue
		case upper && 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		}
		upper = false
		b.WriteByte(c)
	}
	return b.String()
}
