package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// The parts of the bootstrap that have a dump of their own.
type bootstrapJSON struct {
	Static struct {
		Listeners []json.RawMessage `json:"listeners"`
		Clusters  []json.RawMessage `json:"clusters"`
	} `json:"static_resources"`
}

type listenerConfigJSON struct {
	Chains       []chainConfigJSON `json:"filter_chains"`
	DefaultChain *chainConfigJSON  `json:"default_filter_chain"`
}

type chainConfigJSON struct {
	Filters []struct {
		Typed struct {
			Routes json.RawMessage `json:"route_config"`
		} `json:"typed_config"`
	} `json:"filters"`
}

type dumpJSON struct {
	Configs []any `json:"configs"`
}

type bootstrapDumpJSON struct {
	Type      string          `json:"@type"`
	Bootstrap json.RawMessage `json:"bootstrap"`
	Updated   string          `json:"last_updated"`
}

// A sectionJSON is the dump of clusters, of listeners or of routes.
type sectionJSON struct {
	Type      string       `json:"@type"`
	Clusters  []staticJSON `json:"static_clusters,omitempty"`
	Listeners []staticJSON `json:"static_listeners,omitempty"`
	Routes    []staticJSON `json:"static_route_configs,omitempty"`
}

// A staticJSON is one of them: one of the first three fields is there.
type staticJSON struct {
	Cluster  json.RawMessage `json:"cluster,omitempty"`
	Listener json.RawMessage `json:"listener,omitempty"`
	Routes   json.RawMessage `json:"route_config,omitempty"`
	Updated  string          `json:"last_updated"`
}

const typeURL = "type.googleapis.com/envoy."

// configDump shows the bootstrap as it was read, and its clusters, listeners and routes as
// Envoy lists them.
func (h *handler) configDump(w http.ResponseWriter, r *http.Request) {
	for _, name := range [...]string{"resource", "mask", "name_regex", "include_eds"} {
		if r.URL.Query().Has(name) {
			refuse(w, "unsupported: "+name+"\n")
			return
		}
	}
	dump, err := h.dump()
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintln(w, err)
		return
	}
	writeJSON(w, dump)
}

func (s *Source) dump() (*dumpJSON, error) {
	text := []byte("{}")
	if s.ConfigDump != nil {
		text = s.ConfigDump()
	}
	var b bootstrapJSON
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("admin: the configuration to be shown is not JSON: %w", err)
	}
	updated := s.Started.UTC().Format(time.RFC3339Nano)

	clusters := sectionJSON{Type: typeURL + "admin.v3.ClustersConfigDump"}
	for _, c := range b.Static.Clusters {
		clusters.Clusters = append(clusters.Clusters, staticJSON{Cluster: typed(c, "config.cluster.v3.Cluster"), Updated: updated})
	}
	listeners := sectionJSON{Type: typeURL + "admin.v3.ListenersConfigDump"}
	routes := sectionJSON{Type: typeURL + "admin.v3.RoutesConfigDump"}
	for _, text := range b.Static.Listeners {
		listeners.Listeners = append(listeners.Listeners, staticJSON{Listener: typed(text, "config.listener.v3.Listener"), Updated: updated})
		var l listenerConfigJSON
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("admin: a listener of the configuration to be shown: %w", err)
		}
		if l.DefaultChain != nil {
			l.Chains = append(l.Chains, *l.DefaultChain)
		}
		for _, chain := range l.Chains {
			for _, filter := range chain.Filters {
				if len(filter.Typed.Routes) > 0 {
					routes.Routes = append(routes.Routes, staticJSON{Routes: typed(filter.Typed.Routes, "config.route.v3.RouteConfiguration"), Updated: updated})
				}
			}
		}
	}
	return &dumpJSON{[]any{
		bootstrapDumpJSON{typeURL + "admin.v3.BootstrapConfigDump", text, updated},
		clusters, listeners, routes,
	}}, nil
}

// typed puts the @type before the fields of an object. What is not an object stays as it is.
func typed(object json.RawMessage, name string) json.RawMessage {
	fields, ok := bytes.CutPrefix(bytes.TrimSpace(object), []byte("{"))
	if !ok {
		return object
	}
	fields = bytes.TrimSpace(fields)
	out := []byte(`{"@type":"` + typeURL + name + `"`)
	if fields[0] != '}' {
		out = append(out, ',')
	}
	return append(out, fields...)
}
