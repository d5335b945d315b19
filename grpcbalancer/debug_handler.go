package grpcbalancer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// DebugHandler returns a handler that says as JSON what the policies of this process see,
// and where a key goes:
//
//	GET /                       all policies, each a [Snapshot]
//	GET /?target=dns:///cache   those of one target
//	GET /?key=user-42           and where the key goes, as [WithKey] or a header has it
//	GET /?hash=0x1f             and where the hash goes, decimal or hexadecimal
//
// The answer is an object. Its field policies is a list; with a key or a hash each of
// them has a field lookup with hash, goes_to (a key of an endpoint, null without
// endpoints) and candidates (all keys in order). The answer to bad input is 400 and an
// object with an error alone.
//
// It shows addresses and error texts to everybody who may ask, so serve it where only
// those are who may see them.
func DebugHandler() http.Handler { return http.HandlerFunc(serveDebug) }

type policyReport struct {
	*Snapshot
	Lookup *lookupReport `json:"lookup,omitempty"`
}

type lookupReport struct {
	Hash       string   `json:"hash"`
	GoesTo     *string  `json:"goes_to"`
	Candidates []string `json:"candidates"`
}

func serveDebug(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		respond(w, http.StatusMethodNotAllowed, map[string]string{"error": "grpcbalancer: debug: the method must be GET or HEAD"})
		return
	}
	asked, err := parseInquiry(r.URL.RawQuery)
	if err != nil {
		respond(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	policies := []policyReport{}
	for _, s := range living.snapshots(asked.target) {
		report := policyReport{Snapshot: s}
		if asked.lookup {
			report.Lookup = s.lookup(asked.hash)
		}
		policies = append(policies, report)
	}
	respond(w, http.StatusOK, map[string]any{"policies": policies})
}

func (s *Snapshot) lookup(hash uint64) *lookupReport {
	report := &lookupReport{Hash: fmt.Sprintf("0x%016x", hash), Candidates: []string{}}
	if len(s.Endpoints) > 0 {
		report.GoesTo = new(s.WhereHash(hash).Key)
	}
	for _, i := range s.Candidates(hash) {
		report.Candidates = append(report.Candidates, s.Endpoints[i].Key)
	}
	return report
}

// An inquiry is what a request asks for.
type inquiry struct {
	target string // "" for all
	lookup bool
	hash   uint64
}

func parseInquiry(raw string) (asked inquiry, err error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return asked, fmt.Errorf("grpcbalancer: debug: query: %w", err)
	}
	for name, values := range query {
		switch name {
		case "target", "key", "hash":
		default:
			return asked, fmt.Errorf("grpcbalancer: debug: parameter %q: it must be target, key or hash", name)
		}
		if len(values) > 1 {
			return asked, fmt.Errorf("grpcbalancer: debug: %s: it must be given once, not %d times", name, len(values))
		}
	}
	asked.target = query.Get("target")
	switch key, hash := query.Has("key"), query.Has("hash"); {
	case key && hash:
		return asked, fmt.Errorf("grpcbalancer: debug: key and hash: one of them must be given, not both")
	case key:
		asked.lookup, asked.hash = true, hashOf(query.Get("key"))
	case hash:
		asked.lookup = true
		if asked.hash, err = strconv.ParseUint(query.Get("hash"), 0, 64); err != nil {
			return asked, fmt.Errorf("grpcbalancer: debug: hash %q: it must be a number from 0 to 2^64-1, decimal, or hexadecimal after 0x", query.Get("hash"))
		}
	}
	return asked, nil
}

func respond(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	to := json.NewEncoder(w)
	to.SetIndent("", "  ")
	_ = to.Encode(body) // who has gone does not want to hear of it
}
