package httpbalancer

import (
	"fmt"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/maglev-lb/maglev"
	"github.com/maglev-lb/maglev/hashpolicy"
	"github.com/maglev-lb/maglev/health"
	"github.com/maglev-lb/maglev/retry"
)

// Options are the options of a [Transport]. All are optional.
type Options struct {
	// Backends is the set to begin with. Default: none.
	Backends []Backend

	// Discover delivers sets of backends from the time of New to that of
	// Close; DNS is one, and DiscoverFunc makes a function one. Until it has
	// delivered its first set, or failed, requests wait, unless there are
	// Backends. Default (nil): the set changes by Update alone.
	Discover Discoverer

	// Hash says what of a request is its key. Default (nil): nothing; keys
	// come from WithKey and WithHash.
	Hash hashpolicy.List

	// NoKey says what becomes of a request without a key. Default (Random): it
	// goes to a random backend, by weight.
	NoKey NoKey

	// Balancer is how backends are picked: the table's size and dialect, panic
	// threshold, bounded load, slow start. Default (the zero value): see
	// maglev.BalancerOptions.
	Balancer maglev.BalancerOptions

	// Transport is the pattern of the backends' transports: each has a clone
	// of it. Set TLSClientConfig, timeouts and Protocols here, such as for HTTP/2
	// without TLS. A MaxIdleConnsPerHost of 0 is 256, as each has one host.
	// Default (nil): no proxy, 5 s to connect, up to 256 idle connections a
	// backend for 90 s, HTTP/2 if a TLS server offers it.
	Transport *http.Transport

	// ServerName is the name in TLS handshakes and certificates of the https
	// backends that have none of their own, as those of DNS do. Set it if URLs name
	// IP addresses.
	// Default (""): that of Transport.TLSClientConfig, or else the URL's host.
	ServerName string

	// Wrap puts something, such as instrumentation, in front of a backend's
	// transport: it sees each attempt and each check, with the URL of the
	// backend, and Resend of its context. It must not call the Transport.
	// Default (nil): nothing.
	Wrap func(backend Backend, next http.RoundTripper) http.RoundTripper

	// Retry says what is tried again, and how often.
	Retry Retry

	// Check has every backend asked for its health. Default (nil): they are
	// not asked.
	Check *Check

	// Outlier ejects backends whose requests fail. Default (nil): as
	// health.Outlier's zero value says.
	Outlier *health.Outlier

	// NoOutlier has nobody ejected. Default: false.
	NoOutlier bool

	// ErrorLog gets a line when discovery fails, unless as it did before.
	// Default (nil): nobody does; Stats has the last one.
	ErrorLog *log.Logger
}

// NoKey says what becomes of a request without a key.
type NoKey uint8

const (
	Random NoKey = iota // it goes to a random backend, by weight
	Refuse              // it fails with ErrNoKey
)

// Retry says what is tried again, and how often.
type Retry struct {
	// Max is how many times a request may be tried again, each time at the next
	// candidate, and from the first one on when all have been tried; negative is
	// never, but for what net/http does itself. Default (0): 2.
	Max int

	// PerTryTimeout is how long an attempt at an idempotent request may take
	// to the end of the response's header; then the next candidate is tried.
	// It is what helps against backends that hang. Default (0): no limit.
	PerTryTimeout time.Duration

	// Statuses are the status codes of responses to idempotent requests that
	// are not returned while there may be a better one; empty is none. Default
	// (nil): 502, 503 and 504.
	Statuses []int

	// Idempotent says whether a request may reach backends more than once.
	// Default (nil): GET, HEAD, OPTIONS, TRACE, PUT and DELETE (RFC 9110, section
	// 9.2.2), and those with an Idempotency-Key.
	Idempotent func(*http.Request) bool

	// Backoff is the time before a retry, but for the first one of a request
	// that could not be sent: the next candidate gets that at once. Default
	// (the zero value): see retry.Backoff.
	Backoff retry.Backoff

	// MaxRetryAfter is how long to wait at most because of the Retry-After of a
	// response, however long it asks for: the retry goes to another backend.
	// Default (0): 1 s.
	MaxRetryAfter time.Duration

	// Budget bounds the retries in flight, of requests that a backend may have
	// seen: those that could not be sent multiply no load. A retry waits for
	// room, up to a second. Default (the zero value): see retry.Budget.
	Budget Budget
}

// Budget is the [retry.Budget] of a Transport: 0 means the default, and
// [retry.None] none.
type Budget struct {
	Percent float64 // of the requests in flight; default (0): 20
	Min     int     // at any time; default (0): 3
}

// Check is how backends are asked for their health: by a GET request to each, over
// the transport of its requests.
type Check struct {
	// Path is what is asked for, encoded as in a URL, with a query if it has
	// one. Default (""): "/".
	Path string

	// Host is the Host of the request. Default (""): the backend's.
	Host string

	// Healthy says which status codes are those of a healthy backend. Default
	// (nil): 200 to 299.
	Healthy func(status int) bool

	// Check has the times and thresholds, which count for unexpected status
	// codes as for no answer. Its Probe, if set, is made instead of the request;
	// it gets the backend's name.
	health.Check
}

// withDefaults returns the options with every default spelled out, and nothing
// that the caller may yet change.
func (o Options) withDefaults() Options {
	o.Backends = nil // they change
	o.Hash = slices.Clone(o.Hash)
	o.Retry.Statuses = slices.Clone(o.Retry.Statuses)
	if o.Check != nil {
		o.Check = new(*o.Check)
	}
	if o.Transport == nil {
		o.Transport = &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			IdleConnTimeout:       90 * time.Second,
			ExpectContinueTimeout: time.Second,
			ForceAttemptHTTP2:     true,
		}
	} else {
		o.Transport = cloneTransport(o.Transport)
	}
	if o.Transport.MaxIdleConnsPerHost == 0 {
		o.Transport.MaxIdleConnsPerHost = 256
	}
	if o.Retry.Max == 0 {
		o.Retry.Max = 2
	}
	if o.Retry.Statuses == nil {
		o.Retry.Statuses = []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	}
	if o.Retry.Idempotent == nil {
		o.Retry.Idempotent = idempotent
	}
	if o.Retry.MaxRetryAfter == 0 {
		o.Retry.MaxRetryAfter = time.Second
	}
	if o.Balancer.Table.Hash == nil {
		o.Balancer.Table.Hash = maglev.XXHash
	}
	if o.Outlier == nil && !o.NoOutlier {
		o.Outlier = new(health.Outlier)
	}
	return o
}

func (o *Options) check() error {
	wrong := func(field string, value any, allowed string) error {
		return fmt.Errorf("httpbalancer: Options.%s %v: %w: it must be %s", field, value, ErrOption, allowed)
	}
	switch {
	case o.NoKey > Refuse:
		return wrong("NoKey", o.NoKey, "Random (0) or Refuse (1)")
	case o.NoOutlier && o.Outlier != nil:
		return wrong("NoOutlier", true, "false if Outlier is set")
	case o.Retry.PerTryTimeout < 0:
		return wrong("Retry.PerTryTimeout", o.Retry.PerTryTimeout, "positive, or 0 for no limit")
	case o.Retry.MaxRetryAfter < 0:
		return wrong("Retry.MaxRetryAfter", o.Retry.MaxRetryAfter, "positive, or 0 for 1s")
	case o.Check != nil && !isPath(o.Check.Path):
		return wrong("Check.Path", fmt.Sprintf("%q", o.Check.Path), `a path that begins with "/", with or without a query, encoded as in a URL`)
	}
	for i, status := range o.Retry.Statuses {
		if status < 100 || status > 599 {
			return wrong(fmt.Sprintf("Retry.Statuses[%d]", i), status, "a status code, from 100 to 599")
		}
	}
	switch d := o.Discover.(type) {
	case DiscoverFunc:
		if d == nil {
			return wrong("Discover", "DiscoverFunc(nil)", "a function, or nil for none")
		}
	case *DNS:
		if d == nil {
			return wrong("Discover", "(*DNS)(nil)", "a DNS, or nil for none")
		}
	}
	if v, ok := o.Discover.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return prefixed("Options.Discover", err)
		}
	}
	if err := o.Hash.Validate(); err != nil {
		return fmt.Errorf("httpbalancer: Options.Hash: %w", err)
	}
	if err := o.Retry.Backoff.Validate(); err != nil {
		return fmt.Errorf("httpbalancer: Options.Retry: %w", err)
	}
	budget := retry.Budget{Percent: o.Retry.Budget.Percent, Min: o.Retry.Budget.Min}
	if err := budget.Validate(); err != nil {
		return fmt.Errorf("httpbalancer: Options.Retry: %w", err)
	}
	return nil
}

// isPath returns whether a text is the path of a URL, and a query if it has one.
func isPath(s string) bool {
	if s == "" {
		return true
	}
	u, err := url.Parse("http://host" + s)
	return err == nil && s[0] == '/' && u.Fragment == "" && !strings.HasSuffix(s, "#")
}

// prefixed puts the package's name, and where an error has come from, in front of
// its text, unless it is there.
func prefixed(where string, err error) error {
	if strings.HasPrefix(err.Error(), "httpbalancer: ") {
		return err
	}
	return fmt.Errorf("httpbalancer: %s: %w", where, err)
}

// idempotent is the default of Retry.Idempotent.
func idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	// As to net/http, it is enough that the key is there: an empty one is not sent.
	_, standard := req.Header["Idempotency-Key"]
	_, older := req.Header["X-Idempotency-Key"]
	return standard || older
}
