package config

import (
	"slices"
	"strings"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

func (b *builder) healthCheck(p *place, m *corev3.HealthCheck) *HealthCheck {
	h := &HealthCheck{
		Timeout:               m.GetTimeout().AsDuration(),
		Interval:              m.GetInterval().AsDuration(),
		InitialJitter:         m.GetInitialJitter().AsDuration(),
		IntervalJitter:        m.GetIntervalJitter().AsDuration(),
		IntervalJitterPercent: m.GetIntervalJitterPercent(),
		UnhealthyThreshold:    m.GetUnhealthyThreshold().GetValue(),
		HealthyThreshold:      m.GetHealthyThreshold().GetValue(),
		NoTrafficInterval:     durationOr(m.GetNoTrafficInterval(), 60*time.Second),
	}
	h.NoTrafficHealthyInterval = durationOr(m.GetNoTrafficHealthyInterval(), h.NoTrafficInterval)
	h.UnhealthyInterval = durationOr(m.GetUnhealthyInterval(), h.Interval)
	h.UnhealthyEdgeInterval = durationOr(m.GetUnhealthyEdgeInterval(), h.UnhealthyInterval)
	h.HealthyEdgeInterval = durationOr(m.GetHealthyEdgeInterval(), h.Interval)
	if port := m.GetAltPort().GetValue(); port <= 65535 {
		h.AltPort = uint16(port)
	} else {
		b.bad(p.to("alt_port"), "%d is not allowed; it has to be at most 65535", port)
	}
	if http := m.GetHttpHealthCheck(); http != nil {
		h.HTTP = b.httpCheck(p.to("http_health_check"), http)
	}
	if tcp := m.GetTcpHealthCheck(); tcp != nil {
		at := p.to("tcp_health_check")
		h.TCP = new(TCPCheck)
		if tcp.GetSend() != nil {
			h.TCP.Send = b.payload(at.to("send"), tcp.GetSend())
		}
		for i, receive := range tcp.GetReceive() {
			h.TCP.Receive = append(h.TCP.Receive, b.payload(at.at("receive", i), receive))
		}
	}
	return h
}

func (b *builder) httpCheck(p *place, m *corev3.HealthCheck_HttpHealthCheck) *HTTPCheck {
	h := &HTTPCheck{
		Host: m.GetHost(), Path: m.GetPath(), Method: m.GetMethod().String(),
		Expected:  b.statuses(p.to("expected_statuses"), m.GetExpectedStatuses()),
		Retriable: b.statuses(p.to("retriable_statuses"), m.GetRetriableStatuses()),
		Add:       b.headersToAdd(p.to("request_headers_to_add"), m.GetRequestHeadersToAdd()),
		Remove:    b.headersToRemove(p.to("request_headers_to_remove"), m.GetRequestHeadersToRemove()),
	}
	if m.GetMethod() == corev3.RequestMethod_METHOD_UNSPECIFIED {
		h.Method = "GET"
	}
	if len(h.Expected) == 0 {
		h.Expected = []Range{{200, 201}}
	}
	if send := m.GetSend(); send != nil {
		h.Send = append(h.Send, b.payload(p.to("send"), send))
		if !slices.Contains([]string{"POST", "PUT", "PATCH", "OPTIONS"}, h.Method) {
			b.bad(p.to("send"), "not allowed with method %s; it has to be POST, PUT, PATCH or OPTIONS", h.Method)
		}
	}
	for i, receive := range m.GetReceive() {
		h.Receive = append(h.Receive, b.payload(p.at("receive", i), receive))
	}
	if strings.ContainsAny(h.Path, "\r\n\x00") {
		b.bad(p.to("path"), "%q is not allowed; it has to be a path", h.Path)
	}
	return h
}

func (b *builder) statuses(p *place, ranges []*typev3.Int64Range) []Range {
	var all []Range
	for i, r := range ranges {
		if b.spoilt(p.item(i)) {
			continue
		}
		if r.GetStart() < 100 || r.GetEnd() > 600 || r.GetStart() >= r.GetEnd() {
			b.bad(p.item(i), "from %d to %d is not allowed; start has to be at least 100, and end greater than it and at most 600", r.GetStart(), r.GetEnd())
		}
		all = append(all, Range{r.GetStart(), r.GetEnd()})
	}
	return all
}
