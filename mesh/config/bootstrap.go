package config

import (
	"fmt"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// A builder makes the model of messages. What the messages' own rules say has been checked
// by then; a value that was wrong is absent, and an error stands there already.
type builder struct {
	file   string
	root   *node
	inside *insides
	errors Errors
	wrong  map[string]bool // paths at or below which the decoder has found an error

	clusters map[string]*Cluster // by name
	refs     []reference         // to clusters, looked up at the end
	runtime  runtimeKeys

	regexLimit float64 // how many instructions a pattern may make
}

func newBuilder(root *node, d *decoder) *builder {
	b := &builder{file: d.file, root: root, inside: d.inside, errors: d.errors, wrong: make(map[string]bool)}
	for _, e := range d.errors {
		for i := range len(e.Path) {
			if e.Path[i] == '.' || e.Path[i] == '[' {
				b.wrong[e.Path[:i]] = true
			}
		}
		b.wrong[e.Path] = true
	}
	return b
}

// bad says what is wrong at a place.
func (b *builder) bad(p *place, format string, args ...any) {
	n := p.find(b.root)
	b.errors = append(b.errors, &Error{
		File: b.file, Line: int(n.line), Column: int(n.column),
		Path: p.String(), Text: oneLine(fmt.Sprintf(format, args...)),
	})
}

// missing says that an object lacks a field, unless what there is of it is wrong already.
func (b *builder) missing(p *place, field string) {
	at := p.to(field)
	if n := p.find(b.root); b.wrong[at.String()] || n.kind == scalar && !n.isNull() {
		return
	}
	if p.isThere(b.root, field) {
		b.bad(at, "%s is empty", at.find(b.root).show())
		return
	}
	b.bad(p, "%s is missing", field)
}

// spoilt returns whether what stands at a place, or within it, is wrong already.
func (b *builder) spoilt(p *place) bool { return b.wrong[p.String()] }

// any returns the message in a google.protobuf.Any, nil if there is none or it was wrong.
func (b *builder) any(a *anypb.Any) proto.Message {
	if a == nil {
		return nil
	}
	return b.inside.get(a)
}

func (b *builder) bootstrap(m *bootstrapv3.Bootstrap) *Bootstrap {
	model := &Bootstrap{NodeID: m.GetNode().GetId(), NodeCluster: m.GetNode().GetCluster()}
	b.readRuntime(m)
	if m.GetStatsFlushInterval() != nil && m.GetStatsFlushOnAdmin() {
		b.bad((*place)(nil).to("stats_flush_interval"), "not allowed with stats_flush_on_admin; only one of the two may be set")
	}
	static := (*place)(nil).to("static_resources")
	model.Clusters = b.buildClusters(static, m.GetStaticResources().GetClusters())
	model.Listeners = b.buildListeners(static, m.GetStaticResources().GetListeners())
	model.Admin = b.admin(m.GetAdmin())
	b.resolve()
	return model
}

// Dump returns the configuration in JSON with Envoy's field names, as /config_dump shows it.
// The text of the file is read again for that, which costs less than to keep all that it
// says. A Bootstrap that was not made by [Load] or [Parse] gives {}.
func (b *Bootstrap) Dump() []byte {
	root, err := parseText("", b.source)
	if b.source == "" || err != nil {
		return []byte("{}")
	}
	d := newDecoder("")
	d.inside.encoded = true
	text, _ := protojson.MarshalOptions{UseProtoNames: true}.Marshal(d.bootstrap(root))
	return text
}
