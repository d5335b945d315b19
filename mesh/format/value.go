package format

import (
	"strconv"

	"github.com/maglev-lb/maglev/mesh/message"
)

// A use is what a format is written for. The two operators that tell uses apart are
// %LOCAL_REPLY_BODY% and %ACCESS_LOG_TYPE%.
type use uint8

const (
	inLog use = iota
	inHeader
	inBody
)

// A value is what an operator gives of an exchange, and false if it gives nothing. One of
// its functions is not nil; which one it is tells how JSON writes it: a number is one
// there too.
type value struct {
	text   func(ex *message.Exchange) (string, bool)
	number func(ex *message.Exchange) (int64, bool)
	write  func(b []byte, ex *message.Exchange, u use) ([]byte, bool) // a text that stands nowhere yet

	limited bool
	limit   int // how many bytes of a text are written, if it is limited
}

// cut returns as much of a text as is to be written.
func (v *value) cut(s string) string {
	if v.limited && len(s) > v.limit {
		return s[:v.limit]
	}
	return s
}

func (v *value) append(b []byte, ex *message.Exchange, u use) ([]byte, bool) {
	switch {
	case v.text != nil:
		s, ok := v.text(ex)
		return append(b, v.cut(s)...), ok
	case v.number != nil:
		n, ok := v.number(ex)
		if !ok {
			return b, false
		}
		return strconv.AppendInt(b, n, 10), true
	default:
		start := len(b)
		b, ok := v.write(b, ex, u)
		if v.limited && len(b)-start > v.limit {
			b = b[:start+v.limit]
		}
		return b, ok
	}
}

// always is the value of an operator that never changes.
func always(s string) value {
	return value{text: func(*message.Exchange) (string, bool) { return s, true }}
}

// never is the value of an operator that there is nothing for.
func never() value {
	return value{text: func(*message.Exchange) (string, bool) { return "", false }}
}

// text is a value that is absent where it is empty.
func text(of func(ex *message.Exchange) string) value {
	return value{text: func(ex *message.Exchange) (string, bool) {
		s := of(ex)
		return s, s != ""
	}}
}

// count is a number that is always there.
func count(of func(ex *message.Exchange) uint64) value {
	return value{number: func(ex *message.Exchange) (int64, bool) { return int64(of(ex)), true }}
}

// number is a number that may be absent.
func number(of func(ex *message.Exchange) (int64, bool)) value { return value{number: of} }

// written is a text that is put together while it is appended.
func written(write func(b []byte, ex *message.Exchange) ([]byte, bool)) value {
	return value{write: func(b []byte, ex *message.Exchange, _ use) ([]byte, bool) { return write(b, ex) }}
}
