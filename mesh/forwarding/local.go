package forwarding

import (
	"strconv"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/route"
)

// A Reply is an answer that the proxy itself gives.
type Reply struct {
	// Status is the answer's.
	Status int
	// Body is a text, or "".
	Body string
	// Details say how it came about: Envoy's response code details.
	Details string
	// Flags say what went wrong.
	Flags message.Flags
	// GRPC is the grpc-status, if HasGRPC. Default: the one that stands for Status.
	GRPC    int
	HasGRPC bool
	// Close says that the client's connection is to be closed.
	Close bool
}

// LocalReply makes the proxy's own answer to an exchange: its head, but for what
// [Rules.Response] does to it, and its body, which is returned. The fields that ex.Response has
// already stay; they are those that the mutations of the route have made. It returns whether
// the connection has to be closed, too: it has to be after a status of 400, of which nobody knows
// what the client makes.
func (r *Rules) LocalReply(ex *message.Exchange, s *State, reply *Reply) (body string, close bool) {
	a := &ex.Response
	a.Status = reply.Status
	ex.Flags |= reply.Flags
	if reply.Details != "" {
		ex.Details = reply.Details
	}
	s.local.Body = reply.Body
	ex.Local = &s.local
	close = reply.Close || reply.Status == 400 && !r.h.StreamErrorOnInvalid

	before, _ := a.Fields.Get("content-type")
	body, contentType := r.reply.apply(ex)
	after, typed := a.Fields.Get("content-type")
	changed := body != reply.Body
	head := ex.Request.Method == "HEAD"

	if s.GRPC {
		status := GRPCStatus(a.Status)
		if reply.HasGRPC {
			status = reply.GRPC
		}
		a.Status = 200
		a.Fields.Set("content-type", grpcType)
		if !a.Fields.Has("grpc-status") {
			a.Fields.Add("grpc-status", strconv.Itoa(status))
		}
		if contentType == jsonType && body != "" && body[len(body)-1] == '\n' {
			body = body[:len(body)-1]
		}
		if body != "" && !head {
			a.Fields.Set("grpc-message", percentEncode(body))
		}
		a.Fields.Remove("content-length")
		return "", close
	}
	if body == "" || a.Status == 204 || a.Status < 200 {
		a.Fields.Remove("content-length")
		a.Fields.Remove("content-type")
		return "", close
	}
	a.Fields.Set("content-length", strconv.Itoa(len(body)))
	if (changed || !typed) && before == after {
		a.Fields.Set("content-type", contentType)
	}
	if head || a.Status == 304 {
		return "", close
	}
	return body, close
}

// Refuse does all there is to do for a request that never came to a route, or to an upstream: it is
// [Rules.LocalReply] and [Rules.Response] in one.
func (r *Rules) Refuse(ex *message.Exchange, s *State, reply *Reply, now time.Time) (body string, framing http1.Body, close bool) {
	body, close = r.LocalReply(ex, s, reply)
	return body, r.Response(ex, s, http1.Body(len(body)), now), close
}

const (
	textType = "text/plain"
	jsonType = "application/json"
)

// A replyFormat is how bodies of local replies are written: local_reply_config.
type replyFormat struct {
	mappers []mapper
	body    *config.BodyFormat
}

type mapper struct {
	*config.LocalReplyMapper
	headers route.Changes
}

func newReplyFormat(c *config.LocalReplyConfig) replyFormat {
	if c == nil {
		return replyFormat{}
	}
	f := replyFormat{body: c.Body}
	for i := range c.Mappers {
		m := &c.Mappers[i]
		f.mappers = append(f.mappers, mapper{m, route.ResponseChanges(m.Headers, nil)})
	}
	return f
}

// apply does what the first mapper says that is for this answer, and formats the body. It
// returns the body and what its type is.
func (f *replyFormat) apply(ex *message.Exchange) (body, contentType string) {
	format := f.body
	for i := range f.mappers {
		m := &f.mappers[i]
		if m.Filter != nil && !m.Filter(ex) {
			continue
		}
		if m.Body != nil {
			ex.Local.Body = *m.Body
		}
		m.headers.Apply(&ex.Response.Fields, ex)
		if m.Status != 0 {
			ex.Response.Status = m.Status
		}
		if m.Format != nil {
			format = m.Format
		}
		break
	}
	if format == nil {
		return ex.Local.Body, textType
	}
	var b []byte
	contentType = textType
	if format.JSON != nil {
		b = append(format.JSON.AppendBody(nil, ex), '\n')
		contentType = jsonType
	} else if format.Text != nil {
		absent := "-"
		if format.OmitEmpty {
			absent = ""
		}
		b = format.Text.AppendBody(nil, ex, absent)
	}
	if format.ContentType != "" {
		contentType = format.ContentType
	}
	return string(b), contentType
}
