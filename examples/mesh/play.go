package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// patience bounds how long something may take that the sidecar does in the background.
const patience = 20 * time.Second

// figures are what a play has shown.
type figures struct {
	routes []routed

	users    []string
	sessions visit // each user's third item was put into the cart

	crashed string
	atOnce  visit // of all users, when the server had just crashed
	without visit // when that was known
	after   visit // when it was there again

	shop visit // requests to a server that fails now and then

	log   []string // some of its lines
	stats []stat
}

// routed is an answer, and to what.
type routed struct {
	path string
	answer
}

type stat struct{ name, value string }

// A play is the services, the sidecar before them, and who asks.
type play struct {
	services *services
	sidecar  *sidecar
	client   *client
}

func newPlay(ctx context.Context) (*play, error) {
	services, err := startServices()
	if err != nil {
		return nil, err
	}
	sidecar, err := startSidecar(ctx, services)
	if err != nil {
		return nil, errors.Join(err, services.close())
	}
	return &play{services, sidecar, newClient(sidecar.addr)}, nil
}

func (p *play) close() error {
	p.client.CloseIdleConnections()
	return errors.Join(p.sidecar.close(), p.services.close())
}

// users is how many there are, and items what each puts into the cart.
const users = 300

var items = []string{"tea", "milk", "bread"}

// fullCart is what a cart server says of a cart with all items.
var fullCart = fmt.Sprintf("%d items", len(items))

// figures has everything happen, in turn.
func (p *play) figures(ctx context.Context) (*figures, error) {
	f := new(figures)
	for i := range users {
		f.users = append(f.users, fmt.Sprintf("user-%d", i))
	}
	for _, act := range []func(context.Context, *figures) error{
		p.routes, p.sessions, p.crash, p.flaky, p.books,
	} {
		if err := act(ctx, f); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (p *play) routes(ctx context.Context, f *figures) error {
	for _, path := range []string{"/", "/cart/", "/basket", "/robots.txt"} {
		a, err := p.client.ask(ctx, http.MethodGet, path, "user-0")
		if err != nil {
			return err
		}
		f.routes = append(f.routes, routed{path, a})
	}
	return nil
}

func (p *play) sessions(ctx context.Context, f *figures) (err error) {
	for _, item := range items {
		if f.sessions, err = p.client.all(ctx, http.MethodPut, "/cart/"+item, f.users); err != nil {
			return err
		}
	}
	return nil
}

// crash has a server of the carts crash, and come back.
func (p *play) crash(ctx context.Context, f *figures) (err error) {
	victim := p.services.carts[1]
	f.crashed = victim.name
	victim.crash()
	if f.atOnce, err = p.client.all(ctx, http.MethodGet, "/cart/", f.users); err != nil {
		return err
	}
	probe := "" // a user of this server
	for i, a := range f.sessions {
		if a.server == victim.name {
			probe = f.users[i]
		}
	}
	err = p.client.until(ctx, probe, victim.name+" is known to be down", func(a answer) bool { return a.attempts == 1 })
	if err != nil {
		return err
	}
	if f.without, err = p.client.all(ctx, http.MethodGet, "/cart/", f.users); err != nil {
		return err
	}
	victim.restart()
	err = p.client.until(ctx, probe, victim.name+" is known to be up", func(a answer) bool { return a.server == victim.name })
	if err != nil {
		return err
	}
	f.after, err = p.client.all(ctx, http.MethodGet, "/cart/", f.users)
	return err
}

// flaky asks the shop, one request after the other.
func (p *play) flaky(ctx context.Context, f *figures) error {
	for range 50 {
		a, err := p.client.ask(ctx, http.MethodGet, "/", "")
		if err != nil {
			return err
		}
		f.shop = append(f.shop, a)
	}
	return nil
}

// shown are the statistics of the report: what clients asked for, what went to the carts.
var shown = []string{
	"http.ingress.downstream_rq_total",
	"http.ingress.downstream_rq_2xx",
	"http.ingress.downstream_rq_3xx",
	"http.ingress.downstream_rq_5xx",
	"cluster.shop.upstream_rq_retry",
	"cluster.cart.upstream_rq_total",
	"cluster.cart.upstream_rq_retry",
	"cluster.cart.upstream_rq_retry_success",
	"cluster.cart.health_check.failure",
	"cluster.cart.membership_healthy",
}

// books reads the statistics and the access log.
func (p *play) books(ctx context.Context, f *figures) error {
	stats, err := p.sidecar.stats(ctx)
	if err != nil {
		return err
	}
	for _, name := range shown {
		f.stats = append(f.stats, stat{name, stats[name]})
	}
	f.log, err = p.logLines(ctx)
	return err
}

// logged are the lines of the report: the first that ends in each of these.
var logged = []string{
	"by cart-3, attempts: 1",
	"GET /basket user-0 -> 301 direct_response by -, attempts: 0",
	"GET /robots.txt user-0 -> 200 direct_response by -, attempts: 0",
	"by cart-3, attempts: 2",
	"by shop-1, attempts: 2",
}

// logLines waits for them: a line is in the file within a second.
func (p *play) logLines(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the access log is not complete within %v", patience))
	defer cancel()
	for {
		all, err := p.sidecar.lines()
		if err != nil {
			return nil, err
		}
		var some []string
		for _, end := range logged {
			if i := slices.IndexFunc(all, func(line string) bool { return strings.HasSuffix(line, end) }); i >= 0 {
				some = append(some, all[i])
			}
		}
		if len(some) == len(logged) {
			return some, nil
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// check returns an error if something is not as the report claims.
func (f *figures) check() error {
	for _, v := range []struct {
		when string
		visit
	}{{"at first", f.sessions}, {"at the crash", f.atOnce}, {"without it", f.without}, {"after it", f.after}, {"at the shop", f.shop}} {
		if n := v.failed(); n > 0 {
			return fmt.Errorf("%d requests failed %s", n, v.when)
		}
	}
	switch its, others := f.after.moved(f.sessions, f.crashed); {
	case f.sessions.with(fullCart) != len(f.users):
		return errors.New("a user has been to more than one server")
	case f.atOnce.by(f.crashed)+f.without.by(f.crashed) > 0:
		return fmt.Errorf("%s has answered though it had crashed", f.crashed)
	case its+others > 0:
		return fmt.Errorf("%d users have not come back to their server", its+others)
	case f.shop.again() == 0:
		return errors.New("the shop has not failed")
	}
	return nil
}
