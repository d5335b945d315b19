package httpbalancer

import (
	"io"
	"net/http"
	"sync"
)

// An outBody is the body of an attempt's request. If the caller's cannot be had
// again, it is the caller's: to see whether it has been read, and to defer its
// closing, because after an attempt that has not read it the next one can.
type outBody struct {
	source io.ReadCloser // nil if the caller's can be had again, or there is none

	mu     sync.Mutex
	read   bool // from the first Read on
	closed bool // by the attempt
	final  bool // closing is not deferred any more
}

func (b *outBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	b.read = true
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.source.Read(p)
}

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

// firstBody gives the first attempt its body.
func (a *attempt) firstBody(retries bool) {
	if body := a.caller.Body; retries && body != nil && body != http.NoBody && a.caller.GetBody == nil {
		a.out.source = body
		a.req.Body = &a.out
	}
}

// replayable returns whether another attempt can have the body.
func (a *attempt) replayable() bool { return a.out.source == nil || a.out.unread() }

// nextBody gives an attempt its body after another one, which was replayable.
func (a *attempt) nextBody(last *attempt) bool {
	if last.out.source != nil {
		a.out.source = last.out.source
		a.req.Body = &a.out
		last.out.source = nil // to be closed by this attempt
		return true
	}
	if a.caller.GetBody == nil {
		return true
	}
	body, err := a.caller.GetBody()
	a.req.Body = body
	return err == nil
}

// settleBody makes sure that the caller's body is closed once the last attempt has
// closed its own.
func (a *attempt) settleBody() {
	if a.out.source != nil {
		a.out.settle()
	}
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}
