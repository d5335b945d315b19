package config

import (
	"math/rand/v2"
	"strings"

	"github.com/maglev-lb/maglev/mesh/format"
	"github.com/maglev-lb/maglev/mesh/message"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// logFilter returns nil for no filter.
func (b *builder) logFilter(p *place, m *accesslogv3.AccessLogFilter) LogFilter {
	switch f := m.GetFilterSpecifier().(type) {
	case *accesslogv3.AccessLogFilter_StatusCodeFilter:
		holds := b.comparison(f.StatusCodeFilter.GetComparison())
		return func(ex *message.Exchange) bool { return holds(uint64(ex.Response.Status)) }
	case *accesslogv3.AccessLogFilter_DurationFilter:
		holds := b.comparison(f.DurationFilter.GetComparison())
		return func(ex *message.Exchange) bool { return holds(uint64(ex.Points.End.Milliseconds())) }
	case *accesslogv3.AccessLogFilter_NotHealthCheckFilter:
		return func(ex *message.Exchange) bool { return !strings.HasPrefix(ex.Details, "health_check") }
	case *accesslogv3.AccessLogFilter_RuntimeFilter:
		return sample(b.fraction(&corev3.RuntimeFractionalPercent{
			DefaultValue: f.RuntimeFilter.GetPercentSampled(), RuntimeKey: f.RuntimeFilter.GetRuntimeKey(),
		}))
	case *accesslogv3.AccessLogFilter_AndFilter:
		all := b.logFilters(p.to("and_filter"), f.AndFilter.GetFilters())
		return func(ex *message.Exchange) bool {
			for _, filter := range all {
				if !filter(ex) {
					return false
				}
			}
			return true
		}
	case *accesslogv3.AccessLogFilter_OrFilter:
		all := b.logFilters(p.to("or_filter"), f.OrFilter.GetFilters())
		return func(ex *message.Exchange) bool {
			for _, filter := range all {
				if filter(ex) {
					return true
				}
			}
			return false
		}
	case *accesslogv3.AccessLogFilter_HeaderFilter:
		match := b.headerMatch(p.to("header_filter").to("header"), f.HeaderFilter.GetHeader())
		return func(ex *message.Exchange) bool { return match.MatchesRequest(&ex.Request) }
	case *accesslogv3.AccessLogFilter_ResponseFlagFilter:
		if len(f.ResponseFlagFilter.GetFlags()) == 0 {
			return func(ex *message.Exchange) bool { return ex.Flags != 0 }
		}
		var mask message.Flags
		for _, name := range f.ResponseFlagFilter.GetFlags() {
			flag, _ := format.FlagNamed(name) // those of what is not there, such as 0-RTT, are never set
			mask |= flag
		}
		return func(ex *message.Exchange) bool { return ex.Flags&mask != 0 }
	}
	return nil
}

func (b *builder) logFilters(p *place, messages []*accesslogv3.AccessLogFilter) []LogFilter {
	var all []LogFilter
	for i, m := range messages {
		if filter := b.logFilter(p.at("filters", i), m); filter != nil {
			all = append(all, filter)
		}
	}
	return all
}

func (b *builder) comparison(m *accesslogv3.ComparisonFilter) func(v uint64) bool {
	bound := uint64(b.uint32(m.GetValue()))
	switch m.GetOp() {
	case accesslogv3.ComparisonFilter_GE:
		return func(v uint64) bool { return v >= bound }
	case accesslogv3.ComparisonFilter_LE:
		return func(v uint64) bool { return v <= bound }
	case accesslogv3.ComparisonFilter_NE:
		return func(v uint64) bool { return v != bound }
	}
	return func(v uint64) bool { return v == bound }
}

// sample lets a share of exchanges through.
func sample(f Fraction) LogFilter {
	return func(*message.Exchange) bool { return f.Numerator > 0 && rand.Uint32N(f.Denominator) < f.Numerator }
}
