package config

//lint:file-ignore SA1019 Configurations in service still have the deprecated fields, and Envoy reads them.

import (
	"strings"

	"github.com/maglev-lb/maglev/mesh/format"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// mutates is what a table, a virtual host, a route and a weighted cluster have in common.
type mutates interface {
	GetRequestHeadersToAdd() []*corev3.HeaderValueOption
	GetRequestHeadersToRemove() []string
	GetResponseHeadersToAdd() []*corev3.HeaderValueOption
	GetResponseHeadersToRemove() []string
}

func (b *builder) mutations(p *place, m mutates) HeaderMutations {
	return HeaderMutations{
		Request:        b.headersToAdd(p.to("request_headers_to_add"), m.GetRequestHeadersToAdd()),
		RequestRemove:  b.headersToRemove(p.to("request_headers_to_remove"), m.GetRequestHeadersToRemove()),
		Response:       b.headersToAdd(p.to("response_headers_to_add"), m.GetResponseHeadersToAdd()),
		ResponseRemove: b.headersToRemove(p.to("response_headers_to_remove"), m.GetResponseHeadersToRemove()),
	}
}

// isFixed reports whether a header may not be changed.
func isFixed(name string) bool { return name != "" && name[0] == ':' || name == "host" }

const fixedText = `%q may not be changed; headers that begin with a colon, and host, may not`

func (b *builder) headersToAdd(p *place, options []*corev3.HeaderValueOption) []HeaderMutation {
	var mutations []HeaderMutation
	for i, m := range options {
		header := p.item(i).to("header")
		h := HeaderMutation{Name: strings.ToLower(m.GetHeader().GetKey()), KeepEmpty: m.GetKeepEmptyValue()}
		if isFixed(h.Name) {
			b.bad(header.to("key"), fixedText, m.GetHeader().GetKey())
		}
		h.Value = b.format(header.to("value"), m.GetHeader().GetValue())
		switch m.GetAppendAction() {
		case corev3.HeaderValueOption_ADD_IF_ABSENT:
			h.Action = AddIfAbsent
		case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD:
			h.Action = OverwriteOrAdd
		case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:
			h.Action = OverwriteIfExists
		}
		if m.GetAppend() != nil {
			if h.Action != AppendOrAdd {
				b.bad(p.item(i).to("append"), "not allowed with append_action; only one of the two may be set")
			}
			if !m.GetAppend().GetValue() {
				h.Action = OverwriteOrAdd
			}
		}
		mutations = append(mutations, h)
	}
	return mutations
}

func (b *builder) headersToRemove(p *place, names []string) []string {
	var removed []string
	for i, name := range names {
		name = strings.ToLower(name)
		if isFixed(name) {
			b.bad(p.item(i), fixedText, names[i])
		}
		removed = append(removed, name)
	}
	return removed
}

// format parses a text with operators. Many texts have none, and many are the same.
func (b *builder) format(p *place, text string) *format.Format {
	f, err := format.Parse(text)
	if err != nil {
		b.bad(p, "%q is not allowed: %v", text, err)
		f, _ = format.Parse("")
	}
	return f
}

// limits is what virtual hosts and routes have in common to bound the bodies of requests
// that are kept for another attempt.
type limits interface {
	GetPerRequestBufferLimitBytes() *wrapperspb.UInt32Value
	GetRequestBodyBufferLimit() *wrapperspb.UInt64Value
}

func bufferLimit(m limits) *uint64 {
	if limit := m.GetRequestBodyBufferLimit(); limit != nil {
		return &limit.Value
	}
	if limit := m.GetPerRequestBufferLimitBytes(); limit != nil {
		wide := uint64(limit.GetValue())
		return &wide
	}
	return nil
}
