package manager

import (
	"errors"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/route"
)

// The answers of the proxy's own that are always the same.
var (
	noRoute   = &forwarding.Reply{Status: 404, Details: "route_not_found", Flags: message.NoRoute}
	badPath   = &forwarding.Reply{Status: 400, Details: "path_normalization_failed"}
	noHealthy = &forwarding.Reply{Status: 503, Body: "no healthy upstream", Details: "no_healthy_upstream",
		Flags: message.NoHealthyUpstream}
)

// refuseCodec answers what cannot be read as a request, or as a body.
func (s *stream) refuseCodec(err error) end {
	var bad *http1.Error
	if !errors.As(err, &bad) {
		return closeNow
	}
	reply := &forwarding.Reply{Status: bad.Status, Body: http1.Reason(bad.Status), Details: bad.Details,
		Flags: message.DownstreamProtocolError, Close: true}
	if bad.Details == "missing_host_header" || bad.Details == "path_normalization_failed" {
		// What an Envoy's codec lets through, and the connection manager refuses.
		reply.Body, reply.Flags = "", 0
		s.requestComplete()
		if bad.Details == badPath.Details {
			s.m.counts.BadPath.Inc()
		}
		s.state.GRPC = route.IsGRPC(&s.ex)
	} else {
		s.m.counts.ProtocolError.Inc()
	}
	return s.reply(reply)
}

// reply answers the request by the proxy itself. ex.Response has the fields that come first. If a
// route has been chosen, its mutations apply.
func (s *stream) reply(reply *forwarding.Reply) end { return s.replyTyped(reply, "") }

// replyTyped is reply with a type of the body that is not the usual one.
func (s *stream) replyTyped(reply *forwarding.Reply, contentType string) end {
	s.ex.Flags |= reply.Flags
	if reply.Details != "" {
		s.ex.Details = reply.Details
	}
	if s.route != nil {
		s.ex.OwnStatus = reply.Status
		s.route.RewriteResponse(&s.ex, s.weighted)
		s.ex.OwnStatus = 0
		if s.attempt.failure == overflow {
			s.m.rules.Overloaded(&s.ex)
		}
		if s.ex.Attempts > 0 && !s.ownTimeout {
			forwarding.CountAttempts(&s.ex, s.route.VirtualHost.Config)
		}
	}
	if s.filtered != nil {
		s.filtered.AddHeaders(&s.ex)
	}
	if contentType != "" {
		s.ex.Response.Fields.Set("content-type", contentType)
	}
	body, close := s.m.rules.LocalReply(&s.ex, &s.state, reply)
	s.filterAnswer()
	framing := s.m.rules.Response(&s.ex, &s.state, http1.Body(len(body)), s.wall())
	last := s.startAnswer(framing, close)
	s.out = append(s.out, body...)
	s.ex.BytesSent += uint64(len(body))
	if s.flush() != nil {
		return closeNow
	}
	s.ex.Points.Sent = s.now()
	if last {
		return closeGently
	}
	return keepAlive
}

// filterAnswer takes the answer through the filters that the request has come by.
func (s *stream) filterAnswer() {
	if s.m.filters != nil {
		s.m.filters.Response(&s.ex, &s.filters, s.wall())
	}
}

// redirect answers with the route's redirect.
func (s *stream) redirect() end {
	location, status := s.route.Redirect(&s.ex, s.m.tellOriginals)
	s.m.counts.Direct.Inc()
	return s.redirectTo(location, status, "direct_response")
}

func (s *stream) redirectTo(location string, status int, details string) end {
	s.ex.Response.Fields.Add("location", location)
	return s.reply(&forwarding.Reply{Status: status, Details: details})
}

// direct answers with the route's direct response.
func (s *stream) direct() end {
	s.m.counts.Direct.Inc()
	status, location, body, contentType := s.route.Direct(s.up[:0], &s.ex)
	if location != "" {
		s.ex.Response.Fields.Add("location", location)
	}
	return s.replyTyped(&forwarding.Reply{Status: status, Body: string(body), Details: "direct_response"}, contentType)
}

// startAnswer appends the head of the answer to what goes to the client, and returns
// whether the connection ends after it: if that is asked for, if the client or the
// configuration wants it, or if the request has not been read whole, as nobody would know
// when the rest of it comes.
func (s *stream) startAnswer(framing http1.Body, close bool) (last bool) {
	a := http1.Answer{Body: framing, Old: s.head.Minor == 0 && s.ex.Protocol == "HTTP/1.0"}
	if a.Old && framing == http1.InChunks {
		a.Body = http1.UntilClose
		close = close || s.ex.Request.Method != "HEAD"
	}
	if !s.granted && (!s.complete() || s.early) {
		close = true
		s.m.counts.EarlyAnswers.Inc()
	}
	if a.Old && framing == http1.NoBody && s.ex.Response.Status == 204 {
		close = true // as in Envoy
	}
	last = close || s.head.Close || s.client.lastRequest()
	a.Close = last || !s.client.drained.IsZero()
	a.Empty = forwarding.NeedsLength(&s.ex, framing)
	if s.granted {
		a = http1.Answer{}
	}
	a.Proper = s.m.config.HeaderCase == config.ProperCase
	before := len(s.out)
	s.out = http1.AppendResponse(s.out, &s.ex.Response, a)
	s.ex.HeaderBytesSent = headerBytes(s.out[before:])
	return last && !s.granted
}

// sayContinue asks a client for the body that it waits to send (RFC 9110, section 10.1.1). The
// proxy does that itself, as it does not leave the wait to the client.
func (s *stream) sayContinue() bool {
	s.out = append(s.out, "HTTP/1.1 100 Continue\r\n\r\n"...)
	s.ex.Response.Status = 100
	s.m.counts.Classes.Inc(100)
	s.m.listenerCounts.Classes.Inc(100)
	return s.flush() == nil
}

// complete returns whether the request has been read to its end.
func (s *stream) complete() bool {
	if s.ex.Points.RequestRead == 0 {
		s.ex.Points.RequestRead = time.Duration(s.bodyRead.Load())
	}
	return s.ex.Points.RequestRead != 0
}

// flush writes what there is for the client.
func (s *stream) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	s.firstSent()
	err := s.client.conn.WriteUntil(s.out, s.limits.idle)
	s.ex.WireBytesSent += uint64(len(s.out))
	s.out = s.out[:0]
	if err != nil {
		s.clientGone()
		return err
	}
	s.touch()
	return nil
}

// firstSent notes that the answer begins.
func (s *stream) firstSent() {
	if s.ex.Points.FirstSent == 0 {
		s.ex.Points.FirstSent = s.now()
	}
}

// clientGone notes that the client has hung up.
func (s *stream) clientGone() {
	s.ex.Flags |= message.DownstreamConnectionTermination
	s.ex.Details = "downstream_remote_disconnect"
	s.m.counts.ClientReset.Inc()
	if s.ex.Points.FirstSent == 0 { // then it has had none, even if there is one
		s.ex.Response = message.Response{Fields: s.ex.Response.Fields[:0]}
	}
}

// wall returns the time of day.
func (s *stream) wall() time.Time { return s.ex.Start.Add(s.now()) }

// headerBytes returns how much of a head its fields are, as Envoy counts them: without the first
// line and the empty one.
func headerBytes(head []byte) uint64 {
	for i, c := range head {
		if c == '\n' {
			return uint64(len(head) - i - 1 - len("\r\n"))
		}
	}
	return 0
}
