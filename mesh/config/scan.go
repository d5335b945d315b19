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
	root := new(node)
	if !s.next() || !s.block(root, 1) || s.more {
		return nil, false
	}
	return root, true
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

func (s *scanner) place(n *node) { n.line, n.column = s.line, int32(s.column()+1) }

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

// block reads a value that begins here, in block style if it is not a flow.
func (s *scanner) block(n *node, depth int) bool {
	if depth > maxDepth {
		return false
	}
	s.place(n)
	if s.atDash() {
		return s.blockList(n, depth)
	}
	if c := s.at(0); c == '{' || c == '[' {
		return s.flow(n, depth) && s.nextLine()
	}
	column := s.column()
	if !s.scalar(n, false) {
		return false
	}
	if s.at(0) == ':' && isBlank(s.at(1)) {
		return s.blockMapping(n, column, depth)
	}
	return s.nextLine()
}

func (s *scanner) blockList(n *node, depth int) bool {
	column, base := s.column(), len(s.stack)
	n.kind = list
	for s.more && s.column() == column && s.atDash() {
		line := s.line
		s.pos++
		item := node{plain: true}
		s.place(&item)
		if !s.next() {
			return false
		}
		// What stands below the dash is the item if it is further in.
		if s.more && (s.line == line || s.column() > column) {
			item.plain = false
			if !s.block(&item, depth+1) {
				return false
			}
		}
		s.stack = append(s.stack, item)
	}
	n.kids = s.take(base)
	return !s.more || s.column() < column || s.column() == column && !s.atDash()
}

// blockMapping reads a mapping whose first key is in n, and the colon is here.
func (s *scanner) blockMapping(n *node, column, depth int) bool {
	base := len(s.stack)
	key := *n
	*n = node{kind: mapping, line: key.line, column: key.column}
	for {
		s.pos++ // the colon
		value := node{plain: true}
		s.place(&value)
		line := s.line
		if !s.next() {
			return false
		}
		switch {
		case s.more && s.line == line:
			if s.at(0) == '-' && isBlank(s.at(1)) || !s.inline(&value, depth+1) || !s.nextLine() {
				return false
			}
		case s.more && (s.column() > column || s.column() == column && s.atDash()):
			value.plain = false
			if !s.block(&value, depth+1) {
				return false
			}
			value.placeBy(&key)
		}
		s.stack = append(s.stack, key, value)
		if !s.more || s.column() < column {
			break
		}
		key = node{}
		s.place(&key)
		if s.column() > column || s.atDash() || !s.scalar(&key, false) || s.at(0) != ':' || !isBlank(s.at(1)) {
			return false
		}
	}
	n.kids = s.take(base)
	return true
}

// inline reads a value that stands on the line of its key.
func (s *scanner) inline(n *node, depth int) bool {
	s.place(n)
	n.plain = false
	if c := s.at(0); c == '{' || c == '[' {
		return s.flow(n, depth)
	}
	return s.scalar(n, false)
}

// flow reads a value in flow style, which is that of JSON.
func (s *scanner) flow(n *node, depth int) bool {
	if depth > maxDepth {
		return false
	}
	s.place(n)
	n.plain = false
	var end byte
	switch s.at(0) {
	case '{':
		n.kind, end = mapping, '}'
	case '[':
		n.kind, end = list, ']'
	default:
		return s.scalar(n, true)
	}
	s.pos++
	base := len(s.stack)
	for {
		if !s.flowNext() {
			return false
		}
		if s.at(0) == end {
			break
		}
		if n.kind == mapping && !s.flowKey() {
			return false
		}
		var value node
		if !s.flow(&value, depth+1) {
			return false
		}
		if n.kind == mapping {
			value.placeBy(&s.stack[len(s.stack)-1])
		}
		s.stack = append(s.stack, value)
		if !s.flowNext() {
			return false
		}
		if s.at(0) == end {
			break
		}
		if s.at(0) != ',' {
			return false
		}
		s.pos++
	}
	s.pos++
	n.kids = s.take(base)
	return true
}

// flowNext is next within a flow, where something has to come, and never in the first
// column, where YAML has rules of its own.
func (s *scanner) flowNext() bool {
	return s.next() && s.more && (s.column() > 0 || s.isFlowEnd(s.at(0)) || s.at(0) == '"')
}

// flowKey reads a key and its colon.
func (s *scanner) flowKey() bool {
	var key node
	s.place(&key)
	if c := s.at(0); c == '{' || c == '[' || !s.scalar(&key, true) || len(key.text) > 1000 {
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

// scalar reads a text on one line. It leaves the scanner behind it, at ": ", " #", the end
// of the line or what else may follow.
func (s *scanner) scalar(n *node, flow bool) bool {
	switch s.at(0) {
	case '"':
		return s.doubleQuoted(n)
	case '\'':
		return s.singleQuoted(n)
	case '-':
		if c := s.at(1); isBlank(c) || s.isFlowEnd(c) || c == ':' {
			return false
		}
	case '?', ':':
		if c := s.at(1); flow || !('a' <= c && c <= 'z') {
			return false
		}
	case ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '%', '@', '`', '=', '<', '\n':
		return false
	}
	from := s.pos
	end := from // behind the last character that is no space
	for ; s.pos < len(s.text); s.pos++ {
		c := s.text[s.pos]
		if c == ' ' {
			continue
		}
		if c == '\n' || c == '#' && s.text[s.pos-1] == ' ' || flow && s.isFlowEnd(c) {
			break
		}
		if c == ':' {
			if isBlank(s.at(1)) {
				break
			}
			if flow && s.isFlowEnd(s.at(1)) {
				return false
			}
		}
		end = s.pos + 1
	}
	s.pos = end
	if c := s.at(0); c == ' ' { // "a : b"
		i := 0
		for s.at(i) == ' ' {
			i++
		}
		if s.at(i) == ':' {
			s.pos += i
		}
	}
	n.plain, n.text = true, s.text[from:end]
	return len(n.text) <= 1000 || s.at(0) != ':'
}

func (s *scanner) singleQuoted(n *node) bool {
	s.pos++
	from := s.pos
	doubled := false
	for ; s.pos < len(s.text); s.pos++ {
		switch s.text[s.pos] {
		case '\n':
			return false
		case '\'':
			if s.at(1) == '\'' {
				doubled = true
				s.pos++
				continue
			}
			n.plain, n.text = false, s.text[from:s.pos]
			if doubled {
				n.text = strings.ReplaceAll(n.text, "''", "'")
			}
			return s.behindQuote()
		}
	}
	return false
}

// escapes are those of YAML and JSON that are one character.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f'}

func (s *scanner) doubleQuoted(n *node) bool {
	s.pos++
	from := s.pos
	var unescaped []byte
	for ; s.pos < len(s.text); s.pos++ {
		switch s.text[s.pos] {
		case '\n':
			return false
		case '\\':
			c := escapes[s.at(1)]
			if c == 0 {
				return false
			}
			unescaped = append(unescaped, s.text[from:s.pos]...)
			unescaped = append(unescaped, c)
			s.pos++
			from = s.pos + 1
		case '"':
			n.plain, n.text = false, s.text[from:s.pos]
			if unescaped != nil {
				n.text = string(append(unescaped, n.text...))
			}
			return s.behindQuote()
		}
	}
	return false
}

// behindQuote leaves a quoted text. Some blank, or a separator, has to follow.
func (s *scanner) behindQuote() bool {
	s.pos++
	c := s.at(0)
	if c == ' ' {
		i := 0
		for s.at(i) == ' ' {
			i++
		}
		if s.at(i) == ':' {
			s.pos += i
		}
		return true
	}
	return c == '\n' || c == ':' || c == ',' || c == '}' || c == ']'
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
