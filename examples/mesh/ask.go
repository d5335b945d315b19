package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// An answer is what a client sees of it.
type answer struct {
	status   int
	location string // of a redirect
	server   string // who has answered; "" if it was the sidecar itself
	attempts int    // how often the sidecar had to ask; 0 if it asked nobody
	body     string
}

// A client asks the sidecar. It follows no redirects, so that they can be seen.
type client struct {
	http.Client
	sidecar string
}

// askers is how many users ask at once.
const askers = 8

func newClient(sidecar string) *client {
	c := &client{sidecar: sidecar}
	c.Timeout = 10 * time.Second
	c.Transport = &http.Transport{MaxIdleConnsPerHost: askers}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

// ask asks for a path. The user may be "".
func (c *client) ask(ctx context.Context, method, path, user string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.sidecar+path, nil)
	if err != nil {
		return answer{}, err
	}
	if user != "" {
		req.Header.Set(userHeader, user)
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	attempts, _ := strconv.Atoi(resp.Header.Get(attemptHeader)) // 0 if there is none
	return answer{
		status:   resp.StatusCode,
		location: resp.Header.Get("Location"),
		server:   resp.Header.Get(serverHeader),
		attempts: attempts,
		body:     string(body),
	}, nil
}

// A visit is what became of the users who have all asked for the same, in their order.
type visit []answer

// all has every user ask for a path.
func (c *client) all(ctx context.Context, method, path string, users []string) (visit, error) {
	answers := make(visit, len(users))
	errs := make([]error, askers)
	var wg sync.WaitGroup
	for k := range askers {
		wg.Go(func() {
			for i := k; i < len(users) && errs[k] == nil; i += askers {
				answers[i], errs[k] = c.ask(ctx, method, path, users[i])
			}
		})
	}
	wg.Wait()
	return answers, errors.Join(errs...)
}

// until has a user ask for the cart until the answer is as it is to be: whoever watches the servers
// needs a moment.
func (c *client) until(ctx context.Context, user, what string, ok func(answer) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s: not within %v", what, patience))
	defer cancel()
	for {
		a, err := c.ask(ctx, http.MethodGet, "/cart/", user)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case ok(a):
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// pause waits a moment, or returns why the context has ended.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(10 * time.Millisecond):
		return nil
	}
}

// count returns how many answers are such.
func (v visit) count(such func(answer) bool) (n int) {
	for _, a := range v {
		if such(a) {
			n++
		}
	}
	return n
}

// by is how many answers a server has given.
func (v visit) by(server string) int {
	return v.count(func(a answer) bool { return a.server == server })
}

// failed is how many had another status than 200.
func (v visit) failed() int { return v.count(func(a answer) bool { return a.status != http.StatusOK }) }

// again is how many needed more than one attempt.
func (v visit) again() int { return v.count(func(a answer) bool { return a.attempts > 1 }) }

// with is how many have a body.
func (v visit) with(body string) int { return v.count(func(a answer) bool { return a.body == body }) }

// moved is how many answers came from another server than in an earlier visit: of those that one server
// had answered, and of all others.
func (v visit) moved(before visit, server string) (its, others int) {
	for i, a := range v {
		switch {
		case a.server == before[i].server:
		case before[i].server == server:
			its++
		default:
			others++
		}
	}
	return its, others
}
