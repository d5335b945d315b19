package stats

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// A Store holds all that is counted. Any number of goroutines may use it.
type Store struct {
	mu     sync.Mutex
	scopes map[string]*scope // by prefix
}

// NewStore returns a Store of nothing.
func NewStore() *Store { return &Store{scopes: make(map[string]*scope)} }

// A Scope is the part of a Store below a prefix. It is a small value, to be copied as one likes.
type Scope struct{ *scope }

// A scope knows its name twice: as the text format has it, and as Prometheus has it, where the
// names that the configuration gives are labels. So a name may hold dots and is still known.
type scope struct {
	store  *Store
	prefix string // "cluster.orders", sanitised
	metric string // "cluster"
	labels []label
	single map[string]any  // *Counter, *Gauge, *Histogram or a func() int64, by name
	groups []reflect.Value // of structs
}

// A label is one of Prometheus's.
type label struct{ name, value string }

// Cluster returns the scope of a cluster: cluster.NAME.
func (s *Store) Cluster(name string) Scope {
	return s.labelled("cluster", "envoy_cluster_name", name)
}

// HTTP returns the scope of an HTTP connection manager by its stat_prefix: http.PREFIX.
func (s *Store) HTTP(prefix string) Scope {
	return s.labelled("http", "envoy_http_conn_manager_prefix", prefix)
}

// Listener returns the scope of a listener by its address, as in 127.0.0.1:80, [::1]:80 or
// /path/of/a/pipe: listener.127.0.0.1_80.
func (s *Store) Listener(address string) Scope {
	return s.labelled("listener", "envoy_listener_address", address)
}

// ConnectionLimit returns the scope of a connection limit by its stat_prefix:
// connection_limit.PREFIX.
func (s *Store) ConnectionLimit(prefix string) Scope {
	return s.labelled("connection_limit", "envoy_connection_limit_prefix", prefix)
}

// LocalRateLimit returns the scope of a local rate limit by its stat_prefix:
// PREFIX.http_local_rate_limit.
func (s *Store) LocalRateLimit(prefix string) Scope {
	prefix = sanitise(prefix)
	return s.scope(prefix+".http_local_rate_limit", "http_local_rate_limit", label{"envoy_local_http_ratelimit_prefix", prefix})
}

// Route returns the scope of a route by the name of its virtual host and its stat_prefix:
// vhost.HOST.route.PREFIX.
func (s *Store) Route(virtualHost, prefix string) Scope {
	virtualHost, prefix = sanitise(virtualHost), sanitise(prefix)
	return s.scope("vhost."+virtualHost+".route."+prefix, "vhost.route",
		label{"envoy_virtual_host", virtualHost}, label{"envoy_route", prefix})
}

// Scope returns the scope of a prefix without a configured name in it, such as "server"; ""
// is the root.
func (s *Store) Scope(prefix string) Scope { return s.scope(prefix, prefix) }

func (s *Store) labelled(kind, name, value string) Scope {
	value = sanitise(value)
	return s.scope(kind+"."+value, kind, label{name, value})
}

// sanitise replaces what separates in other formats, as Envoy does.
func sanitise(name string) string {
	name = strings.ReplaceAll(name, "://", "_")
	name = strings.ReplaceAll(name, ":/", "_")
	return strings.NewReplacer(":", "_", "\x00", "_").Replace(name)
}

func (s *Store) scope(prefix, metric string, labels ...label) Scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sc := s.scopes[prefix]; sc != nil {
		return Scope{sc}
	}
	sc := &scope{store: s, prefix: prefix, metric: metric, labels: labels}
	s.scopes[prefix] = sc
	return Scope{sc}
}

// Scope returns a scope below this one, by a prefix without a configured name in it:
// "circuit_breakers.default".
func (s Scope) Scope(prefix string) Scope {
	return s.store.scope(join(s.prefix, prefix), join(s.metric, prefix), s.labels...)
}

// HTTP returns the scope of an HTTP connection manager below that of its listener:
// listener.ADDRESS.http.PREFIX.
func (s Scope) HTTP(prefix string) Scope {
	prefix = sanitise(prefix)
	labels := slices.Concat([]label{{"envoy_http_conn_manager_prefix", prefix}}, s.labels)
	return s.store.scope(join(s.prefix, "http."+prefix), join(s.metric, "http"), labels...)
}

func join(prefix, name string) string {
	if prefix == "" || name == "" {
		return prefix + name
	}
	return prefix + "." + name
}

// Counter returns the counter of a name: the same one each time. It panics if the name is that
// of something else.
func (s Scope) Counter(name string) *Counter { return get[Counter](s, name) }

// Gauge returns the gauge of a name: the same one each time. It panics if the name is that of
// something else.
func (s Scope) Gauge(name string) *Gauge { return get[Gauge](s, name) }

// Histogram returns the histogram of a name: the same one each time. It panics if the name is
// that of something else.
func (s Scope) Histogram(name string) *Histogram { return get[Histogram](s, name) }

// GaugeFunc adds a gauge that is read by calling a function, from any goroutine, in place of one
// of the same name.
func (s Scope) GaugeFunc(name string, read func() int64) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.put(name, read)
}

func get[T any](s Scope, name string) *T {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	v, ok := s.single[name]
	if !ok {
		for _, group := range s.groups {
			for _, f := range fieldsOf(group.Type()) {
				if f.name == name {
					v, ok = group.FieldByIndex(f.index).Addr().Interface(), true
				}
			}
		}
	}
	if !ok {
		v = new(T)
		s.put(name, v)
	}
	t, ok := v.(*T)
	if !ok {
		panic(fmt.Sprintf("stats: %s is a %T, not a %T", join(s.prefix, name), v, t))
	}
	return t
}

func (s *scope) put(name string, v any) {
	if s.single == nil {
		s.single = make(map[string]any)
	}
	s.single[name] = v
}

// Group returns the struct T of a scope: the same one each time. Its fields are statistics
// ([Counter], [Gauge], [Histogram], [CodeCounters], [ClassCounters]) with their names in the tag
// "stat", or structs of such with the prefix in the tag. One with the option lazy,
// `stat:"upstream_rq_time,lazy"`, is not printed before it was written: so are some of
// Envoy's. A field without a tag is nothing to the Store. It panics if T is something else.
func Group[T any](s Scope) *T {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	t := reflect.TypeFor[T]()
	for _, group := range s.groups {
		if group.Type() == t {
			return group.Addr().Interface().(*T)
		}
	}
	fieldsOf(t)
	v := new(T)
	s.groups = append(s.groups, reflect.ValueOf(v).Elem())
	return v
}

// A field is where a group has a statistic.
type field struct {
	name  string
	index []int
	lazy  bool
}

var fields sync.Map // []field by reflect.Type

// fieldsOf returns what there is in a group of a type.
func fieldsOf(t reflect.Type) []field {
	if known, ok := fields.Load(t); ok {
		return known.([]field)
	}
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("stats: a group is a struct, not a %v", t))
	}
	var all []field
	for _, f := range reflect.VisibleFields(t) {
		tag, ok := f.Tag.Lookup("stat")
		if !ok || len(f.Index) > 1 {
			continue
		}
		name, option, _ := strings.Cut(tag, ",")
		lazy := option == "lazy"
		switch reflect.Zero(reflect.PointerTo(f.Type)).Interface().(type) {
		case *Counter, *Gauge, *Histogram, composite:
			all = append(all, field{name, f.Index, lazy})
		default:
			for _, inner := range fieldsOf(f.Type) {
				all = append(all, field{join(name, inner.name), slices.Concat(f.Index, inner.index), lazy || inner.lazy})
			}
		}
	}
	fields.Store(t, all)
	return all
}

// A composite is several counters under one name.
type composite interface {
	each(name string, yield func(name string, value uint64))
	reset()
}

// ResetCounters sets all counters to 0. Gauges and histograms stay as they are.
func (s *Store) ResetCounters() {
	for _, sc := range s.all() {
		sc.each(func(_ string, v any, _ bool) {
			switch v := v.(type) {
			case *Counter:
				v.n.Store(0)
			case composite:
				v.reset()
			}
		})
	}
}

// all returns the scopes there are.
func (s *Store) all() []*scope {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]*scope, 0, len(s.scopes))
	for _, sc := range s.scopes {
		all = append(all, sc)
	}
	return all
}

// each calls yield with what the scope holds.
func (s *scope) each(yield func(name string, v any, lazy bool)) {
	s.store.mu.Lock()
	groups := slices.Clone(s.groups)
	type named struct {
		name string
		v    any
	}
	single := make([]named, 0, len(s.single))
	for name, v := range s.single {
		single = append(single, named{name, v})
	}
	s.store.mu.Unlock()
	for _, one := range single {
		yield(one.name, one.v, false)
	}
	for _, group := range groups {
		for _, f := range fieldsOf(group.Type()) {
			yield(f.name, group.FieldByIndex(f.index).Addr().Interface(), f.lazy)
		}
	}
}
