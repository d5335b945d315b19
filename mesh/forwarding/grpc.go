package forwarding

import (
	"strconv"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/message"
)

const grpcType = "application/grpc"

// GRPCStatus returns the grpc-status that stands for a status of HTTP.
func GRPCStatus(status int) int {
	switch status {
	case 400:
		return 13 // INTERNAL
	case 401:
		return 16 // UNAUTHENTICATED
	case 403:
		return 7 // PERMISSION_DENIED
	case 404:
		return 12 // UNIMPLEMENTED
	case 429, 502, 503, 504:
		return 14 // UNAVAILABLE
	}
	return 2 // UNKNOWN
}

// percentEncode writes a text as grpc-message has it.
func percentEncode(text string) string {
	n := 0
	for i := range len(text) {
		if !plain(text[i]) {
			n++
		}
	}
	if n == 0 {
		return text
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(text)+2*n)
	for i := range len(text) {
		if c := text[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}

func plain(c byte) bool { return c >= ' ' && c < '~' && c != '%' }

// grpcTimeout reads the field grpc-timeout: up to 8 digits and a unit. What is smaller than a
// millisecond is one.
func grpcTimeout(fields message.Fields) (time.Duration, bool) {
	value, _ := fields.Get("grpc-timeout")
	if len(value) < 2 || len(value) > 9 || value[0] == '+' {
		return 0, false
	}
	n, err := strconv.ParseUint(value[:len(value)-1], 10, 64)
	if err != nil {
		return 0, false
	}
	var unit time.Duration
	switch value[len(value)-1] {
	case 'H':
		unit = time.Hour
	case 'M':
		unit = time.Minute
	case 'S':
		unit = time.Second
	case 'm':
		unit = time.Millisecond
	case 'u':
		unit = time.Microsecond
	case 'n':
		unit = time.Nanosecond
	default:
		return 0, false
	}
	if n > uint64((1<<63-1)/unit) {
		return 1<<63 - 1, true
	}
	d := time.Duration(n) * unit
	if rest := d % time.Millisecond; rest != 0 {
		d += time.Millisecond - rest
	}
	return d, true
}

// grpcTimeoutText writes a grpc-timeout, in the smallest unit that 8 digits suffice for.
func grpcTimeoutText(d time.Duration) string {
	const most = 99999999
	switch {
	case d/time.Millisecond <= most:
		return strconv.FormatInt(d.Milliseconds(), 10) + "m"
	case d/time.Second <= most:
		return strconv.FormatInt(int64(d/time.Second), 10) + "S"
	case d/time.Minute <= most:
		return strconv.FormatInt(int64(d/time.Minute), 10) + "M"
	}
	return strconv.FormatInt(int64(d/time.Hour), 10) + "H"
}

// legacyTimeout is the timeout of a gRPC request by the deprecated max_grpc_timeout and
// grpc_timeout_offset.
func legacyTimeout(fields message.Fields, f *config.Forward) time.Duration {
	timeout, _ := grpcTimeout(fields)
	if offset := f.GRPCTimeoutOffset; offset != nil && *offset < timeout {
		timeout -= *offset
	}
	if most := *f.MaxGRPCTimeout; most != 0 && (timeout == 0 || timeout > most) {
		timeout = most
	}
	return timeout
}

// maxDuration finds out how long the stream may take, by max_stream_duration of the route or of
// the connection manager and the client's grpc-timeout.
func (r *Rules) maxDuration(q *message.Request, s *State, f *config.Forward, p *Plan) {
	timeout, given := grpcTimeout(q.Fields)
	switch m := f.MaxStream; {
	case given && m != nil && m.GRPCHeaderMax != nil:
		p.MaxDuration, p.HasMaxDuration = timeout, true
		if most := *m.GRPCHeaderMax; most != 0 && timeout > most {
			p.MaxDuration = most
		}
		p.MaxDuration = max(0, p.MaxDuration-m.GRPCHeaderOffset)
	case m != nil && m.Max != nil:
		p.MaxDuration, p.HasMaxDuration = *m.Max, *m.Max != 0
	default:
		p.MaxDuration, p.HasMaxDuration = r.h.MaxStreamDuration, r.h.MaxStreamDuration != 0
	}
	if s.GRPC && p.HasMaxDuration {
		q.Fields.Set("grpc-timeout", grpcTimeoutText(p.MaxDuration))
	}
}
