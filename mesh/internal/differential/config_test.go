package differential

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

type object = map[string]any

// A setup is a file's configuration, ready for a proxy.
type setup struct {
	dir       string
	ports     map[string]int // of listeners, backends and "admin", by name
	listeners []string       // in the order of the file
	logs      map[string]string
	pipes     map[string]bool // listeners that are Unix sockets
	backends  []string
	bootstrap string // path of the whole configuration
}

// A short is the configuration as the files have it.
type short struct {
	Listeners yaml.Node         `yaml:"listeners"`
	Clusters  map[string]object `yaml:"clusters"`
	Bootstrap object            `yaml:"bootstrap"`
}

var portWord = regexp.MustCompile(`\bPORT_([a-z0-9]+)\b`)

// newSetup finds out which listeners and backends a configuration has.
func newSetup(text, dir string) (*setup, *short, error) {
	var c short
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		return nil, nil, err
	}
	s := &setup{dir: dir, ports: make(map[string]int), logs: make(map[string]string), pipes: make(map[string]bool), bootstrap: filepath.Join(dir, "config.yaml")}
	for i := 0; i < len(c.Listeners.Content); i += 2 {
		s.listeners = append(s.listeners, c.Listeners.Content[i].Value)
	}
	if c.Clusters == nil {
		c.Clusters = map[string]object{"c": {"hosts": []any{"a"}}}
	}
	named := make(map[string]bool)
	for _, cluster := range c.Clusters {
		hosts, _ := cluster["hosts"].([]any)
		for _, h := range hosts {
			if m, ok := h.(object); ok {
				h = m["at"]
			}
			named[fmt.Sprint(h)] = true
		}
	}
	for _, m := range portWord.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(s.listeners, m[1]) && m[1] != "admin" {
			named[m[1]] = true
		}
	}
	s.backends = slices.Sorted(maps.Keys(named))
	return s, &c, nil
}

// write writes the whole configuration, once all ports are known.
func (s *setup) write(c *short) error {
	var listeners, clusters []any
	for i := 0; i < len(c.Listeners.Content); i += 2 {
		var manager object
		if err := c.Listeners.Content[i+1].Decode(&manager); err != nil {
			return err
		}
		listeners = append(listeners, s.listener(c.Listeners.Content[i].Value, manager))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Clusters)) {
		clusters = append(clusters, cluster(name, c.Clusters[name]))
	}
	whole := object{
		"admin":            object{"address": address(s.ports["admin"])},
		"static_resources": object{"listeners": listeners, "clusters": clusters},
	}
	maps.Copy(whole, c.Bootstrap)
	text, err := yaml.Marshal(whole)
	if err != nil {
		return err
	}
	return os.WriteFile(s.bootstrap, []byte(s.fill(string(text))), 0o600)
}

// fill puts ports and the directory in the place of their names.
func (s *setup) fill(text string) string {
	text = portWord.ReplaceAllStringFunc(text, func(word string) string {
		if port, ok := s.ports[strings.TrimPrefix(word, "PORT_")]; ok {
			return strconv.Itoa(port)
		}
		return word
	})
	return strings.ReplaceAll(text, "TEMPDIR", s.dir)
}

// pipe returns the path of a listener's socket.
func (s *setup) pipe(listener string) string { return filepath.Join(s.dir, listener+".sock") }

// listener writes a listener out: manager has the fields of its HTTP connection manager, and "log",
// "json_log", "filters", "routes", "virtual_hosts" and "listener" in short. With "pipe" it listens on a
// Unix socket.
func (s *setup) listener(name string, manager object) object {
	out := object{"name": name, "address": address("PORT_" + name)}
	if manager == nil {
		manager = object{}
	}
	manager["@type"] = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	if pipe, _ := take(manager, "pipe").(bool); pipe {
		s.pipes[name] = true
		out["address"] = object{"pipe": object{"path": s.pipe(name)}}
	}
	setDefault(manager, "stat_prefix", name)
	setDefault(manager, "delayed_close_timeout", "0.1s") // Envoy's second would only make the tests slow

	format := object{}
	if text, ok := take(manager, "log").(string); ok {
		format["text_format_source"] = object{"inline_string": logPrefix + strings.TrimSuffix(text, "\n") + "\n"}
	}
	if fields, ok := take(manager, "json_log").(object); ok {
		fields[logField] = strings.TrimSpace(logPrefix)
		format["json_format"] = fields
	}
	if len(format) > 0 {
		s.logs[name] = filepath.Join(s.dir, name+".log")
		manager["access_log"] = []any{object{"name": "envoy.access_loggers.file", "typed_config": object{
			"@type":      "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
			"path":       s.logs[name],
			"log_format": format,
		}}}
	}
	routes := take(manager, "routes")
	if routes == nil {
		routes = []any{object{"match": object{"prefix": "/"}, "route": object{"cluster": "c"}}}
	}
	hosts := take(manager, "virtual_hosts")
	if hosts == nil {
		hosts = []any{object{"name": "all", "domains": []any{"*"}, "routes": routes}}
	}
	config, _ := manager["route_config"].(object)
	if config == nil {
		config = object{}
	}
	setDefault(config, "virtual_hosts", hosts)
	manager["route_config"] = config

	filters, _ := take(manager, "filters").([]any)
	setDefault(manager, "http_filters", append(filters, object{"name": "envoy.filters.http.router", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
	}}))

	over, _ := take(manager, "listener").(object)
	out["filter_chains"] = []any{object{"filters": []any{object{
		"name":         "envoy.filters.network.http_connection_manager",
		"typed_config": manager,
	}}}}
	maps.Copy(out, over)
	return out
}

// cluster writes a cluster out: its fields, and "hosts" in short.
func cluster(name string, fields object) object {
	if fields == nil {
		fields = object{}
	}
	fields["name"] = name
	setDefault(fields, "type", "STATIC")
	setDefault(fields, "connect_timeout", "5s")
	hosts, ok := take(fields, "hosts").([]any)
	if !ok {
		return fields
	}
	endpoints := make([]any, len(hosts))
	for i, h := range hosts {
		endpoint := object{}
		if m, ok := h.(object); ok {
			h = take(m, "at")
			endpoint = m
		}
		endpoint["endpoint"] = object{"address": address("PORT_" + fmt.Sprint(h))}
		endpoints[i] = endpoint
	}
	fields["load_assignment"] = object{"cluster_name": name, "endpoints": []any{object{"lb_endpoints": endpoints}}}
	return fields
}

func address(port any) object {
	return object{"socket_address": object{"address": "127.0.0.1", "port_value": port}}
}

func setDefault(o object, key string, value any) {
	if _, ok := o[key]; !ok {
		o[key] = value
	}
}

// take removes a field and returns its value.
func take(o object, key string) any {
	value := o[key]
	delete(o, key)
	return value
}
