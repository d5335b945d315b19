package config

//lint:file-ignore SA1019 Configurations in service still have the deprecated fields, and Envoy reads them.

import (
	"os"
	"path/filepath"

	"github.com/maglev-lb/maglev/mesh/format"

	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	filelogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/file/v3"
	streamlogv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/stream/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

func (b *builder) accessLogs(p *place, messages []*accesslogv3.AccessLog) []*AccessLog {
	var logs []*AccessLog
	for i, m := range messages {
		at := p.at("access_log", i)
		log := &AccessLog{Filter: b.logFilter(at.to("filter"), m.GetFilter())}
		typed := at.to("typed_config")
		var config *corev3.SubstitutionFormatString
		switch logger := b.any(m.GetTypedConfig()).(type) {
		case nil:
			if m.GetTypedConfig() == nil {
				b.missing(at, "typed_config")
			}
			continue
		case *filelogv3.FileAccessLog:
			log.Path = logger.GetPath()
			b.checkLogFile(typed.to("path"), log.Path)
			config = logger.GetLogFormat()
			log.Format = b.oldFormat(typed, logger)
		case *streamlogv3.StdoutAccessLog:
			log.Path, config = "/dev/stdout", logger.GetLogFormat()
		case *streamlogv3.StderrAccessLog:
			log.Path, config = "/dev/stderr", logger.GetLogFormat()
		default:
			b.wrongType(typed, m.GetTypedConfig(), "file.v3.FileAccessLog", "stream.v3.StdoutAccessLog", "stream.v3.StderrAccessLog")
			continue
		}
		if config != nil {
			log.Format = *b.bodyFormat(typed.to("log_format"), config)
		}
		if log.Format.Text == nil && log.Format.JSON == nil {
			log.Format.Text = format.DefaultLog()
		}
		logs = append(logs, log)
	}
	return logs
}

// checkLogFile refuses a path that cannot be written: a directory, or one whose directory is
// not there.
func (b *builder) checkLogFile(p *place, path string) {
	if path == "" {
		return // refused already
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		b.bad(p, "%q is not allowed: it is a directory", path)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		b.bad(p, "%q is not allowed: its directory: %v", path, reason(err))
	}
}

// oldFormat reads the fields that were there before log_format.
func (b *builder) oldFormat(p *place, m *filelogv3.FileAccessLog) BodyFormat {
	switch f := m.GetAccessLogFormat().(type) {
	case *filelogv3.FileAccessLog_Format:
		if f.Format != "" {
			return BodyFormat{Text: b.format(p.to("format"), f.Format)}
		}
	case *filelogv3.FileAccessLog_JsonFormat:
		return BodyFormat{JSON: b.json(p.to("json_format"), f.JsonFormat, false)}
	case *filelogv3.FileAccessLog_TypedJsonFormat:
		return BodyFormat{JSON: b.json(p.to("typed_json_format"), f.TypedJsonFormat, false)}
	}
	return BodyFormat{}
}

func (b *builder) bodyFormat(p *place, m *corev3.SubstitutionFormatString) *BodyFormat {
	f := &BodyFormat{OmitEmpty: m.GetOmitEmptyValues(), ContentType: m.GetContentType()}
	switch v := m.GetFormat().(type) {
	case *corev3.SubstitutionFormatString_TextFormat:
		f.Text = b.format(p.to("text_format"), v.TextFormat)
	case *corev3.SubstitutionFormatString_TextFormatSource:
		source := p.to("text_format_source")
		at := source
		if _, inline := v.TextFormatSource.GetSpecifier().(*corev3.DataSource_InlineString); inline {
			at = source.to("inline_string")
		}
		f.Text = b.format(at, b.dataSource(source, v.TextFormatSource))
	case *corev3.SubstitutionFormatString_JsonFormat:
		f.JSON = b.json(p.to("json_format"), v.JsonFormat, f.OmitEmpty)
	}
	return f
}

func (b *builder) json(p *place, m *structpb.Struct, omitEmpty bool) *format.JSON {
	f, err := format.ParseJSON(m.AsMap(), omitEmpty)
	if err != nil {
		before := len(b.errors)
		for name, value := range m.GetFields() {
			b.jsonValue(p.to(quotedField(name)), value)
		}
		if len(b.errors) == before { // it is not one of the texts
			b.bad(p, "not allowed: %v", err)
		}
		f, _ = format.ParseJSON(nil, omitEmpty)
	}
	return f
}

// jsonValue finds the texts in a JSON format that are wrong.
func (b *builder) jsonValue(p *place, v *structpb.Value) {
	switch v := v.GetKind().(type) {
	case *structpb.Value_StringValue:
		b.format(p, v.StringValue)
	case *structpb.Value_StructValue:
		for name, value := range v.StructValue.GetFields() {
			b.jsonValue(p.to(quotedField(name)), value)
		}
	case *structpb.Value_ListValue:
		for i, value := range v.ListValue.GetValues() {
			b.jsonValue(p.item(i), value)
		}
	}
}

func (b *builder) localReply(p *place, m *hcmv3.LocalReplyConfig) *LocalReplyConfig {
	if m == nil {
		return nil
	}
	l := new(LocalReplyConfig)
	for i, mapper := range m.GetMappers() {
		at := p.at("mappers", i)
		r := LocalReplyMapper{
			Filter:  b.logFilter(at.to("filter"), mapper.GetFilter()),
			Status:  int(mapper.GetStatusCode().GetValue()),
			Headers: b.headersToAdd(at.to("headers_to_add"), mapper.GetHeadersToAdd()),
		}
		if mapper.GetBody() != nil {
			body := b.dataSource(at.to("body"), mapper.GetBody())
			r.Body = &body
		}
		if mapper.GetBodyFormatOverride() != nil {
			r.Format = b.bodyFormat(at.to("body_format_override"), mapper.GetBodyFormatOverride())
		}
		l.Mappers = append(l.Mappers, r)
	}
	if m.GetBodyFormat() != nil {
		l.Body = b.bodyFormat(p.to("body_format"), m.GetBodyFormat())
	}
	return l
}
