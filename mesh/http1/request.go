package http1

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/maglev-lb/maglev/mesh/message"
)

// A Head is what the head of a message says about its body and its connection.
type Head struct {
	// Body says where the body ends.
	Body Body
	// Minor is the version: 1 for HTTP/1.1, 0 for HTTP/1.0.
	Minor int
	// Close says that no message follows on the connection.
	Close bool
	// FieldBytes is how much of the head its fields are, as Envoy counts those that it receives:
	// without the blanks around values, and with one byte for the end of a line. It is there
	// if the fields are right, be it that something else is wrong.
	FieldBytes int
	// SaysClose says that Close is what the fields and the version say, and not only what comes of
	// a body that ends with the connection.
	SaysClose bool
	// Upgrade says that Connection has "upgrade".
	Upgrade bool
	// Continue says that the client waits for 100 (Continue) before it sends the body.
	Continue bool
	// Connection says that there is a Connection field, which may name fields that end
	// here.
	Connection bool
}

// methods are those that an Envoy takes.
var methods = strings.Fields(`ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY
	MKCALENDAR MKCOL MOVE NOTIFY OPTIONS PATCH POST PROPFIND PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE
	QUERY TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE`)

// Request takes the head of a request off the beginning of b: it fills r, whose Fields it
// uses again, and returns how long the head is, or 0 if b does not hold all of it yet.
// Then it is to be called with the same bytes and more behind them. Names of fields are
// made lower case in b, and what r has is a copy. An error is an [*Error]; of a request
// that has no Host, or a fragment in its target, r is filled all the same, for the log.
//
// The scheme is that of the target, or "". A Host that differs from that
// of the target is of no account (RFC 9112, section 3.2.2).
func (p *Parser) Request(b []byte, r *message.Request) (n int, h Head, err error) {
	h.Minor = 1
	if err = beginsWithMethod(b); err != nil {
		return 0, h, err // what is no HTTP at all is not waited for
	}
	n, err = p.find(b)
	if n == 0 || err != nil {
		return 0, h, err
	}
	if err = p.request(b[:n], r, &h); err != nil {
		n = 0
	}
	p.reset()
	return n, h, err
}

// beginsWithMethod returns an error if what there is so far cannot be the beginning of a request.
func beginsWithMethod(b []byte) error {
	for len(b) > 0 && b[0] == '\r' {
		if len(b) > 1 && b[1] != '\n' {
			return errBareCR
		}
		b = b[min(2, len(b)):]
	}
	for _, c := range b {
		switch {
		case 'A' <= c && c <= 'Z':
		case c == ' ' || c == '-':
			return nil
		case isControl(c):
			return errControl
		default:
			return errMethod
		}
	}
	return nil
}

// request reads a head that is complete.
func (p *Parser) request(b []byte, r *message.Request, h *Head) error {
	first := b[p.first.from:p.first.to]
	method, rest, ok := bytes.Cut(first, space)
	target, version, ok2 := bytes.Cut(rest, space)
	switch {
	case !all(first, inValue):
		return unfit(first)
	case !ok:
		return errRequestLine
	case !slices.Contains(methods, string(method)):
		return errMethod
	case !ok2:
		return ErrVersion // HTTP/0.9
	}
	var err error
	if h.Minor, err = minor(version); err != nil {
		return err
	}
	fragment := bytes.IndexByte(target, '#') >= 0
	if len(target) == 0 || !fragment && !all(target, inTarget) {
		return errTarget
	}
	var f framing
	if err := p.fields(b, &f); err != nil {
		return err
	}
	h.FieldBytes = fieldBytes(p.lines)
	refused := h.Minor == 0 && p.NoHTTP10 && string(target) != "*"
	if h.Body, err = f.body(h.Minor, NoBody); err != nil && !(refused && err == errCodingIn10) {
		return err
	}
	switch {
	case refused:
		return ErrVersion
	case f.hosts > 1 || !all(f.host, inHost):
		return errHost
	}
	if string(method) == "CONNECT" && h.Body != NoBody { // RFC 9110, section 9.3.6
		if h.Body == InChunks {
			return errCoding
		}
		return errConnectBody
	}
	h.Close = f.close || h.Minor == 0 && !f.keepAlive
	h.Upgrade, h.Continue, h.Connection = f.upgrade, f.expect && h.Minor == 1, f.connection

	// One copy, which all the strings are parts of.
	head := string(b)
	from := p.first.from
	r.Method = head[from : from+len(method)]
	from += len(method) + 1
	r.Fields = p.append(r.Fields[:0], head, func(name string) bool { return name == "host" })
	r.Scheme, r.Authority, r.Path = "", "", head[from:from+len(target)]
	r.NoHost = f.hosts == 0
	for i := range p.lines {
		if l := &p.lines[i]; head[l.from:l.colon] == "host" {
			r.Authority = head[l.value:l.end]
		}
	}
	switch {
	case f.hosts == 0 && h.Minor == 1:
		return errNoHost
	case fragment:
		return errFragment
	}
	if err := form(r); err != nil {
		if err == errTarget {
			h.FieldBytes = 0 // Envoy reads no further than that
		}
		*r = message.Request{Fields: r.Fields[:0]}
		return err
	}
	return nil
}

var space = []byte{' '}

// minor reads a version.
func minor(version []byte) (int, error) {
	const prefix = "HTTP/"
	if len(version) != len("HTTP/1.1") || string(version[:len(prefix)]) != prefix || version[6] != '.' ||
		version[5] < '0' || version[5] > '9' || version[7] < '0' || version[7] > '9' {
		return 0, errRequestLine
	}
	switch string(version[len(prefix):]) {
	case "1.1":
		return 1, nil
	case "1.0":
		return 0, nil
	}
	return 0, ErrVersion
}

// form sorts out the forms of a target (RFC 9112, section 3.2): origin, absolute,
// authority and asterisk.
func form(r *message.Request) error {
	switch {
	case r.Method == "CONNECT":
		if strings.ContainsAny(r.Path, "/?") || !strings.HasSuffix(r.Path, "]") && strings.IndexByte(r.Path, ':') < 0 || !hasPort(r.Path) {
			return errForm
		}
		r.Authority, r.Path, r.NoHost = r.Path, "", false
		r.Fields.Remove("content-length") // it is 0
		return nil
	case r.Path[0] == '/':
		return nil
	case r.Path == "*":
		if r.Method != "OPTIONS" {
			return errForm
		}
		return nil
	}
	scheme, rest, ok := strings.Cut(r.Path, "://")
	switch {
	case !ok:
		return errTarget
	case strings.EqualFold(scheme, "http"):
		r.Scheme = "http"
	case strings.EqualFold(scheme, "https"):
		r.Scheme = "https"
	default:
		return errScheme
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	r.Authority, r.Path = rest[:end], rest[end:]
	// Who the user is that the target names is nobody's concern here (RFC 9110, section 4.2.4).
	r.Authority = r.Authority[strings.LastIndexByte(r.Authority, '@')+1:]
	if r.Authority == "" || !all([]byte(r.Authority), inHost) || !hasPort(r.Authority) {
		return errForm
	}
	r.NoHost = false
	if r.Path == "" {
		r.Path = "/"
	}
	return nil
}

// hasPort returns whether what stands behind the host, if there is a colon, is a port.
func hasPort(authority string) bool {
	at := strings.LastIndexByte(authority, ':')
	if at <= strings.LastIndexByte(authority, ']') {
		return true
	}
	port, err := strconv.ParseUint(authority[at+1:], 10, 16)
	return err == nil && port <= 65535 && authority[at+1] != '+'
}
