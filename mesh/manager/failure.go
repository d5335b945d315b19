package manager

import (
	"strings"

	"github.com/maglev-lb/maglev/mesh/forwarding"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// fail answers a request that no host has answered.
func (s *stream) fail(a *attempt) end {
	if a.failure == clientGone {
		s.clientGone()
		return closeNow
	}
	s.ex.Response.Status = 0
	s.ex.Response.Fields = s.ex.Response.Fields[:0]
	var reply *forwarding.Reply
	switch a.failure {
	case overflow:
		s.early = s.ex.Attempts == 1 && s.body.framing != http1.NoBody
		reply = s.reset(a)
	case badRequest:
		return s.refuseCodec(a.err)
	case timedOut:
		reply = s.timeout(a.cause)
	case noHost:
		reply = noHealthy
	default:
		reply = s.reset(a)
	}
	s.flagRetries()
	if !s.ownTimeout && !a.informed { // as in Envoy
		s.count(reply.Status)
	}
	return s.reply(reply)
}

// flagRetries notes why there is no further attempt where there would have been one.
func (s *stream) flagRetries() {
	switch s.retries.judged {
	case exceeded:
		s.ex.Flags |= message.UpstreamRetryLimitExceeded
	case refused:
		s.ex.Flags |= message.UpstreamOverflow
	}
}

// resets are what the client is told of a failure, if that is not a timeout.
var resets = [...]struct {
	status int
	reason string
	flag   message.Flags
}{
	overflow:       {503, "overflow", message.UpstreamOverflow},
	connectFailed:  {503, "remote connection failure", message.UpstreamConnectionFailure},
	connectTimeout: {503, "connection timeout", message.UpstreamConnectionFailure},
	cutOff:         {503, "connection termination", message.UpstreamConnectionTermination},
	badAnswer:      {502, "protocol error", message.UpstreamProtocolError},
}

// reset is the reply to a request whose connection did not come about, or was lost.
func (s *stream) reset(a *attempt) *forwarding.Reply {
	r := resets[a.failure]
	details := strings.ReplaceAll(r.reason, " ", "_")
	if s.ex.TransportFailure != "" {
		details += "|" + s.ex.TransportFailure
	}
	reply := &forwarding.Reply{Status: r.status, Flags: r.flag}
	when := "before"
	if a.informed {
		when = "after"
	}
	reply.Details = "upstream_reset_" + when + "_response_started{" + details + "}"
	reply.Body = "upstream connect error or disconnect/reset before headers. "
	if s.retries.made > 0 {
		reply.Body += "retried and the latest "
	}
	reply.Body += "reset reason: " + r.reason
	return reply
}

// timeouts are the replies to the timeouts, but for those that depend on more than their cause.
var timeouts = [...]*forwarding.Reply{
	totalTimeout:    timedOutBy("upstream request timeout", "response_timeout", message.UpstreamRequestTimeout),
	perTryTimeout:   timedOutBy("upstream request timeout", "upstream_per_try_timeout", message.UpstreamRequestTimeout),
	tryIdleTimeout:  timedOutBy("upstream request timeout", "upstream_per_try_idle_timeout", message.UpstreamRequestTimeout),
	upstreamTimeout: timedOutBy("upstream max stream duration reached", "upstream_max_stream_duration_reached", message.UpstreamMaxStreamDuration),
	idleTimeout:     timedOutBy("stream timeout", "stream_idle_timeout", message.StreamIdleTimeout),
	headTimeout:     {Status: 408, Body: "request header timeout", Details: "request_header_timeout", Close: true},
	requestTimeout:  {Status: 408, Body: "request timeout", Details: "request_overall_timeout", Close: true},
	streamTimeout: {Status: 504, Body: "downstream duration timeout", Details: "max_duration_timeout",
		GRPC: deadlineExceeded, HasGRPC: true},
}

// deadlineExceeded is a grpc-status.
const deadlineExceeded = 4

func timedOutBy(body, details string, flag message.Flags) *forwarding.Reply {
	return &forwarding.Reply{Status: 504, Body: body, Details: details, Flags: flag}
}

// timeout counts a timeout, and is the reply to it.
func (s *stream) timeout(why cause) *forwarding.Reply {
	counts := s.m.counts
	reply := *timeouts[why]
	switch why {
	case totalTimeout:
		if s.planned.NoContentOnTimeout {
			reply.Status, reply.Body = 204, ""
		}
	case headTimeout:
		counts.HeaderTimeout.Inc()
	case requestTimeout:
		counts.Timeout.Inc()
	case idleTimeout:
		counts.IdleTimeout.Inc()
	case streamTimeout:
		counts.MaxDuration.Inc()
	}
	s.ownTimeout = why >= idleTimeout
	if (why == idleTimeout || why == streamTimeout) && !s.complete() && s.state.Upgrade == "" {
		reply.Status = 408 // it is the client that has been waited for
	}
	return &reply
}
