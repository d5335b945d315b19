package config

import "strings"

// scan reads the plain part of YAML that configurations are written in, JSON included,
// several times as fast as a library that reads all of YAML: of a large configuration,
// reading the text is most of the work. It returns false for whatever it is not sure of:
// anchors, tags, block scalars, texts over several lines, tabs, characters outside ASCII,
// and all that is wrong; then the library is asked. What it reads, it reads as that does.
func scan(text string) (*node, bool) {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\n' || c >= 0x7f {
			return nil, false
		}
	}
	s := &scanner{text: text, line: 1}
	if strings.HasPrefix(text, "---\n") {
		s.pos, s.start, s.line = 4, 4, 2
	}
	if !s.next() {
		return nil, false
	}
	root, ok := s.block(1)
	return &root, ok && !s.more
}

// A scanner is at a position of the text. Its methods return false where the text is not
// plain, and then it is of no more use.
type scanner struct {
	text  string
	pos   int
	start int // of the line that pos is in
	line  int32
	more  bool // the last call of next has found something

	stack []node // values of collections that are not at their end yet
	spare []node // room for those that are
}

func (s *scanner) column() int { return s.pos - s.start }

// node returns an empty node that begins here.
func (s *scanner) node(k kind) node {
	return node{kind: k, line: s.line, column: int32(s.column() + 1)}
}

// null returns a value that is not there.
func (s *scanner) null() node {
	n := s.node(scalar)
	n.plain = true
	return n
}

// next goes to the next text that is neither blank nor comment, and returns false if only
// the end of a line may come here but does not, or a document begins or ends.
func (s *scanner) next() bool {
	s.more = false
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ':
			s.pos++
		case '\n':
			s.pos++
			s.line++
			s.start = s.pos
		case '#':
			if s.pos > s.start && s.text[s.pos-1] != ' ' {
				return false
			}
			end := strings.IndexByte(s.text[s.pos:], '\n')
			if end < 0 {
				end = len(s.text) - s.pos
			}
			s.pos += end
		default:
			s.more = true
			if s.pos > s.start {
				return true
			}
			rest := s.text[s.pos:]
			return rest[0] != '%' && !strings.HasPrefix(rest, "---") && !strings.HasPrefix(rest, "...")
		}
	}
	return true
}

// nextLine is next where nothing else may stand on the line.
func (s *scanner) nextLine() bool {
	line := s.line
	return s.next() && (!s.more || s.line > line)
}

// at returns the character at an offset, a newline behind the end.
func (s *scanner) at(offset int) byte {
	if i := s.pos + offset; i < len(s.text) {
		return s.text[i]
	}
	return '\n'
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' }

func (s *scanner) atDash() bool { return s.at(0) == '-' && isBlank(s.at(1)) }

// block reads a value that begins here, in block style if it is not a flow. (Nodes are
// returned rather than filled, as each would be allocated where a recursion fills it.)
func (s *scanner) block(depth int) (n node, ok bool) {
	if depth > maxDepth {
		return n, false
	}
	if s.atDash() {
		return s.blockList(depth)
	}
	if c := s.at(0); c == '{' || c == '[' {
		n, ok = s.flow(depth)
		return n, ok && s.nextLine()
	}
	column := s.column()
	if n, ok = s.scalar(false); !ok {
		return n, false
	}
	if s.at(0) == ':' && isBlank(s.at(1)) {
		return s.blockMapping(n, column, depth)
	}
	return n, s.nextLine()
}

func (s *scanner) blockList(depth int) (n node, ok bool) {
	column, base := s.column(), len(s.stack)
	n = s.node(list)
	for s.more && s.column() == column && s.atDash() {
		line := s.line
		s.pos++
		item := s.null()
		if !s.next() {
			return n, false
		}
		// What stands below the dash is the item if it is further in.
		if s.more && (s.line == line || s.column() > column) {
			if item, ok = s.block(depth + 1); !ok {
				return n, false
			}
		}
		s.stack = append(s.stack, item)
	}
	n.kids = s.take(base)
	return n, !s.more || s.column() < column || s.column() == column && !s.atDash()
}

// blockMapping reads a mapping behind its first key, where the colon is.
func (s *scanner) blockMapping(key node, column, depth int) (n node, ok bool) {
	base := len(s.stack)
	n = node{kind: mapping, line: key.line, column: key.column}
	for {
		s.pos++ // the colon
		value := s.null()
		line := s.line
		if !s.next() {
			return n, false
		}
		switch {
		case s.more && s.line == line:
			if s.atDash() {
				return n, false
			}
			if value, ok = s.inline(depth + 1); !ok || !s.nextLine() {
				return n, false
			}
		case s.more && (s.column() > column || s.column() == column && s.atDash()):
			if value, ok = s.block(depth + 1); !ok {
				return n, false
			}
			value.placeBy(&key)
		}
		s.stack = append(s.stack, key, value)
		if !s.more || s.column() < column {
			break
		}
		if s.column() > column || s.atDash() {
			return n, false
		}
		if key, ok = s.scalar(false); !ok || s.at(0) != ':' || !isBlank(s.at(1)) {
			return n, false
		}
	}
	n.kids = s.take(base)
	return n, true
}

// inline reads a value that stands on the line of its key.
func (s *scanner) inline(depth int) (node, bool) {
	if c := s.at(0); c == '{' || c == '[' {
		return s.flow(depth)
	}
	return s.scalar(false)
}

// flow reads a value in flow style, which is that of JSON.
func (s *scanner) flow(depth int) (n node, ok bool) {
	if depth > maxDepth {
		return n, false
	}
	var end byte
	switch s.at(0) {
	case '{':
		n, end = s.node(mapping), '}'
	case '[':
		n, end = s.node(list), ']'
	default:
		return s.scalar(true)
	}
	s.pos++
	base := len(s.stack)
	for {
		if !s.flowNext() {
			return n, false
		}
		if s.at(0) == end {
			break
		}
		if n.kind == mapping && !s.flowKey() {
			return n, false
		}
		value, ok := s.flow(depth + 1)
		if !ok {
			return n, false
		}
		if n.kind == mapping {
			value.placeBy(&s.stack[len(s.stack)-1])
		}
		s.stack = append(s.stack, value)
		if !s.flowNext() {
			return n, false
		}
		if s.at(0) == end {
			break
		}
		if s.at(0) != ',' {
			return n, false
		}
		s.pos++
	}
	s.pos++
	n.kids = s.take(base)
	return n, true
}

// flowNext is next within a flow, where something has to come, and never in the first
// column, where YAML has rules of its own.
func (s *scanner) flowNext() bool {
	return s.next() && s.more && (s.column() > 0 || s.isFlowEnd(s.at(0)) || s.at(0) == '"')
}

// flowKey reads a key and its colon.
func (s *scanner) flowKey() bool {
	if c := s.at(0); c == '{' || c == '[' {
		return false
	}
	key, ok := s.scalar(true)
	if !ok || len(key.text) > 1000 {
		return false
	}
	for s.at(0) == ' ' {
		s.pos++
	}
	if s.at(0) != ':' || key.plain && !isBlank(s.at(1)) {
		return false
	}
	s.pos++
	s.stack = append(s.stack, key)
	if !s.flowNext() {
		return false
	}
	c := s.at(0)
	return c != ',' && c != '}' && c != ']'
}

func (s *scanner) isFlowEnd(c byte) bool {
	return c == ',' || c == '{' || c == '}' || c == '[' || c == ']'
}

// take moves the values above base from the stack to where they stay.
func (s *scanner) take(base int) []node {
	values := s.stack[base:]
	if len(values) == 0 {
		return nil
	}
	if len(values) > len(s.spare) {
		s.spare = make([]node, max(512, len(values)))
	}
	kept := s.spare[:len(values):len(values)]
	s.spare = s.spare[len(values):]
	copy(kept, values)
	s.stack = s.stack[:base]
	return kept
}
