package admin

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/maglev-lb/maglev/mesh/stats"
)

// A command is a path of the server.
type command struct {
	path   string
	change bool // it changes something: POST only
	help   string
	params []string // with their help
	serve  func(w http.ResponseWriter, r *http.Request)
}

// A handler serves the commands of a source.
type handler struct {
	*Source
	commands []command
}

// New returns the handler of all the paths. It adds the statistics server.* to those of the
// source.
func New(source *Source) http.Handler {
	source.registerStats()
	h := &handler{Source: source}
	h.commands = []command{
		{path: "/", help: "Admin home page", serve: h.home},
		{path: "/clusters", help: "upstream cluster status", serve: h.clusters, params: []string{
			"filter: Regular expression (Google re2) for filtering clusters by name",
			"format: File format to use; One of (text, json)"}},
		{path: "/config_dump", help: "dump current configuration", serve: h.configDump},
		{path: "/help", help: "print out list of admin commands", serve: h.help},
		{path: "/listeners", help: "print listener info", serve: h.listeners, params: []string{
			"format: File format to use; One of (text, json)"}},
		{path: "/ready", help: "print server state, return 200 if LIVE, otherwise return 503", serve: h.ready},
		{path: "/reset_counters", change: true, help: "reset all counters to zero", serve: h.resetCounters},
		{path: "/server_info", help: "print server version/status information", serve: h.serverInfo},
		{path: "/stats", help: "print server stats", serve: h.stats, params: append(statsParams(),
			"format: Format to use; One of (json, prometheus, text)",
			"type: Stat types to include.; One of (All, Counters, Histograms, Gauges, TextReadouts)",
			"histogram_buckets: Histogram bucket display mode; One of (summary)")},
		{path: "/stats/prometheus", help: "print server stats in prometheus format", serve: h.prometheus, params: append(statsParams(),
			"histogram_buckets: Histogram bucket display mode; One of (cumulative)")},
	}
	if source.FailHealthChecks != nil {
		h.commands = append(h.commands,
			command{path: "/healthcheck/fail", change: true, help: "cause the server to fail health checks", serve: h.healthCheck(true)},
			command{path: "/healthcheck/ok", change: true, help: "cause the server to pass health checks", serve: h.healthCheck(false)})
	}
	if source.Quit != nil {
		h.commands = append(h.commands, command{path: "/quitquitquit", change: true, help: "exit the server", serve: h.quit})
	}
	slices.SortFunc(h.commands, func(a, b command) int { return strings.Compare(a.path, b.path) })
	return h
}

func statsParams() []string {
	return []string{
		"usedonly: Only include stats that have been written by system since restart",
		"filter: Regular expression (Google re2) for filtering stats",
		"invert_filter: Invert the filter regex",
	}
}

// ServeHTTP finds the command. Answers are plain text that no browser takes for something else,
// and are not kept.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=UTF-8")
	w.Header().Set("Cache-Control", "no-cache, max-age=0")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	for _, c := range h.commands {
		if c.path != r.URL.Path {
			continue
		}
		if c.change && r.Method != http.MethodPost {
			w.WriteHeader(http.StatusMethodNotAllowed)
			fmt.Fprintf(w, "Method %s not allowed, POST required.", r.Method)
			return
		}
		c.serve(w, r)
		return
	}
	w.WriteHeader(http.StatusNotFound)
	io.WriteString(w, "invalid path. ")
	h.help(w, r)
}

func (h *handler) help(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "admin commands are:\n")
	for _, c := range h.commands {
		post := ""
		if c.change {
			post = " (POST)"
		}
		fmt.Fprintf(w, "  %s%s: %s\n", c.path, post, c.help)
		for _, p := range c.params {
			fmt.Fprintf(w, "      %s\n", p)
		}
	}
}

// home is a page of links, and of buttons for what changes something.
func (h *handler) home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	io.WriteString(w, "<!DOCTYPE html>\n<html lang=\"en\">\n<head><title>Admin</title></head>\n<body>\n<table>\n")
	for _, c := range h.commands {
		path := html.EscapeString(strings.TrimPrefix(c.path, "/"))
		link := fmt.Sprintf(`<a href="%s">%s</a>`, path, path)
		if c.change {
			link = fmt.Sprintf(`<form action="%s" method="post"><button>%s</button></form>`, path, path)
		}
		if c.path != "/" {
			fmt.Fprintf(w, "<tr><td>%s</td><td>%s</td></tr>\n", link, html.EscapeString(c.help))
		}
	}
	io.WriteString(w, "</table>\n</body>\n</html>\n")
}

func (h *handler) ready(w http.ResponseWriter, _ *http.Request) {
	state := h.state()
	if state != Live {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	fmt.Fprintln(w, state)
}

func (h *handler) resetCounters(w http.ResponseWriter, _ *http.Request) {
	h.Stats.ResetCounters()
	io.WriteString(w, "OK\n")
}

func (h *handler) healthCheck(fail bool) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		h.FailHealthChecks(fail)
		io.WriteString(w, "OK\n")
	}
}

func (h *handler) quit(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "close")
	io.WriteString(w, "OK\n")
	http.NewResponseController(w).Flush() // before everything ends
	go h.Quit()
}

func (h *handler) stats(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	switch values.Get("format") {
	case "", "text", "json":
	case "prometheus":
		h.prometheus(w, r)
		return
	default:
		refuse(w, "usage: /stats?format=(json|prometheus|text)\n\n")
		return
	}
	q, ok := query(w, r)
	if !ok {
		return
	}
	switch values.Get("histogram_buckets") {
	case "", "summary":
	default:
		refuse(w, "usage: /stats?histogram_buckets=(summary)\n")
		return
	}
	if values.Get("format") == "json" {
		w.Header().Set("Content-Type", "application/json")
		h.Stats.WriteJSON(w, q)
		return
	}
	h.Stats.WriteText(w, q)
}

func (h *handler) prometheus(w http.ResponseWriter, r *http.Request) {
	q, ok := query(w, r)
	if !ok {
		return
	}
	switch r.URL.Query().Get("histogram_buckets") {
	case "", "cumulative":
	default:
		refuse(w, "usage: /stats/prometheus?histogram_buckets=(cumulative)\n")
		return
	}
	h.Stats.WritePrometheus(w, q)
}

// query reads the parameters that choose statistics, or refuses them.
func query(w http.ResponseWriter, r *http.Request) (q stats.Query, ok bool) {
	values := r.URL.Query()
	q.UsedOnly = values.Has("usedonly")
	q.Invert = values.Has("invert_filter")
	if q.Filter, ok = filter(w, values.Get("filter")); !ok {
		return q, false
	}
	switch values.Get("type") {
	case "", "All":
	case "Counters":
		q.Kind = stats.Counters
	case "Gauges":
		q.Kind = stats.Gauges
	case "Histograms":
		q.Kind = stats.Histograms
	case "TextReadouts":
		q.Kind = stats.TextReadouts
	default:
		refuse(w, "invalid &type= param")
		return q, false
	}
	return q, true
}

// filter compiles a regular expression, or refuses it. It is nil if there is none.
func filter(w http.ResponseWriter, text string) (*regexp.Regexp, bool) {
	if text == "" {
		return nil, true
	}
	re, err := regexp.Compile(text)
	if err != nil {
		refuse(w, "Invalid re2 regex: "+err.Error())
		return nil, false
	}
	return re, true
}

func refuse(w http.ResponseWriter, why string) {
	w.WriteHeader(http.StatusBadRequest)
	io.WriteString(w, why)
}

// writeJSON writes a value with an indent of one, as Envoy does.
func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	e.Encode(v)
}

func (h *handler) serverInfo(w http.ResponseWriter, _ *http.Request) {
	type options struct {
		Concurrency int    `json:"concurrency"`
		Mode        string `json:"mode"`
	}
	type node struct {
		ID      string `json:"id,omitempty"`
		Cluster string `json:"cluster,omitempty"`
	}
	uptime := fmt.Sprintf("%ds", h.uptime())
	info := struct {
		Version        string  `json:"version"`
		State          string  `json:"state"`
		UptimeCurrent  string  `json:"uptime_current_epoch"`
		UptimeAll      string  `json:"uptime_all_epochs"`
		HotRestart     string  `json:"hot_restart_version"`
		CommandOptions options `json:"command_line_options"`
		Node           node    `json:"node"`
	}{h.Version, h.state().String(), uptime, uptime, "disabled", options{h.Concurrency, "Serve"}, node{h.NodeID, h.NodeCluster}}
	writeJSON(w, info)
}

func (s *Source) uptime() int64 { return int64(time.Since(s.Started) / time.Second) }
