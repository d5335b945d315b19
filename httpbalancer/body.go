package httpbalancer

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
)

// An outBody is the caller's body in an attempt's request, if it cannot be had
// again: to see whether it has been read, and to defer its closing, because after an
// attempt that has not read it the next one can. Bodies that can be had again are
// left as they are: net/http looks for those in memory, to send them at one go.
type outBody struct {
	source io.ReadCloser
	length lengthCheck // made by one Read after another

	mu     sync.Mutex
	read   bool  // from the first Read on
	err    error // of a Read
	closed bool  // by the attempt
	final  bool  // closing is not deferred any more
}

func (b *outBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.read = true
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.source.Read(p)
	if wrong := b.length.check(n, err); wrong != nil {
		b.mu.Lock()
		if !b.closed { // otherwise because of that
			b.err = wrong
		}
		b.mu.Unlock()
	}
	return n, err
}

// A lengthCheck finds bodies that fail, or that are of another length than their
// request says. net/http finds that too, but its error can be lost: it closes the
// connection, and that may be what is noticed first.
type lengthCheck struct{ want, got int64 }

// lengthOf returns a check of a request's body. An unknown length is none.
func lengthOf(req *http.Request) lengthCheck {
	if req.ContentLength > 0 {
		return lengthCheck{want: req.ContentLength}
	}
	return lengthCheck{want: -1}
}

// check takes what a Read has returned, and returns what is wrong with that.
func (c *lengthCheck) check(n int, err error) error {
	c.got += int64(n)
	switch {
	case err != nil && err != io.EOF:
		return err
	case c.want >= 0 && (c.got > c.want || err == io.EOF && c.got < c.want):
		return errLength
	}
	return nil
}

var errLength = errors.New("the body has not the length of ContentLength")

func (b *outBody) Close() error {
	b.mu.Lock()
	again := b.closed
	b.closed = true
	final := b.final
	b.mu.Unlock()
	if again || !final {
		return nil
	}
	return b.source.Close()
}

// settle ends the deferring.
func (b *outBody) settle() {
	b.mu.Lock()
	now := b.closed && !b.final
	b.final = true
	b.mu.Unlock()
	if now {
		_ = b.source.Close()
	}
}

// unread returns whether the body was closed and not read.
func (b *outBody) unread() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed && !b.read
}

// failed returns whether the caller's body could not be read.
func (b *outBody) failed() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil
}

// bodyFailed returns whether the caller's body could not be read.
func (a *attempt) bodyFailed() bool {
	watched, ok := a.req.Body.(*watchedBody)
	return a.out.failed() || ok && watched.failed.Load()
}

// A watchedBody is a body that can be had again, but is not in memory: to see whether
// it could be read.
type watchedBody struct {
	io.ReadCloser
	length lengthCheck
	failed atomic.Bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if wrong := b.length.check(n, err); wrong != nil && !errors.Is(wrong, http.ErrBodyReadAfterClose) {
		b.failed.Store(true)
	}
	return n, err
}

// What io.NopCloser returns.
var (
	nopCloser         = reflect.TypeOf(io.NopCloser(struct{ io.Reader }{}))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(new(bytes.Reader)))
)

// inMemory returns whether a body is of the kinds that http.NewRequest can have again.
// They cannot fail, and net/http looks for them.
func inMemory(body io.ReadCloser) bool {
	switch reflect.TypeOf(body) {
	case nopCloser, nopCloserWriterTo:
		switch reflect.ValueOf(body).Field(0).Interface().(type) {
		case *bytes.Buffer, *bytes.Reader, *strings.Reader:
			return true
		}
	}
	return false
}

// watch returns a body that can be had again, watched if it may fail.
func (a *attempt) watch(body io.ReadCloser) io.ReadCloser {
	if inMemory(body) {
		return body
	}
	return &watchedBody{ReadCloser: body, length: lengthOf(a.caller)}
}

// firstBody gives the first attempt its body.
func (a *attempt) firstBody() {
	switch body := a.caller.Body; {
	case body == nil || body == http.NoBody:
	case a.caller.GetBody != nil:
		a.req.Body = a.watch(body)
	default:
		a.out = &outBody{source: body, length: lengthOf(a.caller)}
		a.req.Body = a.out
	}
}

// replayable returns whether another attempt can have the body.
func (a *attempt) replayable() bool { return a.out == nil || a.out.unread() }

// nextBody returns the body of the attempt after one that was replayable, if that
// is not what follows from the request; false if it cannot be had.
func (a *attempt) nextBody() (io.ReadCloser, bool) {
	if a.out != nil || a.caller.GetBody == nil {
		return nil, true
	}
	body, err := a.caller.GetBody()
	return body, err == nil
}

// inherit takes the body over from the last attempt, or takes what nextBody has
// returned.
func (a *attempt) inherit(last *attempt, body io.ReadCloser) {
	switch {
	case last.out != nil:
		a.out = &outBody{source: last.out.source, length: lengthOf(a.caller)} // to be closed by this attempt
		a.req.Body = a.out
	case body != nil && body != http.NoBody:
		a.req.Body = a.watch(body)
	case body != nil:
		a.req.Body = body
	}
}

// settleBody sees to it that the caller's body is closed once the last attempt has
// closed its own.
func (a *attempt) settleBody() {
	if a.out != nil {
		a.out.settle()
	}
}

// dropBody closes the body of an attempt whose RoundTripper may not have done so.
func (a *attempt) dropBody() {
	a.settleBody()
	closeBody(&a.req)
}

func closeBody(req *http.Request) {
	if req != nil && req.Body != nil {
		_ = req.Body.Close()
	}
}
