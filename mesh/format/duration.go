package format

import (
	"strings"
	"time"

	"github.com/maglev-lb/maglev/mesh/message"
)

// A moment returns when something happened after the start of an exchange, and false if
// it has not.
type moment func(ex *message.Exchange) (time.Duration, bool)

// moments are the points in time that COMMON_DURATION takes, by Envoy's names.
var moments = map[string]moment{
	"DS_RX_BEG": func(*message.Exchange) (time.Duration, bool) { return 0, true },
	"DS_RX_END": point(func(p *message.Points) time.Duration { return p.RequestRead }),
	"US_TX_BEG": point(func(p *message.Points) time.Duration { return p.UpstreamFirstSent }),
	"US_TX_END": point(func(p *message.Points) time.Duration { return p.UpstreamSent }),
	"US_RX_BEG": point(func(p *message.Points) time.Duration { return p.UpstreamFirstRead }),
	"US_RX_END": point(func(p *message.Points) time.Duration { return p.UpstreamRead }),
	"DS_TX_BEG": point(func(p *message.Points) time.Duration { return p.FirstSent }),
	"DS_TX_END": point(func(p *message.Points) time.Duration { return p.Sent }),
	"US_HS_END": func(*message.Exchange) (time.Duration, bool) { return 0, false }, // of TLS
}

func point(of func(*message.Points) time.Duration) moment {
	return func(ex *message.Exchange) (time.Duration, bool) {
		d := of(&ex.Points)
		return d, d > 0
	}
}

// duration is how long an exchange took, or has taken up to now.
func duration(ex *message.Exchange) (int64, bool) {
	switch {
	case ex.Points.End > 0:
		return ex.Points.End.Milliseconds(), true
	case ex.Start.IsZero():
		return 0, true
	}
	return max(0, time.Since(ex.Start).Milliseconds()), true
}

// between is the time between two moments in milliseconds, absent if one of them has not
// come, or if they came the other way round.
func between(from, to string) func(*message.Exchange) (int64, bool) {
	return span(moments[from], moments[to], time.Millisecond)
}

func span(from, to moment, unit time.Duration) func(*message.Exchange) (int64, bool) {
	return func(ex *message.Exchange) (int64, bool) {
		start, ok1 := from(ex)
		end, ok2 := to(ex)
		if !ok1 || !ok2 || end < start {
			return 0, false
		}
		return int64((end - start) / unit), true
	}
}

// commonDurationValue is %COMMON_DURATION(from:to:ms|us|ns)%; milliseconds are the default.
func commonDurationValue(param string) (value, error) {
	parts := strings.Split(param, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return value{}, invalid("COMMON_DURATION does not take %q; it takes two moments and a unit, DS_RX_BEG:DS_TX_END:us", param)
	}
	unit := time.Millisecond
	if len(parts) == 3 {
		switch parts[2] {
		case "ms":
		case "us":
			unit = time.Microsecond
		case "ns":
			unit = time.Nanosecond
		default:
			return value{}, invalid("COMMON_DURATION does not take the unit %q; it takes ms, us, ns", parts[2])
		}
	}
	var ends [2]moment
	for i, name := range parts[:2] {
		m, ok := moments[name]
		if !ok {
			return value{}, unsupportedError("the moment %q is not measured; DS_RX_BEG, DS_RX_END, US_TX_BEG, US_TX_END, "+
				"US_RX_BEG, US_RX_END, DS_TX_BEG and DS_TX_END are", name)
		}
		ends[i] = m
	}
	return number(span(ends[0], ends[1], unit)), nil
}
