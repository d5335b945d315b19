package route

import (
	"sync"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/message"
)

// mutations are those of one level: a weighted cluster, a route, a virtual host or the table.
type mutations struct{ request, response changes }

// newMutations returns nil if there are none.
func newMutations(c *config.HeaderMutations) *mutations {
	m := &mutations{
		request:  newChanges(c.Request, c.RequestRemove, message.JoinedInRequest),
		response: newChanges(c.Response, c.ResponseRemove, message.JoinedInResponse),
	}
	if m.request.empty() && m.response.empty() {
		return nil
	}
	return m
}

// Changes are what is done to a header: fields are removed and others added. The zero Changes do
// nothing. They do not change and may be used by any number of goroutines.
type Changes struct{ changes }

// RequestChanges makes changes for requests of header mutations that are not of a route, such as
// those of a filter. Names to be removed are in lower case.
func RequestChanges(add []config.HeaderMutation, remove []string) Changes {
	return Changes{newChanges(add, remove, message.JoinedInRequest)}
}

// ResponseChanges is RequestChanges for answers.
func ResponseChanges(add []config.HeaderMutation, remove []string) Changes {
	return Changes{newChanges(add, remove, message.JoinedInResponse)}
}

// Apply changes the fields, which are those of the exchange's request or answer, or of another
// message. Values with operators are made from the exchange.
func (c *Changes) Apply(fields *message.Fields, ex *message.Exchange) { c.apply(fields, ex) }

type changes struct {
	remove  []string
	add     []addition
	dynamic bool // there are values with operators
}

type addition struct {
	name   string
	value  string         // of a format without operators
	format *format.Format // nil if value holds
	action config.AppendAction
	keep   bool // even if the value is empty
	joined bool
}

func newChanges(add []config.HeaderMutation, remove []string, joined func(string) bool) changes {
	c := changes{remove: remove}
	for _, m := range add {
		a := addition{name: m.Name, action: m.Action, keep: m.KeepEmpty, joined: joined(m.Name)}
		if text, ok := m.Value.Static(); ok {
			a.value = text
		} else {
			a.format = m.Value
			c.dynamic = true
		}
		c.add = append(c.add, a)
	}
	return c
}

func (c *changes) empty() bool { return len(c.remove) == 0 && len(c.add) == 0 }

// apply removes first. Then all values are made, and what depends on a field's being there is
// decided, before anything is added. Of what is left, overwrites come first: they remove all fields
// of their name and put one at the end.
func (c *changes) apply(fields *message.Fields, ex *message.Exchange) {
	for _, name := range c.remove {
		fields.Remove(name)
	}
	if len(c.add) == 0 {
		return
	}
	var room [16]pending
	todo := room[:0]
	if c.dynamic {
		todo = c.decideDynamic(todo, *fields, ex)
	} else {
		for i := range c.add {
			todo = c.decide(todo, *fields, i, c.add[i].value)
		}
	}
	for _, p := range todo {
		if p.overwrites {
			fields.Remove(c.add[p.index].name)
			fields.Add(c.add[p.index].name, p.value)
		}
	}
	for _, p := range todo {
		if !p.overwrites {
			fields.AddJoined(c.add[p.index].name, p.value, c.add[p.index].joined)
		}
	}
}

// A pending is an addition that is to be made.
type pending struct {
	index      int
	overwrites bool
	value      string
}

func (c *changes) decide(todo []pending, fields message.Fields, index int, value string) []pending {
	a := &c.add[index]
	if value == "" && !a.keep {
		return todo
	}
	switch a.action {
	case config.AddIfAbsent:
		if fields.Has(a.name) {
			return todo
		}
	case config.OverwriteIfExists:
		if !fields.Has(a.name) {
			return todo
		}
	}
	overwrites := a.action == config.OverwriteOrAdd || a.action == config.OverwriteIfExists
	return append(todo, pending{index, overwrites, value})
}

// decideDynamic writes all values into one buffer, so that there is one string for all of them.
func (c *changes) decideDynamic(todo []pending, fields message.Fields, ex *message.Exchange) []pending {
	var room [16]int
	ends := room[:0]
	buffer := buffers.Get().(*[]byte)
	b := (*buffer)[:0]
	for i := range c.add {
		if a := &c.add[i]; a.format != nil {
			b = a.format.AppendHeader(b, ex)
		}
		ends = append(ends, len(b))
	}
	values := string(b)
	*buffer = b
	buffers.Put(buffer)

	start := 0
	for i, end := range ends {
		value := c.add[i].value
		if c.add[i].format != nil {
			value = values[start:end]
		}
		todo = c.decide(todo, fields, i, value)
		start = end
	}
	return todo
}

var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 256)
	return &b
}}
