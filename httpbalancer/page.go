package httpbalancer

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// DebugHandler returns a handler that says what the Transport is doing: the
// backends, their shares, their health and why, what is in flight, the last table,
// retries and discovery. With a key, or a hash, it says where that goes now. It is
// one HTML page, without scripts and without anything from elsewhere, or the same
// as JSON:
//
//	GET /                  the page; JSON if Accept prefers application/json
//	GET /?format=json      JSON; html is the other format
//	GET /?key=user-42      and where a key goes that WithKey has given
//	GET /?hash=0x1f        and where a hash goes, decimal or hexadecimal
//	GET /?refresh=5        the page, which loads itself again every 5 s
//
// It may be served under any path, wrapped in [http.StripPrefix] or not. Methods
// other than GET and HEAD are answered by 405, and parameters that it does not
// understand by 400 and a text that names the parameter and what is allowed.
// Nothing is counted or changed. It works at all times, after Close as well.
//
// It shows addresses and error texts to everybody who may ask, so serve it where
// only those are who may see them.
//
// # The JSON
//
// Every field is always there. What there is none of is null. Times are RFC 3339
// in UTC, durations are in seconds, shares are from 0 to 1, and errors are their
// texts. Fields may be added, but not removed or given another meaning.
//
//	time               when this was so
//	status             "open"; "waiting" for the first set of backends; "closed"
//	panic              so few backends are healthy that health is ignored
//	panic_threshold_percent   Options.Balancer.PanicThreshold
//	unhealthy          "spill" or "rebuild", Options.Balancer.Unhealthy
//	slots              of the table
//	tables_built       since New
//	last_table         how the last of them was built: at, took_seconds,
//	                   slots_moved, and slots_ideal, those that had to move
//	table_error        why the next one could not be built
//	discovery          null without Options.Discover; else heard_at, when it had
//	                   something to say last, and error
//	requests           in_flight (no response yet), and since New: failed (no
//	                   response, the caller's giving up included), no_backend, no_key
//	retries            in_flight, limit (how many may be in flight now),
//	                   max_per_request, budget_percent, budget_min, and since New:
//	                   sent, over_budget (requests not tried again for the budget)
//	backends           by name, and then those that have left the set with
//	                   requests in flight
//	  name, url, locality, weight
//	  left               it is not in the set any more; url and healthy are null
//	  slots, slot_share, weight_share
//	                     what it holds, of the table and of the weight in the table
//	  state              "ready", "warming", "unhealthy" or "draining"
//	  healthy, reason    the verdict of checks and ejection, and why it is not
//	  in_flight          attempts whose response has not been read to its end
//	  picks, spills, overflows
//	                     attempts it got; attempts it was first in line for but did
//	                     not get, as it was unhealthy, draining or warming; and as
//	                     it was at its bound
//	  last_check, check_error       when the last check ended, and how it failed
//	  ejected_until, ejections      and how often it has been ejected
//	  consecutive_5xx, consecutive_gateway, consecutive_local
//	                     errors in a row, see health.Outlier
//	  verdict_error      why the balancer has not taken the verdict
//	lookup             null, unless there is a key or a hash
//	  key, hash, slot    hash is "0x" and 16 digits; slot is null without backends
//	  first, picked      names of the first candidate, and of the one that a
//	                     request would go to now
//	  candidates         all of the table in order: name, state (also "full": at
//	                     its bound), picked
//
// The answer to bad input is an object with an error alone.
func (t *Transport) DebugHandler() http.Handler { return page{t} }

// A page is the debug page of a Transport.
type page struct{ t *Transport }

func (p page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", pagePolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		respond(w, r, http.StatusMethodNotAllowed, "text/plain; charset=utf-8",
			[]byte("httpbalancer: debug page: the method must be GET or HEAD\n"))
		return
	}
	status := http.StatusOK
	asked, err := parseInquiry(r)
	if err != nil {
		status = http.StatusBadRequest
	}
	var body bytes.Buffer
	contentType := "text/html; charset=utf-8"
	if asked.json {
		contentType = "application/json"
		err = writeJSON(&body, p.t, asked, err)
	} else {
		err = writeHTML(&body, p.t, asked, err)
	}
	if err != nil { // unreachable: neither format can fail on what it is given
		body.Reset()
		fmt.Fprintf(&body, "httpbalancer: debug page: %v\n", err)
		status, contentType = http.StatusInternalServerError, "text/plain; charset=utf-8"
	}
	respond(w, r, status, contentType, body.Bytes())
}

func respond(w http.ResponseWriter, r *http.Request, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // who has gone does not want to hear of it
	}
}

// An inquiry is what a request to the page asks for.
type inquiry struct {
	json    bool
	refresh int // in seconds; 0 for never

	// field is the parameter that says what to look up, "key" or "hash", or "";
	// text is its value, as it was given.
	field, text string
	hash        uint64 // if field is "hash"
}

const (
	maxKey     = 4096 // bytes
	maxRefresh = 3600 // seconds
)

// parseInquiry returns what can be understood, and an error about the rest.
func parseInquiry(r *http.Request) (asked inquiry, err error) {
	asked.json = prefersJSON(r.Header.Values("Accept"))
	query, err := url.ParseQuery(r.URL.RawQuery)
	switch format := query.Get("format"); {
	case !query.Has("format"):
	case format == "json" || format == "html":
		asked.json = format == "json"
	default:
		return asked, wrongParameter("format", format, `"html" or "json"`)
	}
	if err != nil {
		return asked, fmt.Errorf("httpbalancer: debug page: query: %w", err)
	}
	for name, values := range query {
		switch name {
		case "format", "key", "hash", "refresh":
		default:
			return asked, fmt.Errorf("httpbalancer: debug page: parameter %s: it must be format, key, hash or refresh", quoted(name))
		}
		if len(values) > 1 {
			return asked, fmt.Errorf("httpbalancer: debug page: %s: it must be given once, not %d times", name, len(values))
		}
	}
	if query.Has("key") && query.Has("hash") {
		return asked, fmt.Errorf("httpbalancer: debug page: key and hash: one of them must be given, not both")
	}
	if refresh := query.Get("refresh"); query.Has("refresh") {
		n, err := strconv.ParseUint(refresh, 10, 16)
		if err != nil || n < 1 || n > maxRefresh {
			return asked, wrongParameter("refresh", refresh, fmt.Sprintf("a number of seconds from 1 to %d", maxRefresh))
		}
		asked.refresh = int(n)
	}
	if query.Has("key") {
		asked.field, asked.text = "key", query.Get("key")
		if len(asked.text) > maxKey {
			return asked, fmt.Errorf("httpbalancer: debug page: key of %d bytes: it must have no more than %d", len(asked.text), maxKey)
		}
	}
	if query.Has("hash") {
		asked.field, asked.text = "hash", query.Get("hash")
		if asked.hash, err = parseHash(asked.text); err != nil {
			return asked, wrongParameter("hash", asked.text, "a number from 0 to 2^64-1, decimal, or hexadecimal after 0x")
		}
	}
	return asked, nil
}

func parseHash(text string) (uint64, error) {
	text = strings.TrimSpace(text) // as it is pasted
	if digits, ok := strings.CutPrefix(strings.ToLower(text), "0x"); ok {
		return strconv.ParseUint(digits, 16, 64)
	}
	return strconv.ParseUint(text, 10, 64)
}

func wrongParameter(name, value, allowed string) error {
	return fmt.Errorf("httpbalancer: debug page: %s %s: it must be %s", name, quoted(value), allowed)
}

// quoted quotes the beginning of what somebody has sent.
func quoted(s string) string {
	const enough = 64
	if len(s) > enough {
		return strconv.Quote(s[:enough]) + "…"
	}
	return strconv.Quote(s)
}

// prefersJSON returns whether Accept headers prefer application/json to text/html,
// by RFC 9110, section 12.5.1: by the weight of the most specific range that
// matches. If the weights are equal, the one that is named more specifically is
// preferred, and else HTML.
func prefersJSON(accept []string) bool {
	type quality struct {
		weight   float64
		specific int
	}
	var html, json quality
	for _, r := range strings.Split(strings.Join(accept, ","), ",") {
		mediaRange, params, _ := strings.Cut(r, ";")
		weight := 1.0
		for _, param := range strings.Split(params, ";") {
			if name, value, _ := strings.Cut(strings.TrimSpace(param), "="); strings.EqualFold(name, "q") {
				q, err := strconv.ParseFloat(value, 64)
				if !(err == nil && q >= 0 && q <= 1) {
					q = 0
				}
				weight = q
			}
		}
		note := func(of *quality, specific int) {
			if specific > of.specific {
				*of = quality{weight, specific}
			}
		}
		switch strings.ToLower(strings.TrimSpace(mediaRange)) {
		case "application/json":
			note(&json, 3)
		case "application/*":
			note(&json, 2)
		case "text/html":
			note(&html, 3)
		case "text/*":
			note(&html, 2)
		case "*/*":
			note(&json, 1)
			note(&html, 1)
		}
	}
	return json.weight > html.weight || json.weight > 0 && json.weight == html.weight && json.specific > html.specific
}
