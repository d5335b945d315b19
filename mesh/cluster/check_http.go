package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/maglev-lb/maglev/mesh/config"
	"github.com/maglev-lb/maglev/mesh/http1"
	"github.com/maglev-lb/maglev/mesh/message"
)

// where returns the address that is checked.
func (k *check) where() (network, address string) {
	h := k.host
	a := h.Address()
	if e := h.Config.HealthCheckAddress; e != nil {
		if fixed := fixedAddress(e); fixed != nil {
			a = *fixed
		}
	}
	port := h.Config.HealthCheckPort
	if k.config.AltPort != 0 && port == 0 {
		port = k.config.AltPort
	}
	if port != 0 && a.IP.IsValid() {
		a = *addressOf(a.IP, port)
	}
	return dialOf(&a)
}

// connect makes a connection that is closed when ctx ends, which interrupts whoever reads, or by
// calling done.
func (k *check) connect(ctx context.Context) (conn net.Conn, done func(), err error) {
	network, address := k.where()
	conn, err = new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, nil, err
	}
	unwatch := context.AfterFunc(ctx, func() { conn.Close() })
	return conn, func() { unwatch(); conn.Close() }, nil
}

// askHTTP asks for a path. Each check has a connection of its own: reuse_connection saves a little
// and has no other effect.
func (k *check) askHTTP(ctx context.Context) finding {
	conn, done, err := k.connect(ctx)
	if err != nil {
		return finding{err: err}
	}
	defer done()
	c := http1.NewConn(conn)
	defer c.Close()
	if _, err := c.Write(k.request()); err != nil {
		return finding{err: err}
	}
	var answer message.Response
	for {
		n, head, err := c.Parser.Response(c.Buffered(), k.config.HTTP.Method, &answer)
		if err != nil {
			return finding{err: err}
		}
		if n > 0 {
			c.Take(n)
			if answer.Status >= 200 {
				body, err := readBody(c, head, k.config.HTTP.Receive)
				if err != nil {
					return finding{err: err}
				}
				return k.judge(&answer, body)
			}
			continue
		}
		if err := c.Fill(time.Time{}); err != nil {
			return finding{err: unexpected(err)}
		}
	}
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the connection was closed before there was an answer")
	}
	if errors.Is(err, net.ErrClosed) {
		return errors.New("no answer in time")
	}
	return err
}

// maxCheckBody is how much of a body is looked at.
const maxCheckBody = 64 << 10

// readBody reads a body to its end, and returns what has to be looked at.
func readBody(c *http1.Conn, head http1.Head, wanted [][]byte) ([]byte, error) {
	if head.Body == http1.NoBody {
		return nil, nil
	}
	decoder := head.Decoder()
	var kept []byte
	for {
		data, n, end, err := decoder.Next(c.Buffered())
		if err != nil {
			return nil, err
		}
		if len(wanted) > 0 && len(kept) < maxCheckBody {
			kept = append(kept, data...)
		}
		c.Take(n)
		if end {
			return kept, nil
		}
		if n > 0 {
			continue
		}
		if err := c.Fill(time.Time{}); err == io.EOF && decoder.Closed() {
			return kept, nil
		} else if err != nil {
			return nil, unexpected(err)
		}
	}
}

// request returns the bytes of the request.
func (k *check) request() []byte {
	http := k.config.HTTP
	host := k.host.Config.HealthCheckHostname
	if host == "" {
		host = http.Host
	}
	if host == "" {
		host = k.host.cluster.Config.Name
	}
	method := http.Method
	if method == "" {
		method = "GET"
	}
	ex := message.Exchange{
		Request:  message.Request{Method: method, Scheme: "http", Authority: host, Path: http.Path},
		Protocol: "HTTP/1.1",
		Start:    time.Now(),
	}
	fields := &ex.Request.Fields
	fields.Add("user-agent", "Envoy/HC")
	for _, name := range http.Remove {
		fields.Remove(name)
	}
	for _, add := range http.Add {
		value := string(add.Value.Append(nil, &ex, ""))
		if value == "" && !add.KeepEmpty {
			continue
		}
		switch has := fields.Has(add.Name); add.Action {
		case config.AppendOrAdd:
			fields.Add(add.Name, value)
		case config.AddIfAbsent:
			if !has {
				fields.Add(add.Name, value)
			}
		case config.OverwriteOrAdd:
			fields.Set(add.Name, value)
		case config.OverwriteIfExists:
			if has {
				fields.Set(add.Name, value)
			}
		}
	}
	body := bytes.Join(http.Send, nil)
	if len(body) > 0 {
		fields.Set("content-length", strconv.Itoa(len(body)))
	}
	return append(http1.AppendRequest(nil, &ex.Request, http1.Body(len(body))), body...)
}

// judge says what an answer means.
func (k *check) judge(answer *message.Response, body []byte) finding {
	http := k.config.HTTP
	expected := http.Expected
	if len(expected) == 0 {
		expected = []config.Range{{Start: 200, End: 201}}
	}
	status := int64(answer.Status)
	if !within(expected, status) {
		return finding{
			err:       fmt.Errorf("status %d is not expected", status),
			answered:  true,
			retriable: within(http.Retriable, status),
		}
	}
	if !containsInOrder(body, http.Receive) {
		return finding{err: errors.New("the body is not what is expected"), answered: true}
	}
	_, degraded := answer.Fields.Get("x-envoy-degraded")
	return finding{degraded: degraded}
}

func within(ranges []config.Range, n int64) bool {
	for _, r := range ranges {
		if r.Start <= n && n < r.End {
			return true
		}
	}
	return false
}

// containsInOrder returns whether b has all the parts, one behind the other, whatever is
// between them.
func containsInOrder(b []byte, parts [][]byte) bool {
	for _, part := range parts {
		i := bytes.Index(b, part)
		if i < 0 {
			return false
		}
		b = b[i+len(part):]
	}
	return true
}
