package http1

// A Chunked takes a body in chunks (RFC 9112, section 7.1) off a buffer. Extensions of
// chunks and trailers are checked and left out. The zero value is at the beginning of a
// body.
type Chunked struct {
	state state
	left  uint64 // bytes of the chunk, or the size so far
	digit int    // of the size
	line  int    // bytes of the extensions, or of the trailers
	blank bool   // so far
}

type state uint8

const (
	inSize state = iota
	inBlank
	inExtension
	inSizeLF
	inData
	inDataCR
	inDataLF
	inTrailer // at the beginning of a line
	inTrailerName
	inTrailerValue
	inTrailerLF
	inLastLF
	atEnd
)

// maxChunkLine bounds what nobody looks at: the extensions of a chunk, and all trailers.
const maxChunkLine = 8 << 10

// Next takes bytes off the beginning of b: n of them, of which data are the body's, and a
// part of b. They are data of one chunk at most; if n is less than len(b) and it is not
// the end, it is to be called again. An error is an [*Error].
func (c *Chunked) Next(b []byte) (data []byte, n int, end bool, err error) {
	for n < len(b) {
		if c.state == inData {
			take := min(uint64(len(b)-n), c.left)
			data = b[n : n+int(take)]
			n += int(take)
			c.left -= take
			if c.left == 0 {
				c.state = inDataCR
			}
			return data, n, false, nil
		}
		if !c.step(b[n]) {
			if c.line > maxChunkLine {
				return nil, n, false, errChunkLine
			}
			return nil, n, false, errChunk
		}
		n++
		if c.state == atEnd {
			*c = Chunked{}
			return nil, n, true, nil
		}
	}
	return nil, n, false, nil
}

// step goes on by one byte that is not data, and returns whether it may stand there.
func (c *Chunked) step(b byte) bool {
	switch c.state {
	case inSize:
		if d := hex(b); d >= 0 {
			c.digit++
			c.left = c.left<<4 | uint64(d)
			return c.digit <= 15 // less than 2^60
		}
		if c.digit == 0 {
			return false
		}
		c.line = 0
		c.state = inBlank
		return c.step(b)
	case inBlank: // RFC 9112, section 7.1.1: before the semicolon only
		switch b {
		case ';':
			c.state = inExtension
		case '\r':
			c.state = inSizeLF
			return !c.blank
		case ' ', '\t':
			c.blank = true
		default:
			return false
		}
		return c.count()
	case inExtension:
		if b == '\r' {
			c.state = inSizeLF
			return true
		}
		return kind[b]&inValue != 0 && c.count()
	case inSizeLF:
		c.digit, c.blank = 0, false
		c.state = inData
		if c.left == 0 {
			c.state, c.line = inTrailer, 0
		}
		return b == '\n'
	case inDataCR:
		c.state = inDataLF
		return b == '\r'
	case inDataLF:
		c.state = inSize
		return b == '\n'
	case inTrailer:
		if b == '\r' {
			c.state = inLastLF
			return true
		}
		c.state = inTrailerName
		return lower[b] != 0 && c.count()
	case inTrailerName:
		if b == ':' {
			c.state = inTrailerValue
			return c.count()
		}
		return lower[b] != 0 && c.count()
	case inTrailerValue:
		if b == '\r' {
			c.state = inTrailerLF
			return true
		}
		return kind[b]&inValue != 0 && c.count()
	case inTrailerLF:
		c.state = inTrailer
		return b == '\n'
	case inLastLF:
		c.state = atEnd
		return b == '\n'
	}
	return false
}

// count counts a byte of what nobody looks at.
func (c *Chunked) count() bool {
	c.line++
	return c.line <= maxChunkLine
}

func hex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
