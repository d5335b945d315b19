package http1

// A Body says where the body of a message ends.
type Body int64

const (
	// InChunks is a body whose end its chunks tell.
	InChunks Body = -1
	// UntilClose is a body that ends with the connection. Only answers have it.
	UntilClose Body = -2
	// NoBody is what has none. A number above it is a length in bytes.
	NoBody Body = 0
)

// framing is what the fields of a head say about the message and its connection.
type framing struct {
	length     Body // of Content-Length
	hasLength  bool
	chunked    bool
	unknown    bool // transfer codings that are not one chunked
	hosts      int
	host       []byte
	close      bool // Connection has it
	keepAlive  bool
	upgrade    bool // Connection has it
	expect     bool // Expect is 100-continue
	expected   bool // there is one
	connection bool // there is one
}

// take looks at a field.
func (f *framing) take(name, value []byte) error {
	switch string(name) {
	case "content-length":
		if f.hasLength {
			return errLength
		}
		n, ok := number(value)
		if !ok {
			return errLength
		}
		f.length, f.hasLength = n, true
	case "transfer-encoding":
		if f.chunked || !equal(value, "chunked") {
			f.unknown = true
		}
		f.chunked = true
	case "host":
		f.hosts++
		f.host = value
	case "connection":
		f.connection = true
		f.options(value)
	case "proxy-connection":
		// What some clients take for Connection; of its options only this one can do no harm.
		f.close = f.close || equal(value, "close")
	case "expect":
		// Two of them are one that is unknown.
		f.expect = !f.expected && equal(value, "100-continue")
		f.expected = true
	}
	return nil
}

// options looks at the value of a Connection.
func (f *framing) options(value []byte) {
	for len(value) > 0 {
		var option []byte
		option, value = item(value)
		switch {
		case equal(option, "close"):
			f.close = true
		case equal(option, "keep-alive"):
			f.keepAlive = true
		case equal(option, "upgrade"):
			f.upgrade = true
		}
	}
}

// item returns the first item of a list, and what is behind its comma.
func item(list []byte) (first, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trim(list[:i]), list[i+1:]
		}
	}
	return trim(list), nil
}

// number reads decimal digits, up to 18 of them: no sign, no list.
func number(b []byte) (Body, bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n Body
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + Body(c-'0')
	}
	return n, true
}

// body returns where the body of a message with such fields ends, and none for one
// without.
func (f *framing) body(minor int, none Body) (Body, error) {
	switch {
	case f.chunked && f.hasLength:
		return 0, errLengthAndTE
	case f.unknown:
		return 0, errCoding
	case f.chunked && minor == 0:
		return 0, errCodingIn10
	case f.chunked:
		return InChunks, nil
	case f.hasLength:
		return f.length, nil
	}
	return none, nil
}
