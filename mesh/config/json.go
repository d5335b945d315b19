package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// parseJSON reads JSON. An error of its syntax is the first one.
func parseJSON(file, text string) (*node, *Error) {
	text = strings.TrimPrefix(text, "\ufeff")
	j := &jsonReader{file: file, text: text, tokens: json.NewDecoder(strings.NewReader(text)), line: 1}
	j.tokens.UseNumber()
	if i := invalidUTF8(text); i >= 0 {
		return nil, j.wrong(i, fmt.Sprintf("not JSON: the byte %#02x is no UTF-8", text[i]))
	}
	root := new(node)
	if !j.value(root, 1) {
		return nil, j.err
	}
	if at := j.start(); at < len(text) {
		return nil, j.wrong(at, "not JSON: there is more behind the value")
	}
	return root, nil
}

func invalidUTF8(text string) int {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// A jsonReader makes nodes of tokens.
type jsonReader struct {
	file, text string
	tokens     *json.Decoder
	err        *Error

	// How far lines have been counted.
	at, line, lineStart int
}

// start returns where the next token begins.
func (j *jsonReader) start() int {
	at := int(j.tokens.InputOffset())
	for at < len(j.text) && strings.IndexByte(" \t\r\n,:", j.text[at]) >= 0 {
		at++
	}
	return at
}

// place returns the line and the column of a byte, which does not lie before those asked for earlier.
func (j *jsonReader) place(at int) (line, column int32) {
	for ; j.at < at; j.at++ {
		if j.text[j.at] == '\n' {
			j.line, j.lineStart = j.line+1, j.at+1
		}
	}
	return int32(j.line), int32(1 + utf8.RuneCountInString(j.text[j.lineStart:at]))
}

func (j *jsonReader) wrong(at int, text string) *Error {
	j.at, j.line, j.lineStart = 0, 1, 0 // it may lie before
	line, column := j.place(min(at, len(j.text)))
	return &Error{File: j.file, Line: int(line), Column: int(column), Text: text}
}

// value reads a value.
func (j *jsonReader) value(n *node, depth int) bool {
	from := j.start()
	token, err := j.tokens.Token()
	if err != nil {
		j.err = j.syntax(err)
		return false
	}
	n.line, n.column = j.place(from)
	if depth > maxDepth {
		j.err = j.wrong(from, fmt.Sprintf("lies more than %d values deep", maxDepth))
		return false
	}
	switch v := token.(type) {
	case json.Delim:
		if v == '{' {
			n.kind = mapping
		} else {
			n.kind = list
		}
		return j.kids(n, depth)
	case string:
		n.text = v
		if strings.ContainsRune(v, utf8.RuneError) && !strings.ContainsRune(j.text[from:j.tokens.InputOffset()], utf8.RuneError) &&
			!strings.Contains(strings.ToLower(j.text[from:j.tokens.InputOffset()]), `\ufffd`) {
			j.err = j.wrong(from, "not JSON: half of a surrogate pair")
			return false
		}
	case json.Number:
		n.text, n.plain = v.String(), true
	case bool:
		n.text, n.plain = fmt.Sprint(v), true
	case nil:
		n.text, n.plain = "null", true
	}
	return true
}

// kids reads what is in an object or a list, and its end.
func (j *jsonReader) kids(n *node, depth int) bool {
	for j.tokens.More() {
		n.kids = append(n.kids, node{})
		if !j.value(&n.kids[len(n.kids)-1], depth+1) {
			return false
		}
		if i := len(n.kids) - 1; n.kind == mapping && i%2 == 1 {
			n.kids[i].placeBy(&n.kids[i-1])
		}
	}
	if _, err := j.tokens.Token(); err != nil {
		j.err = j.syntax(err)
		return false
	}
	return true
}

// syntax is an error of the syntax.
func (j *jsonReader) syntax(err error) *Error {
	var syntax *json.SyntaxError
	var whole json.RawMessage
	// The offset in an error of a stream is not that in the text.
	if errors.As(err, &syntax) && errors.As(json.Unmarshal([]byte(j.text), &whole), &syntax) {
		return j.wrong(max(0, int(syntax.Offset)-1), "not JSON: "+syntax.Error())
	}
	return j.wrong(len(j.text), "not JSON: unexpected end of JSON input")
}
