package forwarding

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/maglev-lb/maglev/mesh/message"
)

// identify gives the request an ID, unless it has one that is to be kept.
func (r *Rules) identify(ex *message.Exchange, s *State, edge bool, random [2]uint64) {
	q := &ex.Request
	id, has := q.Fields.Get("x-request-id")
	s.force = q.Fields.Has("x-envoy-force-trace")
	if r.h.GenerateRequestID {
		switch {
		case id == "" || edge && !r.h.PreserveRequestID:
			id = uuid(random)
			q.Fields.Set("x-request-id", id)
		case edge && r.h.PackRequestID && len(id) == len(uuidForm) && id[traceAt] != notTraced:
			// A client does not say what is to be traced.
			b := []byte(id)
			b[traceAt] = notTraced
			id = string(b)
			q.Fields.Set("x-request-id", id)
		}
	} else if !has {
		return
	}
	ex.RequestID = id
}

const (
	uuidForm = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx"
	// traceAt is where an ID says whether the request is traced, in place of the UUID's
	// version, and notTraced is that it is not.
	traceAt, notTraced = 14, '4'
)

// uuid returns a UUID of random bits (RFC 9562, section 5.4).
func uuid(random [2]uint64) string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:8], random[0])
	binary.BigEndian.PutUint64(raw[8:], random[1])
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	var text [len(uuidForm)]byte
	hex.Encode(text[:8], raw[:4])
	text[8] = '-'
	hex.Encode(text[9:13], raw[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], raw[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], raw[8:10])
	text[23] = '-'
	hex.Encode(text[24:], raw[10:])
	return string(text[:])
}
