package http1

// A Decoder takes the body of a message off a buffer, whichever way its end is told. It is
// made by [Head.Decoder]; the zero value is of a message without a body.
type Decoder struct {
	left    Body // bytes still to come, or InChunks, or UntilClose
	chunked Chunked
}

// Decoder returns what takes the body of the message.
func (h Head) Decoder() Decoder { return Decoder{left: h.Body} }

// Next takes bytes off the beginning of b: n of them, of which data are the body's, and a
// part of b. At the end of the body, end is true; what is in b behind n is of the next
// message. If there is none, and no error, it is to be called again: with the rest of b, or
// more bytes. An error is an [*Error].
func (d *Decoder) Next(b []byte) (data []byte, n int, end bool, err error) {
	switch d.left {
	case InChunks:
		data, n, end, err = d.chunked.Next(b)
		if end {
			d.left = NoBody
		}
		return data, n, end, err
	case UntilClose:
		return b, len(b), false, nil
	}
	n = int(min(d.left, Body(len(b))))
	d.left -= Body(n)
	return b[:n], n, d.left == 0, nil
}

// Available returns how much of what is in b Next would return as data, all in all, up to the end
// of the body or an error.
func (d Decoder) Available(b []byte) (n int) {
	for len(b) > 0 {
		data, taken, end, err := d.Next(b)
		n += len(data)
		if end || err != nil || taken == 0 {
			break
		}
		b = b[taken:]
	}
	return n
}

// Closed says that the connection has ended: it returns whether the body has, too. If not,
// it has been cut off.
func (d *Decoder) Closed() bool { return d.left == UntilClose || d.left == NoBody }

// Left returns how many bytes of a body with a length are still to come, 0 of any other.
func (d *Decoder) Left() int64 { return int64(max(d.left, 0)) }

// Skip goes on by n bytes of a body with a length, which have been taken elsewhere, and
// returns whether that is its end.
func (d *Decoder) Skip(n int64) bool {
	d.left -= Body(n)
	return d.left == NoBody
}
