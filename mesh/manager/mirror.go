package manager

import (
	"os"
	"strings"
	"time"

	"github.com/maglev-lb/maglev/mesh/cluster"
	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
	"github.com/maglev-lb/maglev/mesh/stats"
	"github.com/maglev-lb/maglev/mesh/upstream"
)

// A shadow is a copy of a request for another cluster, whose answer nobody waits for.
type shadow struct {
	cluster *cluster.Cluster
	method  string
	need    cluster.Need
	head    []byte
	body    []byte
	proxy   []byte // what connections begin with, if the cluster has the PROXY protocol
	timeout time.Duration
	limits  http1.Limits
}

// mirror makes the copies that the route asks for of the request as it is sent the first
// time. They are sent when its body is there.
func (s *stream) mirror() {
	if s.ex.Attempts > 1 {
		return
	}
	for i := range s.route.Mirrors {
		m := &s.route.Mirrors[i]
		if f := m.Fraction; f.Denominator > 0 && mixed(s.random)%uint64(f.Denominator) >= uint64(f.Numerator) {
			continue
		}
		name := m.Cluster
		if m.ClusterHeader != "" {
			name, _ = s.ex.Request.Fields.Get(m.ClusterHeader)
		}
		c := s.m.clusters.Cluster(name)
		if c == nil {
			continue
		}
		s.shadows = append(s.shadows, s.shadow(m, c))
	}
}

// shadow makes a copy of the request's head.
func (s *stream) shadow(m *config.Mirror, c *cluster.Cluster) *shadow {
	copied := s.ex.Request
	copied.Fields = append(message.Fields(nil), s.ex.Request.Fields...)
	if !m.DisableShadowHostSuffix {
		copied.Authority = shadowHost(copied.Authority)
	}
	copied.Fields.Set("x-envoy-internal", "true")
	copied.Fields.AddJoined("x-forwarded-for", s.m.localAddress, true)
	return &shadow{
		cluster: c,
		method:  copied.Method,
		need:    s.need,
		head:    http1.AppendRequest(nil, &copied, s.body.framing),
		proxy:   appendProxyHeader(nil, c.Config.ProxyProtocol, &s.client.info),
		timeout: s.limits.total,
		limits:  answerLimits(c),
	}
}

// shadowHost puts -shadow behind a host, and before its port.
func shadowHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		return host[:i] + "-shadow" + host[i:]
	}
	return host + "-shadow"
}

// sendShadows sends the copies, if the request has come whole.
func (s *stream) sendShadows() {
	if len(s.shadows) == 0 || !s.complete() {
		return
	}
	if s.body.lost {
		s.cluster.Stats.Abandoned.Inc()
		return
	}
	m := s.m // the stream is not to be used by others
	for _, c := range s.shadows {
		c.body = s.body.appendKept(nil)
		go func() {
			defer m.guard(func() {})
			c.send()
		}()
	}
}

// send sends a copy, and counts what comes of it.
func (c *shadow) send() {
	status := c.try()
	c.cluster.Stats.Answers.Inc(status)
	c.cluster.Stats.InternalAnswers.Inc(status) // as x-envoy-internal says
}

// try sends a copy, and reads the answer so that the connection can be used again. It returns the
// status of that, or of what a client would be told without one.
func (c *shadow) try() (status int) {
	counts := c.cluster.Stats
	host := c.cluster.Pick(&c.need)
	if host == nil {
		counts.NoneHealthy.Inc()
		return 503
	}
	var until time.Time
	if c.timeout > 0 {
		until = time.Now().Add(c.timeout)
	}
	pool := host.Pool.(*pools).of(config.DefaultPriority)
	if len(c.proxy) > 0 { // then connections are of one client
		pool = newPool(c.cluster, host, config.DefaultPriority, c.proxy)
		defer pool.Close()
	}
	conn, err := pool.Get(until, func() bool { return false })
	switch {
	case err == upstream.ErrOverflow:
		counts.PendingOverflow.Inc()
		return 503
	case err == os.ErrDeadlineExceeded:
		return 504
	case err != nil:
		counts.PendingFailure.Inc()
		return 503
	}
	requests := &c.cluster.Breakers(config.DefaultPriority).Requests
	if !requests.TryAcquire() {
		conn.Put()
		counts.ActiveOverflow.Inc()
		return 503
	}
	defer requests.Release()
	counts.Requests.Inc()
	counts.ActiveRequests.Inc()
	defer counts.ActiveRequests.Dec()
	status, again := c.exchange(conn, until)
	if again {
		conn.Put()
	} else {
		conn.Close()
	}
	return status
}

// exchange returns the status of the answer, and whether the connection can be used again.
func (c *shadow) exchange(conn *upstream.Conn, until time.Time) (status int, again bool) {
	counts := c.cluster.Stats
	request := append(c.head, c.body...)
	if conn.WriteUntil(request, c.timeout) != nil {
		return 503, false
	}
	counts.Sent.Add(uint64(len(request)))
	var response message.Response
	conn.Parser.Limits = c.limits
	for {
		n, head, err := conn.Parser.Response(conn.Buffered(), c.method, &response)
		if err != nil {
			counts.ProtocolError.Inc()
			return 502, false
		}
		if n == 0 {
			switch err := conn.Fill(until); err {
			case nil:
			case os.ErrDeadlineExceeded:
				counts.Timeout.Inc()
				return 504, false
			default:
				return 503, false
			}
			continue
		}
		conn.Take(n)
		counts.Received.Add(uint64(n))
		if response.Status >= 200 {
			return response.Status, discard(conn, head, until, &counts.Received)
		}
	}
}

// discard reads a body that nobody wants, and returns whether another answer can follow it.
func discard(conn *upstream.Conn, head http1.Head, until time.Time, received *stats.Counter) bool {
	decoder := head.Decoder()
	for ended := head.Body == http1.NoBody; !ended; {
		_, n, end, err := decoder.Next(conn.Buffered())
		if err != nil {
			return false
		}
		conn.Take(n)
		received.Add(uint64(n))
		ended = end
		if !end && len(conn.Buffered()) == 0 && conn.Fill(until) != nil {
			return false
		}
	}
	return !head.Close && len(conn.Buffered()) == 0
}
