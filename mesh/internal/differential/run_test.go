package differential

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// linger is how long to look for what is not to come: a connection that is closed though
// it should stay open, or more bytes. On a machine that is too slow for it a fault is missed,
// but none is found that is not there. Connections of which nothing more has to come are
// looked at after all cases, so that they need not be waited for one by one.
const linger = 200 * time.Millisecond

// A kept connection is one that has to stay open.
type kept struct {
	x *exchange
	c *client
	n int // bytes that have been received
}

// A bench is a proxy with its backends, ready for the cases of a file.
type bench struct {
	setup    *setup
	backends *backends
	proxy    proxy
	masker   *masker
	kept     []kept
	ended    []*client // connections that the proxy has closed
}

// newBench starts backends and a proxy for a file.
func newBench(f *file, dir string, p proxy) (*bench, error) {
	var err error
	for range 3 { // a free port may be taken before the proxy gets it
		var b *bench
		if b, err = tryBench(f, dir, p); err == nil {
			return b, nil
		}
	}
	return nil, err
}

func tryBench(f *file, dir string, p proxy) (*bench, error) {
	s, c, err := newSetup(f.config, dir)
	if err != nil {
		return nil, err
	}
	b := &bench{setup: s, backends: newBackends(), proxy: p}
	for _, name := range s.backends {
		if s.ports[name], err = b.backends.start(name); err != nil {
			return nil, err
		}
	}
	for _, name := range append([]string{"admin"}, s.listeners...) {
		if s.ports[name], err = freePort(); err != nil {
			return nil, err
		}
	}
	if err := s.write(c); err != nil {
		return nil, err
	}
	b.masker = &masker{setup: s, proxies: b.backends.proxies, machine: ownAddresses()}
	if err := p.start(s); err != nil {
		b.backends.stop()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	b.proxy.stop()
	b.backends.stop()
}

// An outcome is what has come of a case.
type outcome struct {
	x       *exchange
	want    string // the expected record, "" if there is none yet
	record  string
	clients []int // ports of the client's connections
	err     error
}

// runAll runs the cases of a file. want says what is expected of each, by which it is known what to
// wait for. Where it is empty, runAll waits until nothing more comes.
func (b *bench) runAll(f *file, want func(*exchange) string) []*outcome {
	var out []*outcome
	for _, x := range f.cases {
		o := &outcome{x: x, want: want(x)}
		o.err = b.run(o)
		out = append(out, o)
	}
	b.readLogs(out)
	for _, o := range out {
		o.record = b.masker.mask(o.record, o.clients)
	}
	return out
}

// run runs a case.
func (b *bench) run(o *outcome) error {
	x := o.x
	b.backends.begin(x)
	address, err := b.address(x)
	if err != nil {
		return err
	}
	if x.hold {
		c, err := dial("", address)
		if err != nil {
			return err
		}
		defer c.conn.Close()
		// An answer shows that the proxy has it.
		_, _ = c.conn.Write([]byte("GET / HTTP/1.1\r\nhost: hold.test\r\n\r\n"))
		c.until(*patience, func() bool { return c.end != "" || c.finals() > 0 })
	}
	wanted := strings.SplitAfter(o.want, "\n")
	methods := x.methods()
	var out strings.Builder
	for i := 0; i <= len(x.steps); {
		c, err := dial(x.from, address)
		if err != nil {
			return err
		}
		o.clients = append(o.clients, addressPort(c.conn.LocalAddr()))
		c.methods = methods
		part, rest := cutConnection(wanted)
		wanted = rest
		i = c.play(b.setup, x.steps, i)
		keep := c.finish(strings.Join(part, ""), o.want == "")
		c.record(&out)
		if keep {
			b.kept = append(b.kept, kept{x, c, c.received()})
		} else if c.ended() {
			b.ended = append(b.ended, c) // its port is not to be used again: a log's lines are told apart by ports
		} else {
			c.conn.Close()
		}
	}
	b.recordBackends(x, o.want, &out)
	o.record = out.String()
	return nil
}

// listener returns the name of a case's listener.
func (b *bench) listener(x *exchange) string {
	if x.listener == "" {
		return b.setup.listeners[0]
	}
	return x.listener
}

// address returns where a case's listener is.
func (b *bench) address(x *exchange) (string, error) {
	listener := b.listener(x)
	if b.setup.pipes[listener] {
		return b.setup.pipe(listener), nil
	}
	port, ok := b.setup.ports[listener]
	if !ok {
		return "", fmt.Errorf("there is no listener %q", listener)
	}
	return "127.0.0.1:" + strconv.Itoa(port), nil
}

// cutConnection returns the lines of a record up to the end of a connection, and the others.
func cutConnection(lines []string) (part, rest []string) {
	for i, line := range lines {
		if strings.HasPrefix(line, "= ") {
			return lines[:i+1], lines[i+1:]
		}
	}
	return lines, nil
}

// play does the steps from i on, to the end or to a new connection, and returns the next one.
func (c *client) play(s *setup, steps []step, i int) int {
	finals := 0
	for ; i < len(steps); i++ {
		switch st := steps[i]; st.do {
		case "":
			// Lines that follow each other go out together.
			text := st.send
			for i+1 < len(steps) && steps[i+1].do == "" {
				i++
				text = append(slices.Clip(text), steps[i].send...)
			}
			_, _ = c.conn.Write([]byte(s.fill(string(text))))
		case "pause":
			time.Sleep(st.pause)
		case "half-close":
			_ = c.conn.CloseWrite()
		case "hang-up":
			_ = c.conn.Close()
		case "await":
			finals++
			c.until(*patience, func() bool { return c.end != "" || c.finals() >= finals })
		case "reconnect":
			return i + 1
		}
	}
	return len(steps) + 1
}

// finals returns how many answers have been received whole. c.mu is held.
func (c *client) finals() int {
	n, _, _, _ := answers(c.got, c.methods, c.end != "")
	return n
}

// finish waits for all that is to come on a connection, and tells whether it has to stay open from then on.
func (c *client) finish(want string, recording bool) (keep bool) {
	if recording {
		c.settle()
		return false
	}
	if strings.Contains(want, "= closed") || strings.Contains(want, "= gone") {
		c.until(*patience, func() bool { return c.end != "" })
		return false
	}
	heads := len(finalHead.FindAllString(want, -1))
	c.until(*patience, func() bool { return c.end != "" || c.finals() >= heads && c.enough(want) })
	if heads > 0 && heads == len(c.methods) && !strings.Contains(want, "< HTTP/1.1 101") {
		return true
	}
	c.until(linger, func() bool { return c.end != "" })
	return false
}

// finalHead is the first line of an answer that is the only one to its request.
var finalHead = regexp.MustCompile(`(?m)^< HTTP/1\.1 (?:[2-9]..|101)`)

// settle waits until nothing more comes.
func (c *client) settle() {
	for ; ; time.Sleep(20 * time.Millisecond) {
		c.mu.Lock()
		quiet := 300 * time.Millisecond
		if c.finals() < len(c.methods) {
			quiet = 1500 * time.Millisecond
		}
		over := c.end != "" || time.Since(c.last) > quiet
		c.mu.Unlock()
		if over {
			return
		}
	}
}

// ended tells whether the connection has ended.
func (c *client) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end != ""
}

// received returns how many bytes have been received.
func (c *client) received() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.got)
}

// checkKept returns the cases whose connections have not stayed open, or on which more has come.
func (b *bench) checkKept() map[*exchange]bool {
	time.Sleep(linger)
	out := make(map[*exchange]bool)
	for _, k := range b.kept {
		k.c.mu.Lock()
		if k.c.end != "" || len(k.c.got) != k.n {
			out[k.x] = true
		}
		k.c.mu.Unlock()
		k.c.conn.Close()
	}
	for _, c := range b.ended {
		c.conn.Close()
	}
	b.kept, b.ended = nil, nil
	return out
}

// enough tells whether what has been received outside of messages is as long as expected. c.mu is held.
func (c *client) enough(want string) bool {
	_, all, rest, _ := answers(c.got, c.methods, c.end != "")
	n := 0
	after := false
	for line := range strings.Lines(want) {
		if strings.HasPrefix(line, "< HTTP/1.1 101") {
			after = true
		}
		if text, ok := strings.CutPrefix(line, "<| "); ok && after {
			b, _ := unescape(strings.TrimSuffix(text, "\n"))
			n += len(b)
		}
	}
	return len(all) == 0 || len(rest) >= n
}

// recordBackends adds what backends have seen.
func (b *bench) recordBackends(x *exchange, want string, out *strings.Builder) {
	n := 0
	for line := range strings.Lines(want) {
		if seenRequest.MatchString(line) && !strings.HasPrefix(line, "log>") {
			n++
		}
	}
	if want == "" {
		time.Sleep(100 * time.Millisecond)
	}
	seen := b.backends.wait(n, *patience)
	b.backends.mu.Lock()
	defer b.backends.mu.Unlock()
	var texts []string
	for i := range seen {
		name := seen[i].backend
		if x.anyOf {
			name = "*"
		}
		if x.whole && seen[i].aborted {
			continue
		}
		maskRemaining(seen, i)
		var one strings.Builder
		seen[i].request.write(&one, name+">")
		if seen[i].aborted {
			one.WriteString(name + "= aborted\n")
		}
		texts = append(texts, one.String())
	}
	if x.shuffled {
		slices.Sort(texts)
	}
	out.WriteString(strings.Join(texts, ""))
}
