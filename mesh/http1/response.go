package http1

import "github.com/maglev-lb/maglev/mesh/message"

// Response takes the head of an answer off the beginning of b, as [Parser.Request] does
// with a request. To know where its body ends, the method of the request is needed.
// The head of a 1xx has no body, and is followed by that of another answer (but for
// 101).
func (p *Parser) Response(b []byte, method string, r *message.Response) (n int, h Head, err error) {
	n, err = p.find(b)
	if n == 0 || err != nil {
		return 0, Head{}, err
	}
	defer p.reset()
	first := b[p.first.from:p.first.to]
	// HTTP/1.1 200 OK, where the reason, and the blank before it, may be absent.
	const status = len("HTTP/1.1 ")
	if p.first.from != 0 || len(first) < status+3 || first[status-1] != ' ' ||
		len(first) > status+3 && first[status+3] != ' ' || !all(first, inValue) {
		return 0, Head{}, errStatusLine
	}
	if h.Minor, err = minor(first[:status-1]); err != nil {
		return 0, Head{}, errStatusLine
	}
	code, ok := number(first[status : status+3])
	if !ok || code < 100 {
		return 0, Head{}, errStatusLine
	}
	r.Status = int(code)
	var f framing
	if err := p.fields(b, &f); err != nil {
		return 0, Head{}, err
	}
	h.FieldBytes = fieldBytes(p.lines)
	if h.Body, err = f.body(h.Minor, UntilClose); err != nil {
		return 0, h, err
	}
	if (r.Status < 200 || r.Status == 204) && (f.chunked || f.hasLength && (f.length > 0 || r.Status < 200)) {
		return 0, h, errNoContent
	}
	h.SaysClose = f.close || h.Minor == 0 && !f.keepAlive
	if r.Status < 200 || r.Status == 204 || r.Status == 304 || method == "HEAD" || method == "CONNECT" && r.Status < 300 {
		h.Body = NoBody // RFC 9112, section 6.3
	}
	h.Close = h.SaysClose || h.Body == UntilClose
	h.Upgrade, h.Connection = f.upgrade, f.connection
	r.Fields = p.append(r.Fields[:0], string(b[:n]), func(string) bool { return false })
	return n, h, nil
}
