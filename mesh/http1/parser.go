package http1

import (
	"bytes"

	"github.com/maglev-lb/maglev/mesh/message"
)

// A Parser takes heads of messages off the beginning of a buffer. It keeps how far it has
// looked into one that is not complete, so that bytes that trickle in are looked at
// once. The zero value has the default [Limits]. It is for one direction of one
// connection, and not for several goroutines.
type Parser struct {
	Limits Limits
	// NoHTTP10 refuses requests of HTTP/1.0 with [ErrVersion].
	NoHTTP10 bool

	next  int    // where the search for the end of a line goes on
	line  int    // where that line begins
	first line   // the first one, empty as long as there is none
	lines []line // the fields
}

// A line is a range of the buffer, without the CRLF. Of a field's line the name ends at
// colon, and the value, without the blanks around it, is a range of its own.
type line struct{ from, to, colon, value, end int }

// find looks for the end of a head that begins at the beginning of b. It returns how long
// that is, 0 if more bytes are needed.
func (p *Parser) find(b []byte) (int, error) {
	for {
		i := bytes.IndexByte(b[p.next:], '\n')
		if i < 0 {
			p.next = len(b)
			if len(b) > p.Limits.bytes() {
				return 0, errHeadTooLarge
			}
			return 0, nil
		}
		at := p.next + i
		if at == p.line || b[at-1] != '\r' {
			return 0, errBareLF
		}
		l := line{from: p.line, to: at - 1}
		p.next, p.line = at+1, at+1
		switch {
		case at >= p.Limits.bytes():
			return 0, errHeadTooLarge
		case p.first.to == 0:
			if l.from == l.to {
				continue // RFC 9112, section 2.2: empty lines before the first
			}
			p.first = l
		case l.from == l.to:
			return at + 1, nil
		case len(p.lines) == p.Limits.fields():
			return 0, errManyFields
		default:
			p.lines = append(p.lines, l)
		}
	}
}

// reset makes the parser ready for the next head.
func (p *Parser) reset() {
	p.next, p.line, p.first, p.lines = 0, 0, line{}, p.lines[:0]
}

// fields checks the lines of fields, has the names in b in lower case, and takes out of
// them what concerns the connection.
func (p *Parser) fields(b []byte, f *framing) error {
	for i := range p.lines {
		l := &p.lines[i]
		at := l.from
		for at < l.to {
			c := lower[b[at]]
			if c == 0 {
				break
			}
			b[at] = c
			at++
		}
		switch {
		case at == l.to:
			return errColon
		case b[at] != ':':
			switch c := b[at]; {
			case at == l.from && (c == ' ' || c == '\t'):
				return errFold
			case isControl(c):
				return errControl
			}
			return errName
		case at == l.from:
			return errName
		}
		l.colon = at
		from, to := at+1, l.to
		for from < to && (b[from] == ' ' || b[from] == '\t') {
			from++
		}
		for from < to && (b[to-1] == ' ' || b[to-1] == '\t') {
			to--
		}
		l.value, l.end = from, to
		value := b[from:to]
		if !all(value, inValue) {
			return unfit(value)
		}
		if err := f.take(b[l.from:at], value); err != nil {
			return err
		}
	}
	return nil
}

// fieldBytes returns [Head.FieldBytes].
func fieldBytes(lines []line) (n int) {
	for i := range lines {
		l := &lines[i]
		n += l.colon - l.from + len(": ") + l.end - l.value + 1
	}
	return max(n, len(": ")+1) // as if there were one that is empty
}

// append appends the fields to others. The head is a copy of what they were found in.
func (p *Parser) append(fields message.Fields, head string, but func(name string) bool) message.Fields {
	for i := range p.lines {
		l := &p.lines[i]
		if name := head[l.from:l.colon]; !but(name) {
			fields = append(fields, message.Field{Name: name, Value: head[l.value:l.end]})
		}
	}
	return fields
}
