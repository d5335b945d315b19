package manager

import (
	"errors"
	"strings"
	"syscall"

	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/upstream"
)

// report tells what has come of an attempt: outlier detection and the statistics of the
// host and its cluster.
func (s *stream) report(a *attempt) {
	if a.host == nil {
		return
	}
	h := a.host
	if a.conn != nil || a.sent {
		h.Report(cluster.Connected)
	}
	switch a.failure {
	case noFailure:
		h.Report(cluster.Outcome(s.outcome()))
		if s.ex.Response.Status >= 500 {
			h.Stats.Failed.Inc()
		} else {
			h.Stats.Succeeded.Inc()
		}
	case connectFailed, connectTimeout:
		h.Report(cluster.ConnectFailed)
	case cutOff, badAnswer:
		h.Report(cluster.ConnectFailed)
		h.Stats.Failed.Inc()
	case timedOut:
		if !s.countTimeout(a) {
			return
		}
		h.Report(cluster.TimedOut)
		h.Stats.TimedOut.Inc()
		h.Stats.Failed.Inc()
	}
}

// countTimeout counts the timeout that an attempt has come to, and returns whether the host is to
// blame.
func (s *stream) countTimeout(a *attempt) bool {
	counts := s.cluster.Stats
	switch a.cause {
	case totalTimeout:
		counts.Timeout.Inc()
		if s.routeCounts != nil {
			s.routeCounts.Timeout.Inc()
		}
	case perTryTimeout:
		counts.PerTryTimeout.Inc()
	case tryIdleTimeout:
		counts.PerTryIdle.Inc()
	case upstreamTimeout:
		counts.MaxDuration.Inc()
	default:
		return false
	}
	return true
}

// outcome returns the status that an answer stands for: of gRPC, it is in grpc-status.
func (s *stream) outcome() int {
	status := s.ex.Response.Status
	if s.state.GRPC && status == 200 {
		if code, ok := s.ex.Response.Fields.Get("grpc-status"); ok {
			return httpStatus(code)
		}
	}
	return status
}

// httpStatus returns the status that stands for a gRPC code, as Envoy has them.
func httpStatus(code string) int {
	switch code {
	case "0":
		return 200
	case "1":
		return 499
	case "3", "9", "11":
		return 400
	case "4":
		return 504
	case "5":
		return 404
	case "6", "10":
		return 409
	case "7":
		return 403
	case "8":
		return 429
	case "12":
		return 501
	case "14":
		return 503
	case "16":
		return 401
	}
	return 500
}

// count counts the answer that a client of the cluster gets.
func (s *stream) count(status int) {
	if took := uint64(s.now().Milliseconds()); s.attempt.answered {
		s.cluster.Stats.Time.Record(took)
		if s.routeCounts != nil {
			s.routeCounts.Time.Record(took)
		}
	}
	s.countStatus(status)
}

// countStatus counts a status, which may be that of a 1xx.
func (s *stream) countStatus(status int) {
	c := s.cluster.Stats
	c.Answers.Inc(status)
	if s.routeCounts != nil {
		s.routeCounts.Answers.Inc(status)
	}
	if s.state.Internal {
		c.InternalAnswers.Inc(status)
	} else {
		c.ExternalAnswers.Inc(status)
	}
}

// transportFailure says why a connection did not come about, in Envoy's words where it has some.
func transportFailure(err error) string {
	var failed *upstream.ConnectError
	if !errors.As(err, &failed) {
		return ""
	}
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return ""
	}
	text := errno.Error()
	return "delayed_connect_error:_" + strings.ToUpper(text[:1]) + strings.ReplaceAll(text[1:], " ", "_")
}
