package config

import "strings"

// scalar reads a text on one line. It leaves the scanner behind it, at ": ", " #", the end
// of the line or what else may follow.
func (s *scanner) scalar(flow bool) (n node, ok bool) {
	n = s.node(scalar)
	switch s.at(0) {
	case '"':
		n.text, ok = s.doubleQuoted()
		return n, ok
	case '\'':
		n.text, ok = s.singleQuoted()
		return n, ok
	case '-':
		if c := s.at(1); isBlank(c) || s.isFlowEnd(c) || c == ':' {
			return n, false
		}
	case '?', ':':
		if c := s.at(1); flow || !('a' <= c && c <= 'z') {
			return n, false
		}
	case ',', '[', ']', '{', '}', '#', '&', '*', '!', '|', '>', '%', '@', '`', '=', '<', '\n':
		return n, false
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
				return n, false
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
	return n, len(n.text) <= 1000 || s.at(0) != ':'
}

func (s *scanner) singleQuoted() (text string, ok bool) {
	s.pos++
	from := s.pos
	doubled := false
	for ; s.pos < len(s.text); s.pos++ {
		switch s.text[s.pos] {
		case '\n':
			return "", false
		case '\'':
			if s.at(1) == '\'' {
				doubled = true
				s.pos++
				continue
			}
			text = s.text[from:s.pos]
			if doubled {
				text = strings.ReplaceAll(text, "''", "'")
			}
			return text, s.behindQuote()
		}
	}
	return "", false
}

// escapes are those of YAML and JSON that are one character.
var escapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f'}

func (s *scanner) doubleQuoted() (text string, ok bool) {
	s.pos++
	from := s.pos
	var unescaped []byte
	for ; s.pos < len(s.text); s.pos++ {
		switch s.text[s.pos] {
		case '\n':
			return "", false
		case '\\':
			c := escapes[s.at(1)]
			if c == 0 {
				return "", false
			}
			unescaped = append(unescaped, s.text[from:s.pos]...)
			unescaped = append(unescaped, c)
			s.pos++
			from = s.pos + 1
		case '"':
			text = s.text[from:s.pos]
			if unescaped != nil {
				text = string(append(unescaped, text...))
			}
			return text, s.behindQuote()
		}
	}
	return "", false
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
